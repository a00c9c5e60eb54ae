# ruff: noqa: S608 -- every name and value in these texts is quoted by `name` and `literal`
"""The warehouse over a ClickHouse engine.

A row is seen when its load has a mark: rows of an open load lie in the same table as all others
and every read asks only for marked loads (and load 0, rows written by hand). Committing is the
insertion of one small row, so it happens or it does not, whatever is killed; nothing is moved,
and thousands of loads merge into few parts like any other rows.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any, Final, TypeVar

import pyarrow as pa

from foodex.adapters.warehouse import questions
from foodex.adapters.warehouse.arrow import aligned, plain, schema_of
from foodex.adapters.warehouse.engine import NO_SETTINGS, Engine, Settings
from foodex.adapters.warehouse.sql import (
    KINDS,
    MARKS,
    check_columns,
    check_table,
    definition,
    fitting,
    literal,
    name,
    where,
)
from foodex.core.errors import Conflict, FieldProblem, InvalidInput, NotFound, Unavailable
from foodex.domain.datasets import (
    LOAD_ID,
    ROW_ID,
    Column,
    Condition,
    QueryLimits,
    QueryResult,
)
from foodex.domain.deliveries import Kind

T = TypeVar("T")

PART_ROWS: Final = 100_000
"""Rows of one insertion; each becomes one part, and so is stored whole or not at all."""
_WAIT_FOR_IT: Final[Settings] = {"mutations_sync": 1}
# A power cut may take what the system had not written yet; what was acknowledged must be there.
# A merge needs no such care: what it merged is kept for minutes. Parts of one file are cheap to
# wait for; the merged ones that are read for years have a file for each column.
_DURABLE: Final = (
    "fsync_after_insert = 1, fsync_part_directory = 1, min_bytes_for_wide_part = 67108864"
)
_SETTLE_SECONDS: Final = 300.0
_IDLE_SECONDS: Final = 3.0
_MANY_BATCHES: Final = 3


class TableWarehouse:
    """Tables on a ClickHouse engine; implements the port `Warehouse`."""

    def __init__(self, engine: Engine, *, threads: int = 8) -> None:
        self.engine = engine
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="warehouse")
        # Counting and changing rows are two statements, which others must not come between.
        self._changing = asyncio.Lock()
        self._prepared = False
        self._closed = False
        self._sleeping: asyncio.TimerHandle | None = None

    async def create_table(self, table: str, columns: Sequence[Column]) -> None:
        """Make the table, or add the columns it lacks."""
        check_table(table)
        check_columns(columns)
        await self._prepare()
        made = "".join(f", {definition(column)}" for column in columns)
        await self._run(
            f"CREATE TABLE IF NOT EXISTS {self._name(table)} "
            f"({ROW_ID} Int64, {LOAD_ID} Int64{made}) ENGINE = MergeTree ORDER BY {ROW_ID} "
            f"SETTINGS {_DURABLE}"
        )
        there = await self._kinds(table)
        problems = [
            FieldProblem(column.name, f"is there already as {there[column.name]}")
            for column in columns
            if there.get(column.name, column.kind) != column.kind
        ]
        if problems:
            raise Conflict(f"The columns of {table} do not fit", problems=problems)
        lacking = [column for column in columns if column.name not in there]
        if lacking:
            added = ", ".join(f"ADD COLUMN IF NOT EXISTS {definition(c)}" for c in lacking)
            await self._run(f"ALTER TABLE {self._name(table)} {added}")

    async def drop_table(self, table: str) -> None:
        """Remove the table and what is staged for it."""
        check_table(table)
        await self._prepare()
        # The table goes before its marks: marks of no table show nothing, and a table that is
        # made anew under the name has loads of its own.
        await self._run(f"DROP TABLE IF EXISTS {self._name(table)} SYNC")
        await self._run(
            f"ALTER TABLE {self._name(MARKS)} DELETE WHERE table = {literal(table)}", _WAIT_FOR_IT
        )

    async def stage(self, table: str, load_id: int, rows: pa.Table) -> None:
        """Add rows to a load that is not committed yet."""
        if load_id in (0, *await self._marks(table)):
            raise Conflict(f"Load {load_id} of {table} is committed; nothing can be added to it")
        await self._insert(table, load_id, rows)

    async def staged_until(self, table: str, load_id: int) -> int | None:
        """The highest `row_id` under the load, or None; a committed load tells it too."""
        await self._settled(table)
        found = await self._one(
            f"SELECT maxOrNull({ROW_ID}) FROM {self._name(table)} WHERE {_of(load_id)}"
        )
        return None if found is None else int(found)

    async def unstage_after(self, table: str, load_id: int, row_id: int) -> None:
        """Forget what is staged under the load with a higher `row_id`."""
        await self._forget(table, load_id, f" AND {ROW_ID} > {literal(row_id)}")

    async def commit(self, table: str, load_id: int) -> None:
        """Let all rows of the load appear at once."""
        await self._settled(table)
        if load_id in await self._marks(table):
            return
        await self._run(
            f"INSERT INTO {self._name(MARKS)} VALUES ({literal(table)}, {literal(load_id)})"
        )
        await self._call(self.engine.rest)

    async def discard(self, table: str, load_id: int) -> None:
        """Forget what is staged under the load."""
        await self._forget(table, load_id, "")

    async def insert(self, table: str, rows: pa.Table) -> None:
        """Add rows that are seen at once."""
        await self._insert(table, 0, rows)

    async def scan(
        self,
        table: str,
        columns: Sequence[str] | None = None,
        where: Sequence[Condition] = (),
        *,
        after: int | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[pa.RecordBatch]:
        """The rows in order of `row_id`; at least one batch, so that there is a schema."""
        kinds = await self._kinds(table)
        chosen = list(columns) if columns is not None else list(kinds)
        unknown = [FieldProblem(c, "there is no such column") for c in chosen if c not in kinds]
        if unknown:
            raise InvalidInput(f"{table} has no such columns", problems=unknown)
        conditions = await self._seen(table, where, kinds)
        if after is not None:
            conditions += f" AND {ROW_ID} > {literal(after)}"
        schema = schema_of({column: kinds[column] for column in chosen})
        # A table cannot be asked for no column at all.
        listed = ", ".join(map(name, chosen)) or ROW_ID
        sql = f"SELECT {listed} FROM {self._name(table)} WHERE {conditions} ORDER BY {ROW_ID}"
        if limit is not None:
            sql += f" LIMIT {int(limit)}"
        batches = 0
        try:
            async for batch in self._stream(sql):
                batches += 1
                yield batch.select(chosen).cast(schema) if chosen else batch.select([])
            if not batches:
                yield pa.RecordBatch.from_pylist([], schema)
        finally:
            if batches > _MANY_BATCHES:
                await asyncio.shield(self._call(self.engine.rest))

    async def count(self, table: str, where: Sequence[Condition] = ()) -> int:
        """How many rows there are."""
        conditions = await self._seen(table, where, await self._kinds(table))
        return int(await self._one(f"SELECT count() FROM {self._name(table)} WHERE {conditions}"))

    async def span(self, table: str, column: str) -> tuple[Any, Any]:
        """The least and the greatest value of a column."""
        kinds = await self._kinds(table)
        if column not in kinds:
            raise InvalidInput(
                f"{table} has no such column",
                problems=[FieldProblem(column, "there is no such column")],
            )
        conditions = await self._seen(table, (), kinds)
        rows = await self._read(
            f"SELECT minOrNull({name(column)}), maxOrNull({name(column)}) "
            f"FROM {self._name(table)} WHERE {conditions}"
        )
        return rows[0][0], rows[0][1]

    async def update(
        self, table: str, where: Sequence[Condition], values: Mapping[str, Any]
    ) -> int:
        """Set values on the rows that match; returns how many."""
        kinds = await self._kinds(table)
        changes, problems = [], []
        for field, value in values.items():
            if field not in kinds or field in (ROW_ID, LOAD_ID):
                problems.append(FieldProblem(field, "there is no such column to change"))
                continue
            try:
                value = literal(fitting(value, kinds[field]))
            except ValueError as error:
                problems.append(FieldProblem(field, str(error)))
            changes.append(f"{name(field)} = {value}")
        if problems:
            raise InvalidInput("The rows cannot be changed so", problems=problems)
        return await self._change(table, f"UPDATE {', '.join(changes)}", where, kinds)

    async def delete(self, table: str, where: Sequence[Condition]) -> int:
        """Remove the rows that match; returns how many."""
        return await self._change(table, "DELETE", where, await self._kinds(table))

    async def query(self, sql: str, limits: QueryLimits) -> QueryResult:
        """Answer one read-only question."""
        await self._prepare()
        filters = await self._call(questions.filters, self.engine)
        try:
            return await self._call(questions.answer, self.engine, sql, limits, filters)
        finally:
            await asyncio.shield(self._call(self.engine.rest))

    async def ping(self) -> None:
        """Return when the engine answers."""
        await self._submit(self._read_all, "SELECT 1")

    async def close(self) -> None:
        """Wait for what is running, then let go of the engine."""
        self._closed = True
        if self._sleeping is not None:
            self._sleeping.cancel()
        await asyncio.to_thread(self._threads.shutdown)
        await asyncio.to_thread(self.engine.close)

    async def _change(
        self, table: str, what: str, conditions: Sequence[Condition], kinds: Mapping[str, Kind]
    ) -> int:
        async with self._changing:
            seen = await self._seen(table, conditions, kinds)
            count = int(await self._one(f"SELECT count() FROM {self._name(table)} WHERE {seen}"))
            if count:
                await self._run(
                    f"ALTER TABLE {self._name(table)} {what} WHERE {seen}", _WAIT_FOR_IT
                )
                await self._call(self.engine.rest)
            return count

    async def _forget(self, table: str, load_id: int, narrower: str) -> None:
        await self._settled(table)
        if load_id in (0, *await self._marks(table)):
            return
        which = f"{_of(load_id)}{narrower}"
        if await self._one(f"SELECT count() FROM {self._name(table)} WHERE {which}"):
            await self._run(f"ALTER TABLE {self._name(table)} DELETE WHERE {which}", _WAIT_FOR_IT)

    async def _settled(self, table: str) -> None:
        # A change that was cut off goes on by itself at the next start, unseen by those who ask.
        await self._kinds(table)
        waiting = (
            "SELECT count() FROM system.mutations WHERE NOT is_done "
            f"AND database = {literal(self.engine.database)} AND table = {literal(table)}"
        )
        loop = asyncio.get_running_loop()
        until = loop.time() + _SETTLE_SECONDS
        while await self._one(waiting):
            if loop.time() > until:
                raise Unavailable(f"An earlier change of {table} is still being made")
            await asyncio.sleep(0.02)

    async def _insert(self, table: str, load_id: int, rows: pa.Table) -> None:
        kinds = await self._kinds(table)
        for start in range(0, rows.num_rows, PART_ROWS):
            part = aligned(rows.slice(start, PART_ROWS), load_id, kinds)
            await self._call(self.engine.insert, table, part.column_names, part)

    async def _seen(
        self, table: str, conditions: Sequence[Condition], kinds: Mapping[str, Kind]
    ) -> str:
        # Asked for in a question of its own, before the one it is for: the marks are then never
        # newer than the rows, and a load that is committed in between is not half seen.
        marks = ", ".join(map(str, (0, *sorted(await self._marks(table)))))
        return " AND ".join([f"{LOAD_ID} IN ({marks})", *where(conditions, kinds)])

    async def _marks(self, table: str) -> set[int]:
        await self._prepare()
        rows = await self._read(
            f"SELECT DISTINCT load_id FROM {self._name(MARKS)} WHERE table = {literal(table)}"
        )
        return {row[0] for row in rows}

    async def _kinds(self, table: str) -> dict[str, Kind]:
        check_table(table)
        await self._prepare()
        rows = await self._read(
            "SELECT name, type FROM system.columns "
            f"WHERE database = {literal(self.engine.database)} AND table = {literal(table)} "
            "ORDER BY position"
        )
        if not rows:
            raise NotFound(f"There is no table '{table}'")
        return {column: KINDS[type_] for column, type_ in rows}

    async def _prepare(self) -> None:
        if not self._prepared:
            await self._run(
                f"CREATE TABLE IF NOT EXISTS {self._name(MARKS)} (table String, load_id Int64) "
                f"ENGINE = MergeTree ORDER BY (table, load_id) SETTINGS {_DURABLE}"
            )
            self._prepared = True

    def _name(self, table: str) -> str:
        return name(self.engine.database, table)

    async def _run(self, sql: str, settings: Settings = NO_SETTINGS) -> None:
        await self._call(self.engine.run, sql, settings)

    async def _one(self, sql: str) -> Any:
        return (await self._read(sql))[0][0]

    async def _read(self, sql: str) -> list[tuple[Any, ...]]:
        return await self._call(self._read_all, sql)

    def _read_all(self, sql: str) -> list[tuple[Any, ...]]:
        with self.engine.read(sql) as batches:
            return [row for batch in batches for row in plain(batch)]

    async def _stream(self, sql: str) -> AsyncIterator[pa.RecordBatch]:
        reading: AbstractContextManager[Any] = self.engine.read(sql)
        batches = await self._call(reading.__enter__)
        try:
            while (batch := await self._call(next, batches, None)) is not None:
                yield batch
        finally:
            await asyncio.shield(self._call(reading.__exit__, None, None, None))

    async def _call(self, function: Callable[..., T], *arguments: Any) -> T:
        try:
            return await self._submit(function, *arguments)
        finally:
            self._sleep_soon()

    async def _submit(self, function: Callable[..., T], *arguments: Any) -> T:
        if self._closed:
            raise Unavailable("The warehouse is closed")
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)

    def _sleep_soon(self) -> None:
        if self._sleeping is not None:
            self._sleeping.cancel()
        loop = asyncio.get_running_loop()
        self._sleeping = loop.call_later(_IDLE_SECONDS, self._sleep)

    def _sleep(self) -> None:
        if not self._closed:
            self._threads.submit(self.engine.sleep)


def _of(load_id: int) -> str:
    return f"{LOAD_ID} = {literal(load_id)}"
