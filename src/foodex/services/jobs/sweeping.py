"""Finds jobs that were left behind, by whomever, and sets them going again."""

import asyncio
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final

import structlog

from foodex.core.access import SYSTEM, Principal, acting_as
from foodex.core.clock import Clock
from foodex.core.errors import FoodexError, InternalError, TooManyRequests, Unavailable
from foodex.core.periodic import ending
from foodex.core.settings import JobsSettings
from foodex.core.sql import Database
from foodex.ports.jobs import Kind
from foodex.ports.queue import Queue
from foodex.services.jobs import job_rows, lease_rows, sweep_rows
from foodex.services.jobs.notices import Notices
from foodex.services.jobs.publishing import Publisher
from foodex.services.jobs.settling import Settler

log = structlog.get_logger("foodex.jobs")

_AT_ONCE: Final = 500
_LOOK_BACK: Final = timedelta(days=1)
"""How far a sweep that has just begun looks for what cancelled jobs left going elsewhere."""


class Sweeper:
    """Looks at the rows now and then. Several may do so at once, in any processes."""

    def __init__(
        self,
        *,
        database: Database,
        queue: Queue,
        publisher: Publisher,
        settler: Settler,
        notices: Notices,
        kinds: Mapping[str, Kind],
        settings: JobsSettings,
        clock: Clock,
    ) -> None:
        self._database, self._queue, self._publisher = database, queue, publisher
        self._settler, self._notices = settler, notices
        self._settings, self._clock = settings, clock
        self._stops = {
            kind.name: kind.stop_elsewhere for kind in kinds.values() if kind.stop_elsewhere
        }
        self._stopped_until = clock.now() - _LOOK_BACK

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Sweep within the block, at once for the first time."""
        task = asyncio.create_task(self._keep_sweeping(), name="sweeper of jobs")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def _keep_sweeping(self) -> None:
        while not ending():
            for step in (
                self.take_up,
                self.publish,
                self.find_lost,
                self.abandon,
                self.settle,
                self.stop_elsewhere,
            ):
                try:
                    await step()
                except FoodexError as error:
                    log.warning("sweep broke off", step=step.__name__, error=error.message)
                except Exception:
                    log.exception("sweep failed", step=step.__name__)
            if not ending():
                await asyncio.sleep(self._settings.sweep_seconds * random.uniform(0.75, 1.25))

    async def take_up(self) -> None:
        """Let jobs wait again whose worker is silent; dead if that was so too often."""
        now = self._clock.now()
        async with self._database.connect() as connection:
            found = await lease_rows.lapsed(connection, now, _AT_ONCE)
        for row in found:
            error = None
            if row.job.attempts >= row.job.max_attempts:
                error = InternalError(f"The job was interrupted {row.job.attempts} times")
            async with self._database.transaction() as connection:
                taken = await lease_rows.take_up(connection, row, now, error)
            if taken:
                log.info("job is taken up again", job=row.job.id, given_up=error is not None)
                await self._go_on(row.job.id)

    async def publish(self) -> None:
        """Send the messages that were not sent."""
        before = self._clock.now() - timedelta(seconds=self._settings.unpublished_seconds)
        while True:
            async with self._database.connect() as connection:
                found = await sweep_rows.unpublished(connection, before, _AT_ONCE)
            if found:
                log.info("messages are sent again", jobs=len(found))
                now = self._clock.now()
                await self._publisher.send_now([(row.message(now), row.lease) for row in found])
            if len(found) < _AT_ONCE:
                return

    async def find_lost(self) -> None:
        """Notice that messages are gone: more jobs are overdue than messages are there."""
        before = self._clock.now() - timedelta(seconds=self._settings.lost_seconds)
        async with self._database.connect() as connection:
            if not await sweep_rows.overdue(connection, before):
                return
        # Counted before the jobs: a message that is taken in between has its job begun.
        depth = await self._queue.depth()
        async with self._database.connect() as connection:
            overdue = await sweep_rows.overdue(connection, before)
        if overdue > depth:
            log.warning("messages were lost", overdue=overdue, messages=depth)
            async with self._database.transaction() as connection:
                await sweep_rows.publish_again(connection, before)

    async def abandon(self) -> None:
        """Give up acceptances that broke off."""
        now = self._clock.now()
        before = now - timedelta(seconds=self._settings.acceptance_seconds)
        async with self._database.connect() as connection:
            if not await sweep_rows.broken_off(connection, before):
                return
        async with self._database.transaction() as connection:
            count = await sweep_rows.abandon(connection, before, now)
        log.info("acceptances had broken off", jobs=count)

    async def settle(self) -> None:
        """Settle what has ended."""
        async with self._database.connect() as connection:
            found = await sweep_rows.to_settle(connection, self._clock.now(), _AT_ONCE)
        for row in found:
            await self._settler.settle(row)

    async def stop_elsewhere(self) -> None:
        """End what cancelled jobs have begun in other services.

        Whoever did the job does so too, if there is somebody. Until a lease is over they may still
        be about to begin something, so it is looked after for that long.
        """
        if not self._stops:
            return
        now = self._clock.now()
        async with self._database.connect() as connection:
            found = await sweep_rows.cancelled(
                connection, list(self._stops), self._stopped_until, _AT_ONCE
            )
        for row in found:
            job = row.job
            try:
                with acting_as(Principal(job.who, SYSTEM.roles, job.account)):
                    await self._stops[job.kind](job)
            except (Unavailable, TooManyRequests):
                raise
            except FoodexError as error:
                log.warning("what a job began goes on", job=job.id, error=error.message)
        after = now if len(found) < _AT_ONCE else found[-1].job.finished_at or now
        self._stopped_until = min(after, now - timedelta(seconds=self._settings.lease_seconds))

    async def _go_on(self, job_id: str) -> None:
        self._notices.change()
        async with self._database.connect() as connection:
            row = await job_rows.get(connection, job_id)
        if row.job.ended:
            await self._settler.settle(row)
        else:
            self._publisher.send(row)
