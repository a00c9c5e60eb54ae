"""Sends the messages of jobs after their rows are committed; many share one round trip."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

import structlog

from foodex.core.clock import Clock
from foodex.core.errors import FoodexError
from foodex.core.periodic import ending
from foodex.core.sql import Database
from foodex.ports.queue import Message, Queue
from foodex.services.jobs import job_rows

log = structlog.get_logger("foodex.jobs")

_BATCH: Final = 256
_CLOSE_SECONDS: Final = 5.0


class Publisher:
    """Sends what it is given as soon as it can.

    What it cannot send, or has not sent when its process is killed, is found in the rows and sent
    by a sweep; so nobody has to wait for it.
    """

    def __init__(self, database: Database, queue: Queue, clock: Clock) -> None:
        self._database, self._queue, self._clock = database, queue, clock
        self._given: asyncio.Queue[tuple[Message, int]] = asyncio.Queue()

    def send(self, row: job_rows.Row) -> None:
        """Send the message of a job that waits, soon."""
        self._given.put_nowait((row.message(self._clock.now()), row.lease))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Send within the block, and what is left at its end."""
        task = asyncio.create_task(self._keep_sending(), name="publisher of jobs")
        try:
            yield
        finally:
            with suppress(TimeoutError):
                async with asyncio.timeout(_CLOSE_SECONDS):
                    await self._given.join()
            task.cancel()
            await asyncio.wait([task])

    async def _keep_sending(self) -> None:
        while not ending():
            batch = [await self._given.get()]
            while len(batch) < _BATCH and not self._given.empty():
                batch.append(self._given.get_nowait())
            try:
                await self.send_now(batch)
            except FoodexError as error:
                log.warning("messages wait for a sweep", jobs=len(batch), error=error.message)
            finally:
                for _ in batch:
                    self._given.task_done()

    async def send_now(self, batch: list[tuple[Message, int]]) -> None:
        """Send these, each with its job's lease, and note that they are sent."""
        await self._queue.publish([message for message, _ in batch])
        sent = [(message.job_id, lease) for message, lease in batch]
        async with self._database.transaction() as connection:
            await job_rows.published(connection, sent, self._clock.now())
