"""Files of orders that are not delivered yet, as `ports.orders` wants them read.

Also imported by processes that do nothing else, so it stands on reading and mapping alone.
"""

import dataclasses
import itertools
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Final

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from foodex.core.errors import FieldProblem, InvalidInput
from foodex.domain.deliveries import EARLIEST_ORDER, FIELD, FIELDS, LONGEST_TEXT, Kind
from foodex.domain.loads import Format
from foodex.domain.mapping_toml import read_mapping
from foodex.domain.mappings import MISSING, FieldRule, FileRule, RecordMapping
from foodex.ports.orders import ROW, Examined, Piece, ReadRule
from foodex.services.collector.applying import DTYPES, REJECTED, Application
from foodex.services.collector.columns import check_columns
from foodex.services.collector.opening import Limits, Looked, TextFile, dialect_of, look
from foodex.services.collector.reading import (
    BROKEN,
    decode_line,
    read_batches,
    texts_of,
)
from foodex.services.collector.rejected import with_values

_MAY_LACK: Final = ("placed_at", "hour_of_day", "day_of_week")
"""An order that does not say when it was placed is placed now."""
_TEXTS: Final = (Kind.TEXT, Kind.CATEGORY)


def examine_orders(path: Path, rule: ReadRule) -> Examined:
    """Count a file's rows, and see that it can be read and fits its mapping.

    Raises:
        InvalidInput: nothing that orders can be read from; `problems` name columns and keys.
        TooLarge: more than the limit.
    """
    mapping = _mapping_of(rule)
    file_rule, limits = _file_rule(mapping), _limits(rule)
    looked = look(path, file_rule, limits)
    columns: dict[str, None] = {}
    rows = 0
    for names, count in _counted(looked, file_rule, limits, rule.rows_at_once):
        if not rows and names:
            _fitting(mapping, names, rule, path.name)
        columns.update(dict.fromkeys(names))
        rows += count
    if not rows:
        raise InvalidInput(f"{path.name} has no rows")
    return Examined(format=looked.format, rows=rows, columns=tuple(columns))


def read_orders(path: Path, rule: ReadRule) -> Iterator[Piece]:
    """A file's rows in pieces, each row an order or refused.

    Raises:
        InvalidInput: as `examine_orders`, and where the file turns out to be damaged.
    """
    mapping = _mapping_of(rule)
    file_rule, limits = _file_rule(mapping), _limits(rule)
    looked = look(path, file_rule, limits)
    fitted: RecordMapping | None = None
    for came, lines, broken, progress in _raw(looked, file_rule, limits, rule.rows_at_once):
        texts = came
        if looked.format is Format.PARQUET:
            texts = texts_of(came.drop(ROW)).insert_column(0, came[ROW])
        if fitted is None:
            names = [name for name in texts.columns if name != ROW]
            if not names:
                yield _of_broken(came, broken, progress)
                continue
            fitted = _fitting(mapping, names, rule, path.name)
        application = OrdersApplication(fitted, texts)
        orders = application.orders(rule.latest)
        refused = application.rejected()
        if len(refused):
            orders = orders.filter(~orders[ROW].is_in(refused[ROW].implode()))
        if len(refused) or len(broken):
            refused = with_values(refused, texts, broken)
        else:
            refused = refused.with_columns(values=pl.lit(None, pl.String))
        yield Piece(came=came, lines=lines, orders=orders, refused=refused, progress=progress)


