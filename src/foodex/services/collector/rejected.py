"""Rejected rows, kept as objects: one piece per batch, however many there are."""

import asyncio
import io
from collections.abc import AsyncIterator, Sequence
from typing import Final

import msgspec
import polars as pl

from foodex.domain.loads import Rejection
from foodex.ports.storage import Storage
from foodex.services.collector.applying import ROW
from foodex.services.collector.reading import LINE

BROKEN_LINE: Final = "(line)"
"""Under this name stands the text of a line that is no row."""
_VALUES: Final = "values"
_ROWS_AT_ONCE: Final = 20_000


def with_values(rejected: pl.DataFrame, rows: pl.DataFrame, broken: pl.DataFrame) -> pl.DataFrame:
    """Rejections together with their rows as they came, as JSON, and the broken lines."""
    names = [name for name in rows.columns if name != ROW]
    refused = rows.filter(rows[ROW].is_in(rejected[ROW].implode()))
    came = refused.select(ROW, pl.struct(names).struct.json_encode().alias(_VALUES))
    lines = broken.drop(LINE).with_columns(
        broken.select(pl.col(LINE).alias(BROKEN_LINE))
        .select(pl.struct(BROKEN_LINE).struct.json_encode())
        .to_series()
        .alias(_VALUES)
    )
    return pl.concat([rejected.join(came, on=ROW, how="left"), lines]).sort(ROW)


def _prefix(load_id: int) -> str:
    return f"collector/rejections/{load_id:012d}/"


async def keep_rejections(storage: Storage, load_id: int, rejections: pl.DataFrame) -> None:
    """Keep a batch's rejections (not empty, by row); the same batch again replaces them."""
    body = io.BytesIO()
    await asyncio.to_thread(rejections.write_parquet, body, compression="zstd")
    # Named by its last row, so that listing after a row's name starts at the piece that has it.
    key = f"{_prefix(load_id)}{rejections[ROW][-1]:012d}.parquet"
    await storage.put_object(key, body.getvalue())


async def forget_rejections(storage: Storage, load_id: int, *, after_row: int = 0) -> None:
    """Remove a load's rejections of rows behind `after_row`."""
    async for key in _keys(storage, load_id, after_row):
        await storage.delete_object(key)


async def rejections_of(
    storage: Storage, load_id: int, *, after: int, limit: int
) -> tuple[Rejection, ...]:
    """Rejections by row number, from behind `after`."""
    found: list[Rejection] = []
    async for frame in _pieces(storage, load_id, after):
        for record in frame.filter(pl.col(ROW) > after).head(limit - len(found)).to_dicts():
            values = msgspec.json.decode(record.pop(_VALUES) or "{}")
            found.append(Rejection(**record, values=values))
        if len(found) >= limit:
            break
    return tuple(found)


async def rejections_as_csv(
    storage: Storage, load_id: int, columns: Sequence[str]
) -> AsyncIterator[bytes]:
    """All rejections as CSV: row, rule, field, reason and the columns as they came."""
    names = (*columns, BROKEN_LINE)
    header = pl.DataFrame(schema=dict.fromkeys((ROW, "rule", "field", "reason", *names), pl.String))
    yield header.write_csv().encode()
    async for frame in _pieces(storage, load_id, 0):
        for part in frame.iter_slices(_ROWS_AT_ONCE):
            yield await asyncio.to_thread(_csv, part, names)


async def _keys(storage: Storage, load_id: int, after_row: int) -> AsyncIterator[str]:
    prefix = _prefix(load_id)
    after: str | None = f"{prefix}{after_row:012d}.parquet"
    while after is not None:
        page = await storage.list_objects(prefix, after=after)
        for item in page.objects:
            yield item.key
        after = page.next_after


async def _pieces(storage: Storage, load_id: int, after_row: int) -> AsyncIterator[pl.DataFrame]:
    async for key in _keys(storage, load_id, after_row):
        body = b"".join([piece async for piece in storage.get_object(key)])
        yield await asyncio.to_thread(pl.read_parquet, io.BytesIO(body))


def _csv(rejections: pl.DataFrame, names: Sequence[str]) -> bytes:
    # Columns are numbered on the way, since one may be called like ours.
    inner = pl.Struct(dict.fromkeys(names, pl.String))
    values = rejections[_VALUES].fill_null("{}").str.json_decode(inner).struct.unnest()
    values.columns = [f"value_{number}" for number in range(len(names))]
    whole = rejections.drop(_VALUES).hstack(values)
    # A text that a spreadsheet would run as a formula is made plain text.
    harmless = whole.with_columns(pl.col(pl.String).str.replace(r"^([=@\t\r])", "'${1}"))
    return harmless.write_csv(include_header=False).encode()
