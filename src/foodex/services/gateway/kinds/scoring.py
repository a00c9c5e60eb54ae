"""A file of orders forecast in a process of its own: read ahead, score, write behind.

However large the file, only a few pieces of it are in memory at a time.
"""

import dataclasses
import os
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO, Final

import msgspec
import numpy as np
import polars as pl

from foodex.domain.loads import Format
from foodex.ports.orders import ROW, Examine, Piece, Read, ReadRule, Scoring
from foodex.ports.orders import named as function_named
from foodex.ports.work import Task
from foodex.services.gateway.kinds.answer_files import (
    SCHEMA,
    AnswerWriter,
    harmless,
    open_answer,
)
from foodex.services.gateway.kinds.scoring_process import REFUSED_FILE

_SHARE: Final = 0.9
_THREADS: Final = min(os.cpu_count() or 1, 4)
"""Pieces that are scored beside one another; one thread does not read enough for more."""
_BROKEN: Final = "broken_line"
_REFUSED: Final = (ROW, "field", "rule", "reason", "values")
_HEADER: Final = "row,field,rule,reason,as_it_came\n"


def score_file(task: Task) -> Mapping[str, Any]:
    """Forecast the orders of a file.

    Args:
        task: its arguments are `file`, `rule` (a `ReadRule`), `kit` and `output`, and the names
            of the functions `read`, `examine` and `scorer` of `ports.orders`. It leaves
            `predictions.FORMAT` and `rejected.csv` in the task's folder.
    """
    arguments = task.arguments
    path, output = Path(arguments["file"]), Format(arguments["output"])
    read: Read = function_named(arguments["read"])
    examine: Examine = function_named(arguments["examine"])
    scoring: Scoring = function_named(arguments["scorer"])(Path(arguments["kit"]), 1)
    rule = msgspec.convert(arguments["rule"], ReadRule)
    rule = dataclasses.replace(rule, extras=dict(scoring.extras))

    def open_for(first: Piece) -> AnswerWriter:
        columns = None
        if first.lines is not None and output is not Format.NDJSON:
            # Each object may have fields of its own; a table has to know all of them at once.
            columns = examine(path, rule).columns
        return open_answer(task.folder / f"predictions.{output.value}", output, columns)

    answer = Answer(scoring)
    with (
        ThreadPoolExecutor(2 + _THREADS) as pool,
        (task.folder / REFUSED_FILE).open("wb") as refused,
    ):
        refused.write(_HEADER.encode())
        writer: AnswerWriter | None = None
        written: Future[None] | None = None
        for piece, told in _behind(_ahead(read(path, rule), pool), answer.told, pool):
            answer.count(piece, told)
            writer = writer or open_for(piece)
            if written is not None:
                written.result()
            written = pool.submit(_write, writer, refused, piece, told)
            task.report(_SHARE * piece.progress, f"{answer.rows:,} orders")
        if written is not None:
            written.result()
        if writer is not None:
            writer.close()
    return {
        "rows": answer.rows,
        "forecast": answer.rows - answer.refused.total(),
        "refused": answer.refused.total(),
        "refused_by_rule": dict(sorted(answer.refused.items())),
        "model": scoring.model,
        "version": scoring.version,
    }


class Answer:
    """Forecasts piece by piece, and counts."""

    def __init__(self, scoring: Scoring) -> None:
        self._scoring = scoring
        self.rows = 0
        self.refused: Counter[str] = Counter()

    def told(self, piece: Piece) -> pl.DataFrame:
        """`row` and the columns of `SCHEMA`, of every row of the piece."""
        found = self._forecasts(piece.orders)
        if len(piece.refused):
            both = pl.format("{}: {}", "field", "reason")
            why = pl.when(pl.col("field") == "").then("reason").otherwise(both)
            refused = piece.refused.select(ROW, error=why)
            found = pl.concat([found, refused], how="diagonal").sort(ROW)
        return found

    def count(self, piece: Piece, told: pl.DataFrame) -> None:
        """Count what was told of a piece."""
        self.rows += len(told)
        for rule, count in piece.refused["rule"].value_counts().iter_rows():
            self.refused[rule] += count

    def _forecasts(self, orders: pl.DataFrame) -> pl.DataFrame:
        if not len(orders):
            return pl.DataFrame(schema={ROW: pl.Int64(), **SCHEMA})
        scored = self._scoring.score(orders.drop(ROW)).rename({"q50": "median"})
        return scored.select(
            orders[ROW],
            *(
                _thousandths(scored[name]) if dtype.is_float() else name
                for name, dtype in SCHEMA.items()
                if name in scored.columns
            ),
            pl.lit(self._scoring.model).alias("model"),
            pl.lit(self._scoring.version, pl.Int64).alias("version"),
            pl.lit(None, pl.String).alias("error"),
        )


def _thousandths(minutes: pl.Series) -> pl.Series:
    # As the public door tells them; the whole digits would be a quarter of the file. By numpy, as
    # polars multiplies by a thousandth, which leaves digits behind.
    return pl.Series(minutes.name, np.floor(minutes.to_numpy() * 1000 + 0.5) / 1000)


def _write(writer: AnswerWriter, refused: BinaryIO, piece: Piece, told: pl.DataFrame) -> None:
    came, lines = piece.came, None
    if piece.lines is not None:
        lines = dict(zip(came[ROW].to_list(), piece.lines, strict=True))
    broken = piece.refused.filter(pl.col("rule") == _BROKEN)
    if len(broken):
        # The line keeps its place, though nobody can say which of its values is which.
        came = pl.concat([came, broken.select(ROW)], how="diagonal").sort(ROW)
    writer.write(came, told.drop(ROW), lines)
    if len(piece.refused):
        harmless(piece.refused.select(_REFUSED)).write_csv(refused, include_header=False)


def _ahead(pieces: Iterator[Piece], pool: ThreadPoolExecutor) -> Iterator[Piece]:
    """The pieces, the next one made while the last is worked on."""
    following = pool.submit(next, pieces, None)
    while (piece := following.result()) is not None:
        following = pool.submit(next, pieces, None)
        yield piece


def _behind(
    pieces: Iterator[Piece], tell: Callable[[Piece], pl.DataFrame], pool: ThreadPoolExecutor
) -> Iterator[tuple[Piece, pl.DataFrame]]:
    """The pieces with what is told of them, in order, some worked on at a time."""
    going: deque[tuple[Piece, Future[pl.DataFrame]]] = deque()
    for piece in pieces:
        going.append((piece, pool.submit(tell, piece)))
        if len(going) >= _THREADS:
            done, told = going.popleft()
            yield done, told.result()
    while going:
        done, told = going.popleft()
        yield done, told.result()