class OrdersApplication(Application):
    """A mapping applied to orders: nothing is required of them, and nothing is left out."""

    def orders(self, latest: datetime) -> pl.DataFrame:
        """`row` and the canonical columns of every row; `rejected` then tells which are wrong."""
        rules = sorted(self.mapping.fields, key=lambda rule: rule.minutes_after is not None)
        for rule in (*rules, *self.mapping.extras):
            self.values[rule.name] = self.read(rule)
        self.roll_over_midnight()
        self.bound()
        self.check_coordinates()
        self.check_moment(latest)
        self.check_lengths()
        filled = (
            self.values[rule.name].cast(DTYPES[rule.kind]).alias(rule.name)
            for rule in (*self.mapping.fields, *self.mapping.extras)
        )
        return pl.DataFrame([self.raw[ROW], *filled])

    def check_moment(self, latest: datetime) -> None:
        """Refuse orders of long ago and of a far future."""
        placed = self.values.get("placed_at")
        if placed is None:
            return
        outside = ~placed.is_between(EARLIEST_ORDER, latest)
        span = f"is not between {EARLIEST_ORDER:%Y-%m-%d} and {latest:%Y-%m-%d}"
        reason = pl.format("{} {}", placed.dt.to_string("iso:strict"), pl.lit(span))
        self.fault("placed_at", "out_of_range", outside, reason)

    def check_lengths(self) -> None:
        """Refuse texts longer than any name is."""
        for rule in (*self.mapping.fields, *self.mapping.extras):
            if rule.kind in _TEXTS:
                lengths = self.values[rule.name].str.len_bytes()
                if (lengths.max() or 0) > LONGEST_TEXT:  # type: ignore[operator]
                    characters = self.values[rule.name].str.len_chars()
                    reason = pl.format(
                        "is {} characters long, more than {}", characters, pl.lit(LONGEST_TEXT)
                    )
                    self.fault(rule.name, "too_long", characters > LONGEST_TEXT, reason)


def _mapping_of(rule: ReadRule) -> RecordMapping | None:
    """What the mapping says of orders as they are placed."""
    if rule.mapping is None:
        return None
    whole = read_mapping(rule.mapping, delivered=False)
    kept = {one.name for one in whole.fields if FIELD[one.name].known_at_order}
    fields = tuple(
        dataclasses.replace(one, not_before=one.not_before if one.not_before in kept else None)
        for one in whole.fields
        if one.name in kept and (one.minutes_after is None or one.minutes_after in kept)
    )
    return dataclasses.replace(whole, fields=fields, skip=())


def _file_rule(mapping: RecordMapping | None) -> FileRule:
    return FileRule() if mapping is None else mapping.file


def _limits(rule: ReadRule) -> Limits:
    return Limits(file_bytes=rule.file_bytes, line_bytes=rule.line_bytes, columns=rule.columns)


def _fitting(
    mapping: RecordMapping | None, names: Iterable[str], rule: ReadRule, file: str
) -> RecordMapping:
    """The mapping for a file with these columns; one by their own names where none is given."""
    there = list(names)
    if mapping is None:
        return _by_name(there, rule, file)
    fields = tuple(
        one for one in mapping.fields if one.name not in _MAY_LACK or set(one.columns) <= set(there)
    )
    fitted = dataclasses.replace(mapping, fields=fields)
    check_columns(fitted, there, file)
    return fitted


def _by_name(there: list[str], rule: ReadRule, file: str) -> RecordMapping:
    fields = tuple(
        FieldRule(name=one.name, kind=one.kind, column=one.name)
        for one in FIELDS
        if one.known_at_order and one.name in there
    )
    extras = tuple(
        FieldRule(name=name, kind=kind, column=name)
        for name, kind in rule.extras.items()
        if name in there
    )
    if not fields and not extras:
        shown = ", ".join(there[:20]) + (", …" if len(there) > 20 else "")
        why = f"none is a field of an order: {shown}; name a mapping"
        raise InvalidInput(
            f"The columns of {file} are not known", problems=[FieldProblem("mapping", why)]
        )
    return RecordMapping(
        time_zone=None,
        missing=MISSING,
        decimal=".",
        impossible_coordinates="reject",
        doubtful_coordinates="keep",
        file=FileRule(),
        fields=fields,
        extras=extras,
        skip=(),
    )


_Raw = tuple[pl.DataFrame, tuple[str, ...] | None, pl.DataFrame, float]
"""Rows as they came, the lines they were, the broken lines, and the share of the file read."""


def _raw(looked: Looked, rule: FileRule, limits: Limits, size: int) -> Iterator[_Raw]:
    if looked.format is Format.PARQUET:
        yield from _parquet(looked, limits, size)
    elif looked.format is Format.NDJSON:
        yield from _ndjson(looked, limits, size)
    else:
        for batch in read_batches(looked, rule, limits, size=size):
            yield batch.rows, None, batch.broken, batch.progress


