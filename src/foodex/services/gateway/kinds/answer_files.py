"""Writing the answer to a file of orders: its rows as they came, with their forecasts beside them.

Imported by processes that do nothing else.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO, Final, Protocol

import polars as pl
import pyarrow.parquet as pq

from foodex.domain.loads import Format
from foodex.ports.orders import ROW

PREFIX: Final = "forecast_"
SCHEMA: Final = {
    "q05": pl.Float64(),
    "q10": pl.Float64(),
    "q25": pl.Float64(),
    "median": pl.Float64(),
    "q75": pl.Float64(),
    "q90": pl.Float64(),
    "q95": pl.Float64(),
    "promise_minutes": pl.Int64(),
    "earliest_minutes": pl.Int64(),
    "source": pl.String(),
    "model": pl.String(),
    "version": pl.Int64(),
    "error": pl.String(),
}
"""What is added to each row, with `PREFIX` before the names; `error` is why there is nothing."""

_FORMULA: Final = r"^( *)([=+\-@\t\r])"
_NUMBER: Final = r"^ *[-+]?[\d., ]*\d[\d., ]*(?:[eE][-+]?\d+)?%? *$"


class AnswerWriter(Protocol):
    """Writes the answer, piece by piece."""

    def write(self, came: pl.DataFrame, told: pl.DataFrame, lines: dict[int, str] | None) -> None:
        """Write rows in order.

        Args:
            came: `row` and the columns as they came; nulls for a line that is no row.
            told: the columns of `SCHEMA`, as many rows.
            lines: the rows as they were written in JSON, by row, where that is so.
        """
        ...

    def close(self) -> None:
        """Finish the file."""
        ...


def open_answer(path: Path, format_: Format, columns: Iterable[str] | None) -> AnswerWriter:
    """A writer of that format; `columns` are all that came, where the first piece may lack some."""
    if format_ is Format.PARQUET:
        return _Parquet(path, columns)
    return _Csv(path, columns) if format_ is Format.CSV else _Json(path)


def named(told: pl.DataFrame, taken: Iterable[str]) -> pl.DataFrame:
    """The told columns under names that are not taken."""
    prefix, names = PREFIX, list(taken)
    while any(name.startswith(prefix) for name in names):
        prefix = f"foodex_{prefix}"
    return told.rename({name: f"{prefix}{name}" for name in told.columns})


def harmless(frame: pl.DataFrame) -> pl.DataFrame:
    """Texts that a spreadsheet would run as formulas made plain text; numbers stay numbers."""
    found = frame.select(pl.col(pl.String).str.contains(_FORMULA).any())
    risky = [name for name in found.columns if found[name][0]]
    return frame.with_columns(_harmless(frame[name]) for name in risky) if risky else frame


def _harmless(series: pl.Series) -> pl.Series:
    risky = series.str.contains(_FORMULA) & ~series.str.contains(_NUMBER)
    escaped = series.str.replace(_FORMULA, "'${1}${2}")
    return series.zip_with(~risky.fill_null(value=False), escaped)


class _Columns:
    """The columns of the answer, the same in every piece."""

    def __init__(self, columns: Iterable[str] | None) -> None:
        self._names = None if columns is None else [name for name in columns if name != ROW]

    def whole(self, came: pl.DataFrame, told: pl.DataFrame) -> pl.DataFrame:
        if self._names is None:
            self._names = [name for name in came.columns if name != ROW]
        there = set(came.columns)
        kept = came.select(
            pl.col(name) if name in there else pl.lit(None, pl.String).alias(name)
            for name in self._names
        )
        return kept.hstack(named(told, self._names)) if self._names else named(told, ())


class _Csv:
    def __init__(self, path: Path, columns: Iterable[str] | None) -> None:
        self._file: BinaryIO = path.open("wb")
        self._columns, self._begun = _Columns(columns), False

    def write(self, came: pl.DataFrame, told: pl.DataFrame, lines: dict[int, str] | None) -> None:
        frame = harmless(_texts(self._columns.whole(came, told)))
        if not self._begun:
            header = harmless(pl.DataFrame({"name": frame.columns}))["name"].to_list()
            self._file.write(
                pl.DataFrame(schema=dict.fromkeys(header, pl.String)).write_csv().encode()
            )
            self._begun = True
        frame.write_csv(self._file, include_header=False)

    def close(self) -> None:
        self._file.close()


def _texts(frame: pl.DataFrame) -> pl.DataFrame:
    nested = [n for n, d in frame.schema.items() if d.is_nested() or d == pl.Binary]
    if not nested:
        return frame
    return frame.with_columns(
        pl.Series(name, [None if v is None else str(v) for v in frame[name].to_list()])
        for name in nested
    )


class _Json:
    def __init__(self, path: Path) -> None:
        self._file: BinaryIO = path.open("wb")
        self._columns = _Columns(None)

    def write(self, came: pl.DataFrame, told: pl.DataFrame, lines: dict[int, str] | None) -> None:
        if lines is None:
            self._columns.whole(came, told).write_ndjson(self._file)
            return
        told = named(told, came.columns)
        added = told.select(pl.struct(pl.all()).struct.json_encode()).to_series().to_list()
        for row, more in zip(came[ROW].to_list(), added, strict=True):
            # What was sent stays as it was written, numbers and objects within it too.
            before = lines.get(row, "{}")[:-1].rstrip()
            comma = "" if before == "{" else ","
            self._file.write(f"{before}{comma}{more[1:]}\n".encode())

    def close(self) -> None:
        self._file.close()


class _Parquet:
    def __init__(self, path: Path, columns: Iterable[str] | None) -> None:
        self._path, self._columns = path, _Columns(columns)
        self._writer: Any = None

    def write(self, came: pl.DataFrame, told: pl.DataFrame, lines: dict[int, str] | None) -> None:
        frame = self._columns.whole(came, told)
        table = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._path, table.schema, compression="zstd")
        self._writer.write_table(table.cast(self._writer.schema))

    def close(self) -> None:
        if self._writer is None:
            empty = pl.DataFrame(schema={f"{PREFIX}{n}": d for n, d in SCHEMA.items()})
            pq.write_table(empty.to_arrow(), self._path)
        else:
            self._writer.close()
