"""The next rows of a source from a cursor: a place in it that needs no memory of ours."""

import base64
import binascii
import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from foodex.core.errors import FieldProblem, InvalidInput
from foodex.domain.loads import Format, SourceBatch
from foodex.domain.mappings import FileRule
from foodex.services.collector.opening import Limits, Looked, TextFile, dialect_of, look
from foodex.services.collector.paging import PagedSource
from foodex.services.collector.reading import decode_line, texts_of
from foodex.services.collector.rejected import BROKEN_LINE

Row = Mapping[str, Any]
_GROWN: Final = "(more)"
"""Under this name stand the fields of a line beyond the columns."""


class Place(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Where the next row is: a file's name, the offset in it (bytes, or rows of Parquet), or the
    place of a page, and the row within that page."""

    file: str = ""
    offset: int = 0
    page: str | None = None
    row: int = 0


def cursor_of(place: Place) -> str:
    """A place as the text that callers hand back."""
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).decode().rstrip("=")


def place_of(cursor: str | None) -> Place:
    """The place a cursor tells of; `InvalidInput` for a text that is none of ours."""
    if not cursor:
        return Place()
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        place = msgspec.json.decode(base64.urlsafe_b64decode(padded), type=Place)
        if place.offset >= 0 and place.row >= 0:
            return place
    except (ValueError, binascii.Error):
        pass
    raise InvalidInput(
        "The cursor is none that a batch of this source gave",
        problems=[FieldProblem("cursor", "pass `next_cursor` of an earlier batch unchanged")],
    )


def next_of_files(
    files: tuple[Path, ...], rule: FileRule, limits: Limits, cursor: str | None, size: int
) -> SourceBatch:
    """The next rows of files that are read one after another."""
    place = place_of(cursor)
    rows: list[Row] = []
    left = [path for path in files if not place.file or path.name >= place.file]
    for path in left:
        offset = place.offset if path.name == place.file else 0
        more, following = _next_of_file(
            look(path, rule, limits), rule, limits, offset, size - len(rows)
        )
        rows += more
        if following is not None:
            return SourceBatch(
                rows=tuple(rows), next_cursor=cursor_of(Place(file=path.name, offset=following))
            )
        if len(rows) >= size and path != left[-1]:
            after = left[left.index(path) + 1]
            return SourceBatch(rows=tuple(rows), next_cursor=cursor_of(Place(file=after.name)))
    return SourceBatch(rows=tuple(rows), next_cursor=None)


def _next_of_file(
    looked: Looked, rule: FileRule, limits: Limits, offset: int, size: int
) -> tuple[list[Row], int | None]:
    if looked.format is Format.PARQUET:
        return _parquet(looked, offset, size)
    if looked.format is Format.NDJSON:
        return _ndjson(looked, limits, offset, size)
    return _csv(looked, rule, limits, offset, size)


def _csv(
    looked: Looked, rule: FileRule, limits: Limits, offset: int, size: int
) -> tuple[list[Row], int | None]:
    dialect = dialect_of(looked, rule, limits)
    with TextFile(looked, limits, offset=offset) as text:
        records = (record for record in dialect.reader(text.lines()) if record)
        if rule.header and offset == 0:
            next(records, None)
        rows: list[Row] = []
        for record in itertools.islice(records, size):
            row: dict[str, Any] = dict(
                itertools.zip_longest(dialect.names, record[: len(dialect.names)])
            )
            if len(record) > len(dialect.names):
                row[_GROWN] = record[len(dialect.names) :]
            rows.append(row)
        return rows, text.offset if text.stream.peek(1) else None


def _ndjson(looked: Looked, limits: Limits, offset: int, size: int) -> tuple[list[Row], int | None]:
    with TextFile(looked, limits, offset=offset) as text:
        rows: list[Row] = []
        for line in text.lines():
            if line.strip():
                try:
                    rows.append(decode_line(line))
                except ValueError:
                    rows.append({BROKEN_LINE: line.rstrip("\n")})
            if len(rows) >= size:
                break
        return rows, text.offset if text.stream.peek(1) else None


def _parquet(looked: Looked, offset: int, size: int) -> tuple[list[Row], int | None]:
    rows: list[Row] = []
    try:
        with pq.ParquetFile(looked.path) as file:
            start, total = 0, file.metadata.num_rows
            for group in range(file.metadata.num_row_groups):
                count = file.metadata.row_group(group).num_rows
                skip = offset + len(rows) - start
                if len(rows) < size and skip < count:
                    table = file.read_row_group(group).slice(skip, size - len(rows))
                    rows += texts_of(pl.DataFrame(pl.from_arrow(table))).to_dicts()
                start += count
    except (pa.ArrowException, OSError) as error:
        raise InvalidInput(f"{looked.path.name}: the Parquet file is damaged: {error}") from None
    following = offset + len(rows)
    return rows, following if following < total else None


async def next_of_pages(source: PagedSource, cursor: str | None, size: int) -> SourceBatch:
    """The next rows of a source that pages, however long its own pages are."""
    place = place_of(cursor)
    rows: list[Row] = []
    while True:
        page = await source.page(place.page)
        taken = page.rows[place.row : place.row + size - len(rows)]
        rows += taken
        reached = place.row + len(taken)
        if reached < len(page.rows):
            place = Place(page=place.page, row=reached)
            return SourceBatch(rows=tuple(rows), next_cursor=cursor_of(place))
        if page.next is None:
            return SourceBatch(rows=tuple(rows), next_cursor=None)
        place = Place(page=page.next)
        if len(rows) >= size:
            return SourceBatch(rows=tuple(rows), next_cursor=cursor_of(place))