def _parquet(looked: Looked, limits: Limits, size: int) -> Iterator[_Raw]:
    row = 0
    nothing = pl.DataFrame(schema=BROKEN)
    try:
        with pq.ParquetFile(looked.path) as file:
            total = max(file.metadata.num_rows, 1)
            _check_width(looked, file.schema_arrow.names, limits)
            for batch in file.iter_batches(batch_size=size):
                frame = pl.DataFrame(pl.from_arrow(batch))
                if ROW in frame.columns:
                    frame = frame.rename({ROW: f"{ROW}_2"})
                numbers = pl.int_range(row + 1, row + 1 + len(frame), eager=True).alias(ROW)
                row += len(frame)
                yield frame.insert_column(0, numbers), None, nothing, row / total
    except (pa.ArrowException, OSError) as error:
        raise InvalidInput(
            f"{looked.path.name}, after row {row}: the Parquet file is damaged: {error}"
        ) from None


def _ndjson(looked: Looked, limits: Limits, size: int) -> Iterator[_Raw]:
    with TextFile(looked, limits) as text:
        numbered = enumerate((line for line in text.lines() if line.strip()), start=1)
        while some := list(itertools.islice(numbered, size)):
            lines, records, bad = [], [], []
            for row, line in some:
                try:
                    records.append(decode_line(line) | {ROW: row})
                    lines.append(line.strip())
                except ValueError as error:
                    why = f"is no JSON object: {error}"
                    bad.append((row, "broken_line", "", why, line.strip()[:2_000]))
            names = list(dict.fromkeys(name for record in records for name in record))
            _check_width(looked, names, limits)
            columns = {name: [record.get(name) for record in records] for name in names}
            columns = {ROW: columns.pop(ROW, [])} | columns
            schema = {name: pl.String() if name != ROW else pl.Int64() for name in columns}
            share = min(text.consumed() / max(looked.size_bytes, 1), 1.0)
            broken = pl.DataFrame(bad, schema=BROKEN, orient="row")
            yield pl.DataFrame(columns, schema=schema), tuple(lines), broken, share


def _check_width(looked: Looked, names: list[str], limits: Limits) -> None:
    if len(names) > limits.columns:
        raise InvalidInput(
            f"{looked.path.name} has {len(names)} columns; the limit is {limits.columns}"
        )


def _of_broken(came: pl.DataFrame, broken: pl.DataFrame, progress: float) -> Piece:
    nothing = pl.DataFrame(schema=REJECTED)
    return Piece(
        came=came,
        lines=(),
        orders=pl.DataFrame({ROW: []}, schema={ROW: pl.Int64}),
        refused=with_values(nothing, came.with_columns(pl.lit("").alias("_")), broken),
        progress=progress,
    )


def _counted(
    looked: Looked, rule: FileRule, limits: Limits, size: int
) -> Iterator[tuple[tuple[str, ...], int]]:
    """The columns, and how many rows there are, piece by piece."""
    if looked.format is Format.PARQUET:
        try:
            with pq.ParquetFile(looked.path) as file:
                _check_width(looked, file.schema_arrow.names, limits)
                yield tuple(file.schema_arrow.names), file.metadata.num_rows
        except (pa.ArrowException, OSError) as error:
            raise InvalidInput(f"{looked.path.name} is damaged: {error}") from None
    elif looked.format is Format.CSV:
        yield from _counted_lines(looked, rule, limits, size)
    else:
        for came, _, broken, _ in _ndjson(looked, limits, size):
            yield tuple(came.columns[1:]), len(came) + len(broken)


def _counted_lines(
    looked: Looked, rule: FileRule, limits: Limits, size: int
) -> Iterator[tuple[tuple[str, ...], int]]:
    dialect = dialect_of(looked, rule, limits)
    for batch in read_batches(looked, rule, limits, size=size):
        yield dialect.names, len(batch.rows) + len(batch.broken)
