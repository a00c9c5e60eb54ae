"""A queue in a file, for one process: durable, and awake at once."""

import asyncio
import heapq
import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import aiosqlite

from foodex.core.clock import Clock
from foodex.core.errors import Unavailable
from foodex.core.sql import translated
from foodex.ports.queue import Message

_BATCH: Final = 1_000
_FAR_SECONDS: Final = 3600.0


@dataclass(slots=True)
class _Write:
    """What to add or remove, and who waits for that to be on disk."""

    added: Sequence[tuple[int, Message]]
    removed: Sequence[int]
    done: asyncio.Future[None]


class SqliteQueue:
    """Implements `ports.queue.Queue`.

    The file holds what is not acknowledged; the order is kept in memory, where takers wait. The
    file belongs to this process alone, held by SQLite's own lock. Many writers share one commit.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path, self._clock = path, clock
        self._connection: aiosqlite.Connection | None = None
        self._opening = asyncio.Lock()
        self._writes: asyncio.Queue[_Write] = asyncio.Queue()
        self._writer: asyncio.Task[None] | None = None
        self._numbers = itertools.count(1)
        # (-priority, number, message) of those due, (time, number, message) of the others.
        self._ready: list[tuple[int, int, Message]] = []
        self._later: list[tuple[float, int, Message]] = []
        self._changed = asyncio.Condition()

    def __repr__(self) -> str:
        return f"SqliteQueue({str(self._path)!r})"

    async def publish(self, messages: Sequence[Message]) -> None:
        """Send; on return they are on disk."""
        await self._open()
        await self._write([(next(self._numbers), message) for message in messages], ())

    @asynccontextmanager
    async def consume(self) -> AsyncIterator["_Taking"]:
        """Take messages within the block, one at a time."""
        taking = _Taking(self)
        try:
            yield taking
        finally:
            if (held := taking.held) is not None:
                await self._give([(held.number, held.message)])

    async def depth(self) -> int:
        """How many messages wait to be taken."""
        await self._open()
        return len(self._ready) + len(self._later)

    async def ping(self) -> None:
        """Return when the file is open."""
        await self._open()

    async def close(self) -> None:
        """Write what waits to be written, and let go of the file."""
        if self._writer is not None:
            await self._writes.join()
            self._writer.cancel()
            with suppress(asyncio.CancelledError):
                await self._writer
            self._writer = None
        if self._connection is not None:
            await self._connection.close()
            self._connection = None

    async def take(self) -> tuple[int, Message]:
        """The most urgent message that is due, which leaves the order; waits for one."""
        await self._open()
        async with self._changed:
            while True:
                now = self._clock.now().timestamp()
                while self._later and self._later[0][0] <= now:
                    _, number, message = heapq.heappop(self._later)
                    heapq.heappush(self._ready, (-message.priority, number, message))
                if self._ready:
                    _, number, message = heapq.heappop(self._ready)
                    return number, message
                pause = self._later[0][0] - now if self._later else _FAR_SECONDS
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._changed.wait()

    async def remove(self, number: int) -> None:
        """Forget a message for good."""
        await self._write((), [number])

    async def _give(self, messages: Sequence[tuple[int, Message]]) -> None:
        async with self._changed:
            for number, message in messages:
                if message.not_before is None:
                    heapq.heappush(self._ready, (-message.priority, number, message))
                else:
                    due = message.not_before.timestamp()
                    heapq.heappush(self._later, (due, number, message))
            self._changed.notify_all()

    async def _open(self) -> None:
        if self._connection is not None:
            return
        async with self._opening:
            if self._connection is None:
                with translated(at_the_edge=True):
                    await self._open_now()

    async def _open_now(self) -> None:
        await asyncio.to_thread(self._path.parent.mkdir, parents=True, exist_ok=True)
        connection = await aiosqlite.connect(self._path, isolation_level=None, timeout=1)
        try:
            # Held as long as the connection is open, so no second process can take the file.
            for pragma in ("locking_mode=EXCLUSIVE", "journal_mode=WAL", "synchronous=FULL"):
                await connection.execute(f"PRAGMA {pragma}")
            await connection.execute(
                "CREATE TABLE IF NOT EXISTS messages (number INTEGER PRIMARY KEY, "
                "job_id TEXT NOT NULL, priority INTEGER NOT NULL, not_before REAL)"
            )
            found = [
                (number, Message(job_id=job_id, priority=priority, not_before=_time(due)))
                for number, job_id, priority, due in await connection.execute_fetchall(
                    "SELECT number, job_id, priority, not_before FROM messages ORDER BY number"
                )
            ]
        except BaseException as error:
            await connection.close()
            if isinstance(error, aiosqlite.OperationalError) and "locked" in str(error):
                raise Unavailable(f"Another process has the queue {self._path}") from None
            raise
        self._numbers = itertools.count(found[-1][0] + 1 if found else 1)
        await self._give(found)
        self._connection = connection
        self._writer = asyncio.create_task(self._keep_writing(connection))

    async def _write(self, added: Sequence[tuple[int, Message]], removed: Sequence[int]) -> None:
        await self._open()
        write = _Write(added, removed, asyncio.get_running_loop().create_future())
        self._writes.put_nowait(write)
        await asyncio.shield(write.done)

    async def _keep_writing(self, connection: aiosqlite.Connection) -> None:
        while True:
            writes = [await self._writes.get()]
            while len(writes) < _BATCH and not self._writes.empty():
                writes.append(self._writes.get_nowait())
            error: BaseException | None = None
            try:
                with translated():
                    await _commit(connection, writes)
                await self._give([one for write in writes for one in write.added])
            except Exception as failed:  # noqa: BLE001 - told to those who wait for it
                error = failed
            for write in writes:
                if not write.done.done():
                    if error is None:
                        write.done.set_result(None)
                    else:
                        write.done.set_exception(error)
                self._writes.task_done()


async def _commit(connection: aiosqlite.Connection, writes: Sequence[_Write]) -> None:
    await connection.execute("BEGIN IMMEDIATE")
    try:
        added = [
            (number, one.job_id, one.priority, one.not_before and one.not_before.timestamp())
            for write in writes
            for number, one in write.added
        ]
        if added:
            await connection.executemany("INSERT INTO messages VALUES (?, ?, ?, ?)", added)
        removed = [(number,) for write in writes for number in write.removed]
        if removed:
            await connection.executemany("DELETE FROM messages WHERE number = ?", removed)
        await connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            await connection.execute("ROLLBACK")
        raise


def _time(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


class _Taking:
    """Implements `ports.queue.Deliveries`."""

    def __init__(self, queue: SqliteQueue) -> None:
        self.queue = queue
        self.held: _Taken | None = None
        self.free = asyncio.Event()
        self.free.set()

    async def next(self) -> "_Taken":
        """The next message that is due."""
        await self.free.wait()
        number, message = await self.queue.take()
        self.free.clear()
        self.held = _Taken(self, number, message)
        return self.held


class _Taken:
    """Implements `ports.queue.Delivery`."""

    def __init__(self, taking: _Taking, number: int, message: Message) -> None:
        self._taking, self.number, self._message = taking, number, message

    @property
    def message(self) -> Message:
        """The message."""
        return self._message

    async def acknowledge(self) -> None:
        """Say that the message need not come again."""
        if self._taking.held is not self:
            return
        self._taking.held = None
        self._taking.free.set()
        with suppress(Unavailable):
            await self._taking.queue.remove(self.number)
