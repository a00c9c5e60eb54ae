"""Reading files in batches: rows as they came, every value text, and the lines that are none."""

from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import polars as pl
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from foodex.core.errors import InvalidInput
from foodex.domain.loads import Format
from foodex.domain.mappings import FileRule
from foodex.services.collector.applying import REJECTED, ROW
from foodex.services.collector.opening import Dialect, Limits, Looked, TextFile, dialect_of

LINE: Final = "line"
BROKEN: Final = REJECTED | {LINE: pl.String}
"""The schema of broken lines: rejections with the line as it came."""
_LINE_SHOWN: Final = 2_000


@dataclass(frozen=True, slots=True)
class RawBatch:
    """Some rows of a file, in order: `rows` has `row` and columns of texts.

    `last_row` is the highest row number up to which everything has been told, kept or broken;
    `progress` is the share of the file read.
    """

    rows: pl.DataFrame
    broken: pl.DataFrame
    last_row: int
    progress: float


def read_batches(
    looked: Looked, rule: FileRule, limits: Limits, *, size: int, first_row: int = 1
) -> Generator[RawBatch]:
    """A file's rows in batches of `size`, numbered from `first_row`.

    Raises:
        InvalidInput: the file is damaged; says after which row.
    """
    readers = {Format.CSV: _csv, Format.NDJSON: _ndjson, Format.PARQUET: _parquet}
    yield from readers[looked.format](looked, rule, limits, size, first_row)


def _broken(found: Iterable[tuple[int, str, str]]) -> pl.DataFrame:
    rows = [
        (row, "broken_line", "", reason, line[:_LINE_SHOWN])
        for row, reason, line in sorted(found, key=lambda item: item[0])
    ]
    return pl.DataFrame(rows, schema=BROKEN, orient="row")


def _csv(
    looked: Looked, rule: FileRule, limits: Limits, size: int, first_row: int
) -> Iterator[RawBatch]:
    dialect = dialect_of(looked, rule, limits)
    with TextFile(looked, limits) as text:
        if rule.header:
            next(record for record in dialect.reader(text.lines()) if record)
        bad: dict[int, Any] = {}
        seen = 0
        waiting: list[pa.RecordBatch] = []
        for block in _blocks(text, dialect, limits, bad):
            waiting.append(block)
            while sum(item.num_rows for item in waiting) >= size:
                batch, waiting = _cut(waiting, size)
                made = _numbered(batch, bad, seen, first_row, text, last=False)
                seen = made.last_row - first_row + 1
                yield made
        rest = pa.Table.from_batches(waiting, _schema(dialect)).combine_chunks()
        if rest.num_rows or bad:
            yield _numbered(rest, bad, seen, first_row, text, last=True)


def _schema(dialect: Dialect) -> pa.Schema:
    return pa.schema([(name, pa.string()) for name in dialect.names])


def _blocks(
    text: TextFile, dialect: Dialect, limits: Limits, bad: dict[int, Any]
) -> Iterator[pa.RecordBatch]:
    def refuse(row: Any) -> str:
        bad[row.number] = row
        return "skip"

    rows = 0
    try:
        reader = pa_csv.open_csv(
            pa.PythonFile(text.stream, mode="r"),
            # Only the single-threaded reader tells the numbers of invalid rows.
            read_options=pa_csv.ReadOptions(
                column_names=list(dialect.names), use_threads=False, block_size=limits.line_bytes
            ),
            parse_options=pa_csv.ParseOptions(
                delimiter=dialect.delimiter,
                quote_char=dialect.quote,
                newlines_in_values=True,
                invalid_row_handler=refuse,
            ),
            convert_options=pa_csv.ConvertOptions(
                column_types=_schema(dialect), strings_can_be_null=False
            ),
        )
        while True:
            block = reader.read_next_batch()
            rows += block.num_rows
            yield block
    except StopIteration:
        return
    except pa.ArrowInvalid as error:
        message = str(error)
        name, after = text.looked.path.name, rows + len(bad)
        if "Empty CSV" in message:
            return
        if "straddl" in message or "boundar" in message:
            raise InvalidInput(
                f"{name}, after row {after}: a row has more than {limits.line_bytes} bytes; "
                "is a quote never closed?"
            ) from None
        raise InvalidInput(f"{name}, after row {after}: {message}") from None


def _cut(waiting: list[pa.RecordBatch], size: int) -> tuple[pa.Table, list[pa.RecordBatch]]:
    taken, left = [], size
    for index, block in enumerate(waiting):
        if block.num_rows >= left:
            taken.append(block.slice(0, left))
            rest = [block.slice(left)] if block.num_rows > left else []
            return pa.Table.from_batches(taken), rest + waiting[index + 1 :]
        taken.append(block)
        left -= block.num_rows
    raise ValueError("there are fewer rows than asked for")


def _numbered(
    table: pa.Table, bad: dict[int, Any], seen: int, first_row: int, text: TextFile, *, last: bool
) -> RawBatch:
    """Give rows their numbers: the invalid ones have theirs, the others fill the rest."""
    count = table.num_rows
    numbers = pl.int_range(seen + 1, seen + 1 + count + len(bad), eager=True)
    numbers = numbers.filter(~numbers.is_in(list(bad))).head(count)
    end = max([*bad, *numbers.tail(1)], default=seen) if last else int(numbers[-1])
    ended = _ends_in_midline(text) if last else False
    told = []
    for number in sorted(number for number in bad if number <= end):
        row = bad.pop(number)
        reason = f"has {row.actual_columns} fields, not {row.expected_columns}"
        if ended and number == end:
            reason += "; the file ends in the middle of this line"
        told.append((number + first_row - 1, reason, row.text))
    rows = pl.DataFrame(pl.from_arrow(table)).insert_column(0, (numbers + first_row - 1).alias(ROW))
    size = max(text.looked.size_bytes, 1)
    return RawBatch(rows, _broken(told), end + first_row - 1, min(text.consumed() / size, 1.0))


