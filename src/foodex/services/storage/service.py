"""Data sets, their rows, analytical questions and objects."""

import asyncio
import difflib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

import pyarrow as pa

from foodex.core.access import who
from foodex.core.clock import Clock
from foodex.core.errors import Conflict, FieldProblem, InvalidInput, NotFound, TooLarge
from foodex.core.settings import StorageSettings
from foodex.core.sql import Database, migrate
from foodex.domain.datasets import (
    ROW_ID,
    ROWS_PER_LOAD,
    Action,
    Column,
    Condition,
    Dataset,
    DatasetSpec,
    Layer,
    ObjectsPage,
    QueryLimits,
    QueryResult,
    RowsPage,
    StoredObject,
)
from foodex.domain.deliveries import Kind
from foodex.ports.objects import Objects
from foodex.ports.warehouse import Warehouse
from foodex.services.storage import repository, rules

_ARROW = {
    Kind.TEXT: pa.string(),
    Kind.CATEGORY: pa.string(),
    Kind.NUMBER: pa.float64(),
    Kind.INTEGER: pa.int64(),
    Kind.TIME: pa.timestamp("us", "UTC"),
}


_COUNT_SECONDS: Final = 60.0
"""For how long a count is believed: whoever is killed between writing rows and saying so, says it
never."""
_MOST_COUNTS: Final = 1000


