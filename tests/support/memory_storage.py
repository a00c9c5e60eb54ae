"""The part of storage that the collector uses, in memory."""

import dataclasses
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime

import polars as pl
import pyarrow as pa

from foodex.core.errors import NotFound
from foodex.domain.datasets import ROW_ID, Dataset, DatasetSpec, Layer, ObjectsPage, StoredObject

P = Layer.PROCESSED


class MemoryStorage:
    def __init__(self) -> None:
        self.made: dict[tuple[str, Layer], Dataset] = {}
        self.seen: dict[tuple[str, Layer], dict[int, pl.DataFrame]] = {}
        self.staged: dict[tuple[str, Layer, int], pl.DataFrame] = {}
        self.objects: dict[str, bytes] = {}

    def frame(self, name: str, layer: Layer = P) -> pl.DataFrame:
        return pl.concat(self.seen[name, layer].values(), how="diagonal").sort(ROW_ID)

    async def create_dataset(self, spec: DatasetSpec) -> Dataset:
        key, now = (spec.name, spec.layer), datetime.now(UTC)
        old = self.made.get(key) or Dataset(
            **dataclasses.asdict(spec) | {"columns": ()}, rows=0, created_at=now, changed_at=now
        )
        columns = {column.name: column for column in (*old.columns, *spec.columns)}
        self.made[key] = dataclasses.replace(old, columns=tuple(columns.values()))
        self.seen.setdefault(key, {})
        return self.made[key]

    async def dataset(self, name: str, layer: Layer = P) -> Dataset:
        if (name, layer) not in self.made:
            raise NotFound(f"There is no data set {name!r}")
        rows = sum(map(len, self.seen[name, layer].values()))
        return dataclasses.replace(self.made[name, layer], rows=rows)

    async def delete_dataset(self, name: str, layer: Layer = P) -> None:
        del self.made[name, layer], self.seen[name, layer]

    async def stage_rows(self, name: str, layer: Layer, load_id: int, rows: pa.Table) -> None:
        parts = [self.staged.get((name, layer, load_id)), pl.DataFrame(pl.from_arrow(rows))]
        there = [part for part in parts if part is not None]
        self.staged[name, layer, load_id] = pl.concat(there, how="diagonal")

    async def unstage_after(self, name: str, layer: Layer, load_id: int, row_id: int) -> None:
        if (staged := self.staged.get((name, layer, load_id))) is not None:
            self.staged[name, layer, load_id] = staged.filter(pl.col(ROW_ID) <= row_id)

    async def commit_load(self, name: str, layer: Layer, load_id: int) -> None:
        if (staged := self.staged.pop((name, layer, load_id), None)) is not None:
            self.seen[name, layer][load_id] = staged

    async def discard_load(self, name: str, layer: Layer, load_id: int) -> None:
        self.staged.pop((name, layer, load_id), None)

    async def scan(
        self, name: str, layer: Layer = P, *, columns: Sequence[str] = ()
    ) -> AsyncIterator[pa.RecordBatch]:
        if self.seen[name, layer]:
            for batch in self.frame(name, layer).select(columns).to_arrow().to_batches():
                yield batch

    async def put_object(self, key: str, body: bytes | AsyncIterator[bytes]) -> StoredObject:
        self.objects[key] = body if isinstance(body, bytes) else b"".join([p async for p in body])
        return await self.head_object(key)

    async def get_object(self, key: str) -> AsyncIterator[bytes]:
        await self.head_object(key)
        yield self.objects[key]

    async def head_object(self, key: str) -> StoredObject:
        if key not in self.objects:
            raise NotFound(f"There is no object {key}")
        size = len(self.objects[key])
        return StoredObject(key=key, size_bytes=size, changed_at=datetime.now(UTC))

    async def list_objects(self, prefix: str, *, after: str | None, limit: int = 3) -> ObjectsPage:
        keys = sorted(k for k in self.objects if k.startswith(prefix) and k > (after or ""))
        found = tuple([await self.head_object(key) for key in keys[:limit]])
        return ObjectsPage(objects=found, next_after=keys[limit - 1] if keys[limit:] else None)

    async def delete_object(self, key: str) -> None:
        self.objects.pop(key, None)