def _ends_in_midline(text: TextFile) -> bool:
    if not text.looked.seekable:
        return False
    with text.looked.path.open("rb") as file:
        file.seek(-1, 2)
        return file.read(1) not in (b"\n", b"\r")


_decoder: Final = msgspec.json.Decoder(dict[str, Any])


def flat(record: dict[str, Any], prefix: str = "") -> dict[str, str | None]:
    """A JSON object as texts; objects within it by dotted names, lists as JSON."""
    found: dict[str, str | None] = {}
    for name, value in record.items():
        if isinstance(value, str) or value is None:
            found[prefix + name] = value
        elif isinstance(value, dict):
            found |= flat(value, f"{prefix}{name}.")
        else:
            found[prefix + name] = msgspec.json.encode(value).decode()
    return found


def decode_line(line: str) -> dict[str, str | None]:
    """One line of NDJSON as texts; `ValueError` (msgspec's) if it is no object."""
    record = flat(_decoder.decode(line))
    if ROW in record:
        record[f"{ROW}_2"] = record.pop(ROW)
    return record


def _ndjson(
    looked: Looked, rule: FileRule, limits: Limits, size: int, first_row: int
) -> Iterator[RawBatch]:
    with TextFile(looked, limits) as text:
        row = first_row - 1
        numbers: list[int] = []
        records: list[dict[str, str | None]] = []
        bad: list[tuple[int, str, str]] = []
        names: dict[str, None] = {}

        def batch() -> RawBatch:
            share = min(text.consumed() / max(looked.size_bytes, 1), 1.0)
            here = list(dict.fromkeys(name for record in records for name in record))
            names.update(dict.fromkeys(here))
            if len(names) > limits.columns:
                raise InvalidInput(
                    f"{looked.path.name}, up to row {row}: more than {limits.columns} columns"
                )
            columns = {name: [record.get(name) for record in records] for name in here}
            frame = pl.DataFrame(
                {ROW: numbers, **columns},
                schema={ROW: pl.Int64, **dict.fromkeys(here, pl.String)},
            )
            return RawBatch(frame, _broken(bad), row, share)

        for line in text.lines():
            if not line.strip():
                continue
            row += 1
            try:
                record = decode_line(line)
            except ValueError as error:
                # The family of msgspec's errors is one of ValueError.
                what = str(error) + ("" if line.endswith("\n") else "; the file ends in midline")
                bad.append((row, f"is no JSON object: {what}", line.rstrip("\n")))
            else:
                numbers.append(row)
                records.append(record)
            if len(records) + len(bad) >= size:
                yield batch()
                numbers, records, bad = [], [], []
        if records or bad:
            yield batch()


def _parquet(
    looked: Looked, rule: FileRule, limits: Limits, size: int, first_row: int
) -> Iterator[RawBatch]:
    row = first_row - 1
    try:
        with pq.ParquetFile(looked.path) as file:
            total = max(file.metadata.num_rows, 1)
            if len(file.schema_arrow.names) > limits.columns:
                raise InvalidInput(f"{looked.path.name} has more than {limits.columns} columns")
            for batch in file.iter_batches(batch_size=size):
                frame = texts_of(pl.DataFrame(pl.from_arrow(batch)))
                numbers = pl.int_range(row + 1, row + 1 + len(frame), eager=True).alias(ROW)
                row += len(frame)
                done = min((row - first_row + 1) / total, 1.0)
                yield RawBatch(frame.insert_column(0, numbers), _broken([]), row, done)
    except (pa.ArrowException, OSError) as error:
        raise InvalidInput(
            f"{looked.path.name}, after row {row}: the Parquet file is damaged: {error}"
        ) from None


def texts_of(frame: pl.DataFrame) -> pl.DataFrame:
    """A typed frame as texts: times in ISO 8601, with their offset where they have a zone."""
    columns = []
    for series in frame:
        dtype = series.dtype
        if dtype == pl.String:
            made = series
        elif isinstance(dtype, pl.Datetime):
            made = series.dt.convert_time_zone("UTC") if dtype.time_zone else series
            made = made.dt.to_string("%Y-%m-%d %H:%M:%S%.f" + ("%:z" if dtype.time_zone else ""))
        elif isinstance(dtype, pl.Struct):
            made = series.struct.json_encode()
        elif dtype == pl.Binary:
            made = series.bin.encode("base64")
        elif isinstance(dtype, pl.List | pl.Array):
            made = pl.Series(
                series.name,
                [None if v is None else msgspec.json.encode(v).decode() for v in series.to_list()],
                dtype=pl.String,
            )
        elif isinstance(dtype, pl.Duration):
            made = (series.dt.total_microseconds() / 60e6).cast(pl.String)
        else:
            made = series.cast(pl.String)
        columns.append(made.alias(f"{series.name}_2") if series.name == ROW else made)
    return pl.DataFrame(columns)