class StorageService:
    """Implements the port `Storage` on a database, a warehouse and objects."""

    def __init__(
        self,
        *,
        database: Database,
        warehouse: Warehouse,
        objects: Objects,
        settings: StorageSettings,
        clock: Clock,
    ) -> None:
        self._database = database
        self._warehouse = warehouse
        self._objects = objects
        self._settings = settings
        self._clock = clock
        self._counts: dict[str, _Count] = {}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Be ready within the block."""
        await migrate(self._database, "storage")
        yield

    async def create_dataset(self, spec: DatasetSpec) -> Dataset:
        """Make a data set, or add the columns it lacks."""
        rules.check_spec(spec)
        async with self._database.connect() as connection:
            there = await repository.find(connection, spec.name, spec.layer)
        now = self._clock.now()
        dataset = there or Dataset(
            name=spec.name,
            layer=spec.layer,
            columns=(),
            rows=0,
            description=spec.description,
            time_zone=spec.time_zone,
            created_at=now,
            changed_at=now,
        )
        added = _lacking(dataset, spec.columns)
        if there and not added:
            return await self._counted(there)
        dataset = replace(dataset, columns=dataset.columns + added, changed_at=now)
        # The table first: if this is cut off in between, asking again finds everything as it was.
        await self._warehouse.create_table(_table(dataset), dataset.columns)
        async with self._database.transaction() as connection:
            # Somebody else may have made it, or added columns, meanwhile.
            await repository.add(connection, dataset)
            latest = await repository.find(connection, spec.name, spec.layer, lock=True)
            assert latest is not None
            columns = latest.columns + _lacking(latest, spec.columns)
            dataset = replace(latest, columns=columns, changed_at=now)
            await repository.put(connection, dataset)
            await self._log(
                connection,
                "dataset.change" if there else "dataset.create",
                _target(spec.name, spec.layer),
                columns=[column.name for column in added],
            )
        return await self._counted(dataset)

    async def datasets(self) -> tuple[Dataset, ...]:
        """All data sets of both layers, by name."""
        async with self._database.connect() as connection:
            found = await repository.find_all(connection)
        return tuple(await asyncio.gather(*map(self._counted, found)))

    async def dataset(self, name: str, layer: Layer = Layer.PROCESSED) -> Dataset:
        """One data set."""
        return await self._counted(await self._known(name, layer))

    async def describe_dataset(
        self,
        name: str,
        layer: Layer = Layer.PROCESSED,
        *,
        description: str | None = None,
        time_zone: str | None = None,
    ) -> Dataset:
        """Change what is said of a data set."""
        await self._known(name, layer)
        if time_zone is not None and (problems := rules.zone_problems(time_zone)):
            raise InvalidInput("The data set cannot be described so", problems=problems)
        async with self._database.transaction() as connection:
            dataset = await repository.find(connection, name, layer, lock=True)
            if dataset is None:
                raise NotFound(f"There is no {layer} data set '{name}' any more")
            changed = replace(
                dataset,
                description=dataset.description if description is None else description,
                time_zone=time_zone or dataset.time_zone,
                changed_at=self._clock.now(),
            )
            await repository.put(connection, changed)
            await self._log(connection, "dataset.describe", _target(name, layer))
        return await self._counted(changed)

    async def delete_dataset(self, name: str, layer: Layer = Layer.PROCESSED) -> None:
        """Remove a data set and its rows."""
        dataset = await self._known(name, layer)
        # The rows first: were it cut off the other way round, a new data set of the name would
        # find the old one's rows.
        await self._warehouse.drop_table(_table(dataset))
        self._counts.pop(_table(dataset), None)
        async with self._database.transaction() as connection:
            await repository.delete(connection, name, layer)
            await self._log(connection, "dataset.delete", _target(name, layer))

    async def stage_rows(self, name: str, layer: Layer, load_id: int, rows: pa.Table) -> None:
        """Add rows to an uncommitted load."""
        await self._warehouse.stage(await self._table_of(name, layer), load_id, rows)

    async def staged_until(self, name: str, layer: Layer, load_id: int) -> int | None:
        """The highest `row_id` of the load."""
        return await self._warehouse.staged_until(await self._table_of(name, layer), load_id)

    async def unstage_after(self, name: str, layer: Layer, load_id: int, row_id: int) -> None:
        """Forget what is staged under the load with a higher `row_id`."""
        await self._warehouse.unstage_after(await self._table_of(name, layer), load_id, row_id)

    async def commit_load(self, name: str, layer: Layer, load_id: int) -> None:
        """Let the load's rows appear at once."""
        await self._warehouse.commit(await self._table_of(name, layer), load_id)
        await self._changed(name, layer, "load.commit", load=load_id)

    async def discard_load(self, name: str, layer: Layer, load_id: int) -> None:
        """Forget the load's staged rows."""
        await self._warehouse.discard(await self._table_of(name, layer), load_id)
        await self._changed(name, layer, "load.discard", load=load_id)

    async def scan(
        self,
        name: str,
        layer: Layer = Layer.PROCESSED,
        *,
        columns: Sequence[str] | None = None,
        where: Sequence[Condition] = (),
    ) -> AsyncIterator[pa.RecordBatch]:
        """All matching rows in order of `row_id`, in batches; at least one, so with a schema."""
        async with aclosing(self._scan(name, layer, columns, where)) as batches:
            async for batch in batches:
                yield batch

    async def rows(
        self,
        name: str,
        layer: Layer = Layer.PROCESSED,
        *,
        columns: Sequence[str] | None = None,
        where: Sequence[Condition] = (),
        after: int | None = None,
        limit: int = 100,
    ) -> RowsPage:
        """One page of rows; each has its `row_id`."""
        if not 1 <= limit <= self._settings.page_rows:
            problem = FieldProblem("limit", f"is not between 1 and {self._settings.page_rows}")
            raise InvalidInput("There is no such page", problems=[problem])
        if columns is not None and ROW_ID not in columns:
            columns = [ROW_ID, *columns]
        found: list[dict[str, Any]] = []
        pages = self._scan(name, layer, columns, where, after=after, limit=limit + 1)
        async with aclosing(pages) as batches:
            async for batch in batches:
                found += batch.to_pylist()
        more = len(found) > limit
        found = found[:limit]
        return RowsPage(rows=tuple(found), next_after=found[-1][ROW_ID] if more else None)

    async def insert_rows(
        self, name: str, layer: Layer, rows: Sequence[Mapping[str, Any]]
    ) -> tuple[int, ...]:
        """Add rows by hand; returns their `row_id`s."""
        dataset = await self._known(name, layer)
        kinds = rules.kinds_of(dataset.columns)
        checked = rules.checked_rows(rows, kinds)
        if not checked:
            return ()
        async with self._database.transaction() as connection:
            last = await repository.take_rows(connection, name, layer, len(checked))
        if last >= ROWS_PER_LOAD:
            raise Conflict(f"The data set '{name}' has no numbers left for rows written by hand")
        numbers = range(last - len(checked) + 1, last + 1)
        schema = pa.schema([(column, _ARROW[kind]) for column, kind in kinds.items()])
        table = pa.Table.from_pylist(
            [{**row, ROW_ID: number} for row, number in zip(checked, numbers, strict=True)], schema
        )
        await self._warehouse.insert(_table(dataset), table)
        await self._changed(name, layer, "rows.insert", rows=len(checked))
        return tuple(numbers)

    async def update_rows(
        self, name: str, layer: Layer, where: Sequence[Condition], values: Mapping[str, Any]
    ) -> int:
        """Set values on matching rows; returns how many."""
        dataset = await self._known(name, layer)
        conditions = _narrowed(dataset, where)
        checked = rules.checked_values(values, rules.kinds_of(dataset.columns))
        count = await self._warehouse.update(_table(dataset), conditions, checked)
        await self._changed(name, layer, "rows.update", rows=count, fields=sorted(checked))
        return count

    async def delete_rows(self, name: str, layer: Layer, where: Sequence[Condition]) -> int:
        """Remove matching rows; returns how many."""
        dataset = await self._known(name, layer)
        count = await self._warehouse.delete(_table(dataset), _narrowed(dataset, where))
        await self._changed(name, layer, "rows.delete", rows=count)
        return count

    async def query(self, sql: str) -> QueryResult:
        """Answer one read-only analytical question."""
        limits = QueryLimits(
            seconds=self._settings.query_seconds,
            rows=self._settings.query_rows,
            memory_bytes=self._settings.query_memory_bytes,
        )
        result = await self._warehouse.query(sql, limits)
        async with self._database.transaction() as connection:
            await self._log(
                connection,
                "query",
                sql.strip()[:1000],
                rows=len(result.rows),
                seconds=round(result.elapsed_seconds, 3),
            )
        return result

    async def put_object(self, key: str, body: bytes | AsyncIterator[bytes]) -> StoredObject:
        """Store an object."""
        limit = self._settings.object_bytes
        if isinstance(body, bytes):
            if len(body) > limit:
                raise TooLarge(f"An object has at most {limit} bytes")
        else:
            body = _bounded(body, limit)
        stored = await self._objects.put(key, body)
        async with self._database.transaction() as connection:
            await self._log(connection, "object.put", key, bytes=stored.size_bytes)
        return stored

    async def get_object(self, key: str) -> AsyncIterator[bytes]:
        """An object's bytes, in pieces."""
        async for piece in self._objects.stream(key):
            yield piece

    async def head_object(self, key: str) -> StoredObject:
        """An object's facts."""
        return await self._objects.head(key)

    async def list_objects(
        self, prefix: str = "", *, after: str | None = None, limit: int = 1000
    ) -> ObjectsPage:
        """Objects by key."""
        return await self._objects.list(prefix, after=after, limit=limit)

    async def delete_object(self, key: str) -> None:
        """Remove an object."""
        await self._objects.delete(key)
        async with self._database.transaction() as connection:
            await self._log(connection, "object.delete", key)

    async def actions(self, *, before: int | None = None, limit: int = 100) -> tuple[Action, ...]:
        """The log of actions, newest first."""
        async with self._database.connect() as connection:
            return tuple(await repository.read_log(connection, before=before, limit=limit))

    async def _scan(
        self,
        name: str,
        layer: Layer,
        columns: Sequence[str] | None,
        where: Sequence[Condition],
        *,
        after: int | None = None,
        limit: int | None = None,
    ) -> AsyncGenerator[pa.RecordBatch, None]:
        dataset = await self._known(name, layer)
        conditions = rules.checked_conditions(where, rules.kinds_of(dataset.columns))
        scanned = self._warehouse.scan(
            _table(dataset), columns, conditions, after=after, limit=limit
        )
        async for batch in scanned:
            yield batch

    async def _known(self, name: str, layer: Layer) -> Dataset:
        async with self._database.connect() as connection:
            found = await repository.find(connection, name, layer)
            if found:
                return found
            every = await repository.find_all(connection)
        if any(other.name == name for other in every):
            raise NotFound(f"There is no {layer} data set '{name}', only one of the other layer")
        names = [other.name for other in every if other.layer is layer]
        near = difflib.get_close_matches(name, names, 3, 0.5)
        hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
        raise NotFound(f"There is no {layer} data set '{name}'{hint}")

    async def _table_of(self, name: str, layer: Layer) -> str:
        return _table(await self._known(name, layer))

    async def _counted(self, dataset: Dataset) -> Dataset:
        """The data set with its rows and span: counted when it has changed, or a while ago."""
        table, now = _table(dataset), time.monotonic()
        known = self._counts.get(table)
        if known and known.changed_at == dataset.changed_at and now < known.until:
            return replace(dataset, rows=known.rows, first_at=known.first_at, last_at=known.last_at)
        counted = await self._count(dataset, table)
        if len(self._counts) >= _MOST_COUNTS:
            self._counts.clear()
        self._counts[table] = _Count(
            changed_at=dataset.changed_at,
            until=now + _COUNT_SECONDS,
            rows=counted.rows,
            first_at=counted.first_at,
            last_at=counted.last_at,
        )
        return counted

    async def _count(self, dataset: Dataset, table: str) -> Dataset:
        try:
            rows = await self._warehouse.count(table)
        except NotFound:
            # Deleting it was cut off half-way: the rows are gone, the data set is not.
            await self._warehouse.create_table(table, dataset.columns)
            rows = 0
        first = last = None
        if rows and any(column.name == "placed_at" for column in dataset.columns):
            first, last = await self._warehouse.span(table, "placed_at")
        return replace(dataset, rows=rows, first_at=first, last_at=last)

    async def _changed(self, name: str, layer: Layer, what: str, **details: Any) -> None:
        async with self._database.transaction() as connection:
            await repository.touch(connection, name, layer, self._clock.now())
            await self._log(connection, what, _target(name, layer), **details)
        self._counts.pop(f"{layer}_{name}", None)

    async def _log(self, connection: Any, what: str, target: str, **details: Any) -> None:
        await repository.log(
            connection, at=self._clock.now(), who=who(), what=what, target=target, details=details
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Count:
    """What was counted of a data set as it was at `changed_at`; `until` is of `time.monotonic`."""

    changed_at: datetime
    until: float
    rows: int
    first_at: datetime | None
    last_at: datetime | None


def _table(dataset: Dataset) -> str:
    return f"{dataset.layer}_{dataset.name}"


def _target(name: str, layer: Layer) -> str:
    return f"{layer}/{name}"


def _lacking(dataset: Dataset, columns: Sequence[Column]) -> tuple[Column, ...]:
    there = {column.name: column.kind for column in dataset.columns}
    problems = [
        FieldProblem(column.name, f"is there already as {there[column.name]}")
        for column in columns
        if there.get(column.name, column.kind) is not column.kind
    ]
    if problems:
        raise Conflict(f"The columns do not fit the data set '{dataset.name}'", problems=problems)
    return tuple(column for column in columns if column.name not in there)


def _narrowed(dataset: Dataset, where: Sequence[Condition]) -> list[Condition]:
    if not where:
        raise InvalidInput("Say which rows: without a condition this would touch all of them")
    return rules.checked_conditions(where, rules.kinds_of(dataset.columns))


async def _bounded(body: AsyncIterator[bytes], limit: int) -> AsyncIterator[bytes]:
    seen = 0
    async for piece in body:
        seen += len(piece)
        if seen > limit:
            raise TooLarge(f"An object has at most {limit} bytes")
        yield piece
