"""The worker's hands: takes messages, claims jobs and brings each of them to an end."""

import asyncio
import os
import secrets
import shutil
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Final

import msgspec
import structlog

from foodex.core.access import SYSTEM, Principal, acting_as
from foodex.core.clock import Clock
from foodex.core.errors import FoodexError, InternalError, Unavailable
from foodex.core.settings import JobsSettings
from foodex.core.sql import Database
from foodex.ports.jobs import Kind
from foodex.ports.objects import Objects
from foodex.ports.queue import Delivery, Queue
from foodex.services.jobs import lease_rows
from foodex.services.jobs.context import Attempt
from foodex.services.jobs.ending import Ending, surely
from foodex.services.jobs.job_rows import Row
from foodex.services.jobs.lease_rows import Outcome
from foodex.services.jobs.metrics import JobsMetrics
from foodex.services.jobs.notices import Notices
from foodex.services.jobs.old_files import OldFiles
from foodex.services.jobs.publishing import Publisher
from foodex.services.jobs.settling import Settler
from foodex.services.jobs.sweeping import Sweeper

log = structlog.get_logger("foodex.jobs")

_STOP_SECONDS: Final = 5.0


class OutOfTime(InternalError):
    """The job took longer than allowed."""


class Worker:
    """Does jobs, `at_once` of them side by side, and sweeps.

    A message says where to look and the row decides: a job is done by who claimed it, as long as
    the lease is theirs. Every write shows the lease, so who has lost it changes nothing.
    """

    def __init__(
        self,
        *,
        database: Database,
        queue: Queue,
        objects: Objects,
        publisher: Publisher,
        settler: Settler,
        kinds: Mapping[str, Kind],
        settings: JobsSettings,
        clock: Clock,
        notices: Notices,
        metrics: JobsMetrics,
    ) -> None:
        self._database, self._queue, self._objects = database, queue, objects
        self._kinds, self._settings, self._clock = kinds, settings, clock
        self._notices, self._metrics = notices, metrics
        self._owner = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        self._here: dict[str, tuple[Attempt, asyncio.Task[Outcome]]] = {}
        self._ending = Ending(
            database=database,
            publisher=publisher,
            settler=settler,
            settings=settings,
            clock=clock,
        )
        self._sweeper = Sweeper(
            database=database,
            queue=queue,
            publisher=publisher,
            settler=settler,
            notices=notices,
            kinds=kinds,
            settings=settings,
            clock=clock,
        )
        self._old_files = OldFiles(
            database=database, objects=objects, settings=settings, clock=clock
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Do jobs within the block; what is not done at its end waits for the next worker."""
        folder = Path(self._settings.work_folder)
        await asyncio.to_thread(_clean, folder)
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._ending.running())
            await stack.enter_async_context(self._sweeper.running())
            await stack.enter_async_context(self._old_files.sweeping())
            background = [
                asyncio.create_task(self._slot(), name=f"jobs, slot {number}")
                for number in range(self._settings.at_once)
            ]
            background.append(asyncio.create_task(self._keep_beating(), name="beat of jobs"))
            try:
                yield
            finally:
                for task in background:
                    task.cancel()
                await asyncio.wait(background)
                await asyncio.to_thread(_remove, folder / self._owner)

    async def _slot(self) -> None:
        async with self._queue.consume() as deliveries:
            while True:
                delivery = await deliveries.next()
                try:
                    await self._take(delivery)
                except Exception:
                    # Whatever it was, the row is taken up again when its lease is over.
                    log.exception("job left behind", job=delivery.message.job_id)
                    await asyncio.sleep(1)
                await delivery.acknowledge()

    async def _take(self, delivery: Delivery) -> None:
        job_id = delivery.message.job_id
        row = await surely(lambda: self._claim(job_id))
        if row is not None:
            await self._do(row)
            return
        # Done, stopped or in other hands: there is nothing to do. But one that is not due yet by
        # our clock must have a message when it is.
        waiting = await surely(lambda: self._waiting(job_id))
        if waiting is not None:
            due_at = max(waiting.job.due_at, self._clock.now() + timedelta(milliseconds=50))
            message = replace(delivery.message, not_before=due_at)
            await surely(lambda: self._queue.publish([message]))

    async def _waiting(self, job_id: str) -> Row | None:
        async with self._database.connect() as connection:
            return await lease_rows.waiting(connection, job_id)

    async def _claim(self, job_id: str) -> Row | None:
        now = self._clock.now()
        until = now + timedelta(seconds=self._settings.lease_seconds)
        async with self._database.transaction() as connection:
            return await lease_rows.claim(connection, job_id, self._owner, now, until)

    async def _do(self, row: Row) -> None:
        job = row.job
        folder = await asyncio.to_thread(self._make_folder, row)
        attempt = Attempt(
            row,
            objects=self._objects,
            folder=folder,
            notices=self._notices,
            settings=self._settings,
        )
        log.info("job begins", job=job.id, kind=job.kind, attempt=job.attempts)
        task = asyncio.create_task(self._run(attempt), name=f"job {job.id}")
        self._here[job.id] = (attempt, task)
        self._notices.begin(job.id, lambda: _stop(attempt, task))
        ended = False
        began = time.perf_counter()
        try:
            await asyncio.wait([task])
            ended = await self._to_the_end(attempt, task)
            self._metrics.attempt(job.kind, time.perf_counter() - began, done=ended)
        except asyncio.CancelledError:
            # This worker stops in good order; the job begins again with the next one.
            if not task.done():
                _stop(attempt, task)
                await asyncio.wait([task])
                await self._ending.give_back(row)
                await attempt.remove_files(keep=False)
            raise
        finally:
            self._here.pop(job.id, None)
            self._notices.end(job.id)
            await asyncio.shield(asyncio.to_thread(_remove, folder))
        if not ended:
            await attempt.remove_files(keep=False)
        elif row.lease > 1:
            await attempt.remove_files(keep=True)

    async def _to_the_end(self, attempt: Attempt, task: asyncio.Task[Outcome]) -> bool:
        ending = asyncio.create_task(self._ending.end(attempt, task))
        try:
            return await asyncio.shield(ending)
        except asyncio.CancelledError:
            # What was reached is written down, if that can be done now.
            await asyncio.wait([ending], timeout=_STOP_SECONDS)
            ending.cancel()
            raise

    async def _run(self, attempt: Attempt) -> Outcome:
        job = attempt.job
        kind = self._kinds.get(job.kind)
        if kind is None:
            raise Unavailable(f"This worker knows no jobs of the kind '{job.kind}'")
        try:
            with acting_as(Principal(job.who, SYSTEM.roles, job.account)):
                async with asyncio.timeout(job.timeout_seconds) as time_allowed:
                    result = await kind.run(attempt)
        except TimeoutError as error:
            if time_allowed.expired():
                allowed = f"{job.timeout_seconds:g} s"
                raise OutOfTime(f"The job took longer than the {allowed} allowed") from None
            raise InternalError("A fault of ours ended the job") from error
        except SystemExit as error:
            raise InternalError(f"The job wanted to end its worker: {error!r}") from error
        # Found out here, where it is the job's fault, and not when its row is written.
        plain = msgspec.json.decode(msgspec.json.encode(result))
        return Outcome(result=plain, files=tuple(attempt.files.values()), units_done=attempt.units)

    async def _keep_beating(self) -> None:
        while True:
            await asyncio.sleep(self._settings.beat_seconds)
            if self._here:
                try:
                    await self._beat()
                except FoodexError as error:
                    log.warning("cannot say that jobs go on", error=error.message)
                except Exception:
                    log.exception("cannot say that jobs go on")

    async def _beat(self) -> None:
        until = self._clock.now() + timedelta(seconds=self._settings.lease_seconds)
        lost = []
        async with self._database.transaction() as connection:
            for attempt, task in list(self._here.values()):
                told = attempt.told
                ours = await lease_rows.beat(
                    connection, attempt.row, until, told.progress, told.message, told.seconds_left
                )
                if not ours:
                    lost.append((attempt, task))
        for attempt, task in lost:
            _stop(attempt, task)

    def _make_folder(self, row: Row) -> Path:
        parent = Path(self._settings.work_folder) / self._owner
        parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=f"{row.job.id}-{row.lease}-", dir=parent))


def _stop(attempt: Attempt, task: asyncio.Task[Outcome]) -> None:
    attempt.stopped = True
    task.cancel()


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


def _clean(folder: Path) -> None:
    """Remove the folders of workers of this machine that were killed."""
    if not folder.is_dir():
        return
    for left in folder.iterdir():
        host, _, rest = left.name.rpartition("-")[0].rpartition("-")
        if host == socket.gethostname() and rest.isdigit() and not _is_alive(int(rest)):
            _remove(left)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
