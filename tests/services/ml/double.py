"""Storage in memory, as much of it as the ml service uses."""

import difflib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import polars as pl
import pyarrow as pa

from foodex.core.errors import NotFound
from foodex.domain.datasets import (
    Column,
    Comparison,
    Condition,
    Dataset,
    DatasetSpec,
    Layer,
    StoredObject,
)
from foodex.domain.deliveries import FIELD, Kind

NOW = datetime(2026, 3, 20, 12, tzinfo=UTC)


class StorageInMemory:
    def __init__(self, **frames: pl.DataFrame) -> None:
        self.frames = frames
        self.objects: dict[str, bytes] = {}
        self.zone = "Europe/Helsinki"

    async def dataset(self, name: str, layer: Layer = Layer.PROCESSED) -> Dataset:
        if name not in self.frames:
            near = difflib.get_close_matches(name, self.frames, 1)
            raise NotFound(f"There is no data set '{name}'; did you mean '{''.join(near)}'?")
        frame = self.frames[name]
        kinds = {n: FIELD[n].kind if n in FIELD else _kind(frame.schema[n]) for n in frame.columns}
        dated = "placed_at" in kinds and len(frame)
        first, last = (
            (frame["placed_at"].min(), frame["placed_at"].max()) if dated else (None, None)
        )
        return Dataset(
            name=name,
            layer=layer,
            columns=tuple(Column(name=n, kind=kind) for n, kind in kinds.items()),
            rows=len(frame),
            description="",
            time_zone=self.zone,
            created_at=NOW,
            changed_at=NOW,
            first_at=first,  # type: ignore[arg-type]
            last_at=last,  # type: ignore[arg-type]
        )

    async def create_dataset(self, spec: DatasetSpec) -> Dataset:
        types = {Kind.NUMBER: pl.Float64, Kind.TIME: pl.Datetime("us", "UTC")}
        self.frames[spec.name] = self.frames.get(spec.name, pl.DataFrame()).with_columns(
            pl.lit(None, types.get(c.kind, pl.String)).alias(c.name) for c in spec.columns
        )
        return replace(await self.dataset(spec.name), layer=spec.layer)

    async def scan(
        self,
        name: str,
        layer: Layer = Layer.PROCESSED,
        *,
        columns: Sequence[str] | None = None,
        where: Sequence[Condition] = (),
    ) -> AsyncIterator[pa.RecordBatch]:
        frame = self.frames[name]
        for condition in where:
            at, value = pl.col(condition.field), condition.value
            ge = condition.comparison is Comparison.GE
            frame = frame.filter(at >= value if ge else at.is_in(value))
        for batch in frame.select(columns or frame.columns).to_arrow().to_batches(100):
            yield batch

    async def insert_rows(
        self, name: str, layer: Layer, rows: Sequence[Mapping[str, Any]]
    ) -> tuple[int, ...]:
        frame = self.frames[name]
        schema = {name: frame.schema[name] for name in frame.columns}
        more = pl.DataFrame([{**dict.fromkeys(schema), **row} for row in rows], schema=schema)
        self.frames[name] = pl.concat([frame, more])
        return tuple(range(len(frame), len(frame) + len(rows)))

    async def put_object(self, key: str, body: bytes | AsyncIterator[bytes]) -> StoredObject:
        self.objects[key] = body if isinstance(body, bytes) else b"".join([p async for p in body])
        return StoredObject(key=key, size_bytes=len(self.objects[key]), changed_at=NOW)

    async def get_object(self, key: str) -> AsyncIterator[bytes]:
        if key not in self.objects:
            raise NotFound(f"There is no object '{key}'")
        yield self.objects[key]

    async def delete_object(self, key: str) -> None:
        self.objects.pop(key, None)


def _kind(dtype: pl.DataType) -> Kind:
    return Kind.NUMBER if dtype.is_numeric() else Kind.CATEGORY
