"""How a job ends: done, failed, dead, or waiting to be tried again."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Final, TypeVar

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from foodex.core.clock import Clock
from foodex.core.errors import FoodexError, InternalError, TooManyRequests, Unavailable
from foodex.core.settings import JobsSettings
from foodex.core.sql import Database
from foodex.domain.jobs import JobState
from foodex.services.jobs import job_rows, lease_rows
from foodex.services.jobs.context import Attempt
from foodex.services.jobs.job_rows import Row, Settlement
from foodex.services.jobs.lease_rows import Outcome
from foodex.services.jobs.publishing import Publisher
from foodex.services.jobs.settling import Settler

log = structlog.get_logger("foodex.jobs")

MOST_CRASHES: Final = 2
"""A job that so often took its process, or all its time, or met a fault of ours, is dead."""
_LONGEST_PAUSE_SECONDS: Final = 2.0
_STOP_SECONDS: Final = 5.0

T = TypeVar("T")


async def surely(step: Callable[[], Awaitable[T]]) -> T:
    """What a step gives, however long the database or the queue cannot answer."""
    pause = 0.05
    while True:
        try:
            return await step()
        except Unavailable as error:
            log.warning("a job has to wait", error=error.message)
            await asyncio.sleep(pause * random.uniform(0.5, 1.5))
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)


class Ending:
    """Writes down what came of attempts, each write guarded by the lease."""

    def __init__(
        self,
        *,
        database: Database,
        publisher: Publisher,
        settler: Settler,
        settings: JobsSettings,
        clock: Clock,
    ) -> None:
        self._database, self._publisher, self._settler = database, publisher, settler
        self._settings, self._clock = settings, clock
        self._settling: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Within the block jobs end; at its end, their money has a moment to be settled."""
        try:
            yield
        finally:
            if self._settling:
                await asyncio.wait(self._settling, timeout=_STOP_SECONDS)
            for task in self._settling:
                task.cancel()

    async def end(self, attempt: Attempt, task: asyncio.Task[Outcome]) -> bool:
        """Write down what came of an attempt; False if it left nothing."""
        row = attempt.row
        if task.cancelled():
            if attempt.stopped:
                log.info("job stopped", job=row.job.id)
                return False
            error: BaseException | None = InternalError("The job cancelled itself")
        else:
            error = task.exception()
        if error is not None:
            await self._end_badly(row, error)
            return False
        outcome = task.result()
        if not await surely(lambda: self._finish(row, outcome)):
            log.warning("job was done by somebody else, or is wanted no more", job=row.job.id)
            return False
        log.info("job done", job=row.job.id)
        self._settle(row)
        return True

    async def _finish(self, row: Row, outcome: Outcome) -> bool:
        done = await self._write(lambda c: lease_rows.finish(c, row, self._clock.now(), outcome))
        if done:
            return True
        # A commit may have been made though its answer was lost.
        async with self._database.connect() as connection:
            now = await job_rows.get(connection, row.job.id)
        return now.lease == row.lease and now.job.state is JobState.DONE

    async def _end_badly(self, row: Row, error: BaseException) -> None:
        job = row.job
        if not isinstance(error, FoodexError):
            log.error("job failed by a fault of ours", job=job.id, exc_info=error)
            error = InternalError(
                f"A fault of ours ended the job; the log has its cause ({job.id})"
            )
        passes = isinstance(error, (Unavailable, TooManyRequests))
        crashes = row.crashes + (not passes)
        if not passes and not isinstance(error, InternalError):
            await self._fail(row, JobState.FAILED, error)
        elif job.attempts >= job.max_attempts or crashes >= MOST_CRASHES:
            await self._fail(row, JobState.DEAD, error)
        else:
            await self._try_again(row, error, crashes)

    async def _fail(self, row: Row, state: JobState, error: FoodexError) -> None:
        log.warning("job ended badly", job=row.job.id, state=state.value, error=str(error))
        now = self._clock.now()
        if await surely(lambda: self._write(lambda c: lease_rows.fail(c, row, now, state, error))):
            self._settle(row)

    async def _try_again(self, row: Row, error: FoodexError, crashes: int) -> None:
        due_at = self._clock.now() + timedelta(seconds=self._pause_seconds(row.job.attempts, error))
        log.warning("job is tried again", job=row.job.id, error=error.message, at=str(due_at))
        message = f"waiting to be tried again: {error.message}"[:500]
        again = replace(row, crashes=crashes, job=replace(row.job, due_at=due_at, message=message))
        if await surely(lambda: self._put_back(again, error)):
            self._publisher.send(again)

    def _pause_seconds(self, attempts: int, error: FoodexError) -> float:
        chosen = self._settings
        pause = min(chosen.retry_seconds * 2.0 ** (attempts - 1), chosen.retry_most_seconds)
        # Scattered, so that what failed together does not come back together.
        return max(pause * random.uniform(0.5, 1.5), error.retry_after_seconds or 0.0)

    async def give_back(self, row: Row) -> None:
        """Let a job wait again that this worker has no time to end, as if it had not begun."""
        job = replace(
            row.job,
            due_at=self._clock.now(),
            attempts=row.job.attempts - 1,
            message="waiting, as its worker was stopped",
        )
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                await self._put_back(replace(row, job=job), None)
        except (FoodexError, TimeoutError) as error:
            log.warning("job waits for its lease to end", job=row.job.id, error=str(error))

    async def _put_back(self, row: Row, error: FoodexError | None) -> bool:
        now = self._clock.now()
        return await self._write(lambda c: lease_rows.put_back(c, row, now, error))

    def _settle(self, row: Row) -> None:
        if row.settlement is Settlement.NONE:
            return
        task = asyncio.create_task(self._settle_now(row.job.id), name=f"settling {row.job.id}")
        self._settling.add(task)
        task.add_done_callback(self._settling.discard)

    async def _settle_now(self, job_id: str) -> None:
        try:
            async with self._database.connect() as connection:
                ended = await job_rows.get(connection, job_id)
            await self._settler.settle(ended)
        except Exception:
            log.exception("job waits for a sweep to be settled", job=job_id)

    async def _write(self, write: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        async with self._database.transaction() as connection:
            return await write(connection)
