"""Running one load: read, apply, stage batch by batch, and let all of it appear at once.

Everything that decides about a row is the same on every run over the same bytes, so a load that
was interrupted reads from the start again, but stages only what lies behind its last checkpoint.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, TypeVar

import polars as pl
import pyarrow as pa

from foodex.core.clock import Clock
from foodex.core.errors import FoodexError, InvalidInput, NotFound
from foodex.core.settings import CollectorSettings
from foodex.domain.datasets import ROW_ID, ROWS_PER_LOAD, DatasetSpec, Layer
from foodex.domain.deliveries import Kind
from foodex.domain.loads import LoadState, SourceKind
from foodex.domain.mapping_toml import read_mapping
from foodex.domain.mappings import RecordMapping
from foodex.ports.storage import Storage
from foodex.services.collector.applying import ROW, apply
from foodex.services.collector.columns import (
    check_columns,
    processed_columns,
    raw_columns,
    raw_names,
)
from foodex.services.collector.fetching import Fetched, Fetcher, content_hash, limits_of
from foodex.services.collector.opening import look
from foodex.services.collector.order_ids import SeenOrders
from foodex.services.collector.reading import LINE, RawBatch, read_batches
from foodex.services.collector.rejected import forget_rejections, keep_rejections, with_values
from foodex.services.collector.repository import Job, Repository

T = TypeVar("T")
_LAYERS: Final = (Layer.RAW, Layer.PROCESSED)


class LostLoad(Exception):
    """Another collector has taken this load over, or somebody cancelled it."""


@dataclass(slots=True)
class _Counts:
    read: int = 0
    kept: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    repaired: Counter[str] = field(default_factory=Counter)

    def values(self) -> dict[str, Any]:
        return {
            "rows_read": self.read,
            "rows_kept": self.kept,
            "rows_rejected": self.rejected.total(),
            "rejected_by_rule": dict(sorted(self.rejected.items())),
            "repaired": dict(sorted(self.repaired.items())),
        }


@dataclass(frozen=True, slots=True)
class _Sorted:
    """A batch after the mapping: what stays, what is refused, both by row."""

    raw: RawBatch
    kept: pl.DataFrame
    refused: pl.DataFrame
    repaired: dict[str, int]


class LoadRun:
    """One load in the hands of one collector."""

    def __init__(
        self,
        job: Job,
        *,
        owner: str,
        repository: Repository,
        storage: Storage,
        fetcher: Fetcher,
        settings: CollectorSettings,
        clock: Clock,
    ) -> None:
        self._job = job
        self._load = job.load
        self._owner = owner
        self._repository = repository
        self._storage = storage
        self._fetcher = fetcher
        self._settings = settings
        self._clock = clock
        self._mapping = read_mapping(job.mapping_toml)
        self._counts = _Counts()
        self._columns: dict[str, None] = dict.fromkeys(job.columns)
        self._known_raw: set[str] = set()

    @property
    def key(self) -> str:
        """Under which fetched files are kept."""
        return f"load-{self._load.id}"

    async def run(self) -> None:
        """Bring the load to its end.

        Raises:
            InvalidInput, TooLarge: the load cannot succeed; nothing of it stays.
            Unavailable: something cannot answer now; to be run again later.
            LostLoad: no longer ours.
        """
        if self._job.committing:
            await self._commit()
            return
        async with self._fetcher.fetched(self._job.source, self.key) as fetched:
            digest = await asyncio.to_thread(content_hash, fetched.files)
            if self._load.content_hash not in (None, digest):
                raise InvalidInput(
                    f"{self._load.location} has changed since this load began; start a new one"
                )
            await self._keep({"content_hash": digest})
            if await self._is_there_already(digest):
                await self._end(LoadState.DUPLICATE, {})
                return
            await self._prepare()
            await self._stage(fetched)
            if not self._counts.read and self._job.source.kind is not SourceKind.HTTP:
                raise InvalidInput(f"{self._load.location} has no rows")
        if not await self._repository.start_commit(
            self._load.id, self._owner, self._counts.values() | {"progress": 1.0}
        ):
            raise LostLoad
        await self._commit()

    async def discard(self, state: LoadState, error: FoodexError | None) -> None:
        """Remove what was staged and end the load as failed or cancelled."""
        await self._forget_staged()
        values = {"rows_kept": 0, "rows_read": 0, "rows_rejected": 0, "rejected_by_rule": {}}
        why = {"error": str(error) if error else None, "error_type": error.type if error else None}
        await self._end(state, values | {"repaired": {}, "staged_row": 0} | why)

    async def beat(self) -> None:
        """Tell others that this load is alive; `LostLoad` if it is ours no more."""
        await self._keep({})

    async def _keep(self, values: dict[str, Any]) -> None:
        until = self._clock.now() + timedelta(seconds=self._settings.lease_seconds)
        if not await self._repository.keep(self._load.id, self._owner, until, values):
            raise LostLoad

    async def _end(self, state: LoadState, values: dict[str, Any]) -> None:
        values = values | {"state": state, "finished_at": self._clock.now()}
        if state in (LoadState.DONE, LoadState.DUPLICATE):
            values |= {"progress": 1.0, "error": None}
        if not await self._repository.keep(self._load.id, self._owner, None, values):
            raise LostLoad
        await self._fetcher.forget(self.key)

    async def _commit(self) -> None:
        for layer in _LAYERS:
            await self._storage.commit_load(self._load.dataset, layer, self._load.id)
        await self._end(LoadState.DONE, {})

    async def _is_there_already(self, digest: str) -> bool:
        since = await self._dataset_made_at(Layer.PROCESSED)
        if since is None:
            return False
        same = await self._repository.same_content(
            self._load.dataset, digest, self._job.mapping_hash, since
        )
        return same is not None

    async def _dataset_made_at(self, layer: Layer) -> datetime | None:
        try:
            return (await self._storage.dataset(self._load.dataset, layer)).created_at
        except NotFound:
            return None

    async def _prepare(self) -> None:
        spec = DatasetSpec(
            name=self._load.dataset,
            columns=processed_columns(self._mapping),
            time_zone=self._mapping.time_zone or "UTC",
        )
        await self._storage.create_dataset(spec)
        await self._ready_for_raw(())
        for layer in _LAYERS:
            await self._storage.unstage_after(
                self._load.dataset, layer, self._load.id, self._row_id(self._job.staged_row)
            )
        await forget_rejections(self._storage, self._load.id, after_row=self._job.staged_row)

    async def _ready_for_raw(self, columns: tuple[str, ...]) -> dict[str, str]:
        """Let the raw data set have these columns; gives their names there."""
        self._columns.update(dict.fromkeys(columns))
        if len(self._columns) > self._settings.max_columns:
            raise InvalidInput(
                f"{self._load.location} has more than {self._settings.max_columns} columns"
            )
        names = raw_names(self._columns)
        if not self._known_raw or not set(names.values()) <= self._known_raw:
            spec = DatasetSpec(
                name=self._load.dataset,
                layer=Layer.RAW,
                columns=raw_columns(names),
                time_zone=self._mapping.time_zone or "UTC",
            )
            await self._storage.create_dataset(spec)
            self._known_raw = set(names.values())
        return names

    def _row_id(self, row: int) -> int:
        return self._load.id * ROWS_PER_LOAD + row

    async def _stage(self, fetched: Fetched) -> None:
        seen = await self._orders_there() if self._mapping.rule("order_id") else None
        batches = sorted_batches(fetched, self._mapping, self._settings, seen)
        async for batch in _ahead(batches):
            self._count(batch)
            if batch.raw.last_row > self._job.staged_row:
                await self._stage_batch(batch)
            else:
                await self.beat()

    def _count(self, batch: _Sorted) -> None:
        self._counts.kept += len(batch.kept)
        self._counts.read += len(batch.kept) + len(batch.refused)
        for rule, count in batch.refused["rule"].value_counts().iter_rows():
            self._counts.rejected[rule] += count
        self._counts.repaired.update(batch.repaired)

    async def _stage_batch(self, batch: _Sorted) -> None:
        names = await self._ready_for_raw(tuple(batch.raw.rows.columns[1:]))
        await self._stage_rows(Layer.RAW, batch.raw.rows.rename(names))
        await self._stage_rows(Layer.PROCESSED, batch.kept)
        refused = batch.refused.filter(pl.col(ROW) > self._job.staged_row)
        if len(refused):
            await keep_rejections(self._storage, self._load.id, refused)
        await self._keep(
            self._counts.values()
            | {
                "staged_row": batch.raw.last_row,
                "progress": min(batch.raw.progress, 0.999),
                "columns": list(self._columns),
            }
        )
        job = await self._repository.job(self._load.id)
        if job is None or job.cancelled:
            raise LostLoad

    async def _stage_rows(self, layer: Layer, frame: pl.DataFrame) -> None:
        def numbered() -> pa.Table:
            rows = frame.filter(pl.col(ROW) > self._job.staged_row)
            rows = rows.with_columns(pl.col(ROW) + self._row_id(0)).rename({ROW: ROW_ID})
            return rows.to_arrow(compat_level=pl.CompatLevel.oldest())

        table = await asyncio.to_thread(numbered)
        if table.num_rows:
            await self._storage.stage_rows(self._load.dataset, layer, self._load.id, table)

    async def _orders_there(self) -> SeenOrders:
        seen = SeenOrders()
        dataset = await self._storage.dataset(self._load.dataset, Layer.PROCESSED)
        if any(c.name == "order_id" and c.kind is Kind.TEXT for c in dataset.columns):
            async for batch in self._storage.scan(self._load.dataset, columns=["order_id"]):
                ids = pl.Series(pl.from_arrow(batch.column("order_id"))).cast(pl.String)
                await asyncio.to_thread(seen.add, ids)
        return seen

    async def _forget_staged(self) -> None:
        for layer in _LAYERS:
            try:
                await self._storage.discard_load(self._load.dataset, layer, self._load.id)
                dataset = await self._storage.dataset(self._load.dataset, layer)
                # A data set that this load alone has made goes with it.
                if dataset.rows == 0 and dataset.created_at >= self._load.started_at:
                    await self._storage.delete_dataset(self._load.dataset, layer)
            except NotFound:
                continue
        await forget_rejections(self._storage, self._load.id)


def sorted_batches(
    fetched: Fetched,
    mapping: RecordMapping,
    settings: CollectorSettings,
    seen: SeenOrders | None,
) -> Iterator[_Sorted]:
    limits = limits_of(settings)
    first_row, total = 1, sum(path.stat().st_size for path in fetched.files) or 1
    done = 0
    for path in fetched.files:
        looked = look(path, mapping.file, limits)
        checked = False
        share = looked.size_bytes / total
        for raw in read_batches(
            looked, mapping.file, limits, size=settings.batch_rows, first_row=first_row
        ):
            if raw.last_row >= ROWS_PER_LOAD:
                raise InvalidInput(f"{path.name} makes a load of {ROWS_PER_LOAD} rows or more")
            if not checked and len(raw.rows.columns) > 1:
                check_columns(mapping, raw.rows.columns[1:], path.name)
                checked = True
            raw = RawBatch(raw.rows, raw.broken, raw.last_row, done / total + share * raw.progress)
            yield _sort_rows(raw, mapping, seen, path if fetched.named else None)
            first_row = raw.last_row + 1
        done += looked.size_bytes


def _sort_rows(
    raw: RawBatch, mapping: RecordMapping, seen: SeenOrders | None, path: Path | None
) -> _Sorted:
    applied = apply(mapping, raw.rows)
    kept, refused = applied.kept, applied.rejected
    if seen is not None and len(kept):
        again = seen.add(kept["order_id"])
        if again.any():
            repeated = kept.filter(again).select(
                ROW,
                pl.lit("duplicate_order").alias("rule"),
                pl.lit("order_id").alias("field"),
                pl.format("'{}' is there already", "order_id").alias("reason"),
            )
            kept = kept.filter(~again)
            refused = pl.concat([refused, repeated]).sort(ROW)
    if len(refused) or len(raw.broken):
        refused = with_values(refused, raw.rows, raw.broken)
        if path is not None:
            where = pl.format("{}: {}", pl.lit(path.name), "reason").alias("reason")
            refused = refused.with_columns(where)
    return _Sorted(
        RawBatch(raw.rows, raw.broken.drop(LINE), raw.last_row, raw.progress),
        kept,
        refused,
        applied.repaired,
    )


async def _ahead(items: Iterator[T]) -> AsyncIterator[T]:
    """Items made in a thread, the next one while the last is worked on."""

    def following() -> tuple[T] | None:
        for item in items:
            return (item,)
        return None

    task = asyncio.create_task(asyncio.to_thread(following))
    try:
        while (made := await task) is not None:
            task = asyncio.create_task(asyncio.to_thread(following))
            yield made[0]
    finally:
        # The thread cannot be stopped, and what it reads from must not be closed under it.
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()
        close = getattr(items, "close", None)
        if close:
            close()
