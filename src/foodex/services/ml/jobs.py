"""The queue of jobs: rows first, then one process each, taken up again after any crash."""

import asyncio
import os
import re
import secrets
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

import structlog
from sqlalchemy.exc import IntegrityError

from foodex.core.access import SYSTEM, Principal, acting_as, who
from foodex.core.clock import Clock
from foodex.core.errors import (
    Conflict,
    FieldProblem,
    FoodexError,
    InternalError,
    InvalidInput,
    NotFound,
    Unavailable,
)
from foodex.core.sql import Database
from foodex.domain.models import Job, JobKind, JobState
from foodex.services.ml import job_rows
from foodex.services.ml.job_rows import Claim
from foodex.services.ml.processes import ProcessDied, Tell

log = structlog.get_logger("foodex.ml")

MOST_STARTS: Final = 5
"""A job that was begun so often and never ended takes its whole process with it; it is given up."""
LEASE: Final = timedelta(seconds=30)
"""A job whose process on another machine has been silent for so long is taken up again."""
_BEAT_SECONDS: Final = 1.0
_REFERENCE: Final = re.compile(r"[A-Za-z0-9_-]{1,32}")
_LOOK_SECONDS: Final = 5.0


class JobGone(Exception):
    """The job was cancelled or taken over while it was done; nothing of it may stay."""


Do = Callable[[Claim, Tell], Awaitable[None]]
"""Does a claimed job and ends its row, or raises `JobGone` or what went wrong."""


Clean = Callable[[Collection[str]], Awaitable[None]]
"""Removes what jobs left behind, except those of the given ids, which some process is doing."""


class Jobs:
    """Takes waiting jobs in their order, `at_once` of them side by side."""

    def __init__(
        self, database: Database, clock: Clock, do: Do, *, at_once: int, clean: Clean
    ) -> None:
        self._database, self._clock, self._do, self._at_once = database, clock, do, at_once
        self._clean = clean
        self._owner = f"{socket.gethostname()}/{os.getpid()}/{secrets.token_hex(4)}"
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._told: dict[str, tuple[float, str]] = {}
        self._wake = asyncio.Event()
        self._changed = asyncio.Event()

    async def known(self, reference: str | None) -> Job | None:
        """The job that was begun under a reference, if any; `InvalidInput` for none that can be."""
        if reference is None:
            return None
        if not _REFERENCE.fullmatch(reference):
            problem = FieldProblem("reference", "must be 1 to 32 letters, digits, - or _")
            raise InvalidInput("The job cannot be begun", problems=[problem])
        try:
            return await self.job(reference)
        except NotFound:
            return None

    async def submit(
        self, kind: JobKind, request: Mapping[str, Any], reference: str | None = None
    ) -> Job:
        """Write a job's row; it is done as soon as its turn comes."""
        now = self._clock.now()
        job = Job(
            # Sorts by time, so that jobs of one instant keep their order.
            id=reference or f"{int(now.timestamp() * 1000):011x}{secrets.token_hex(4)}",
            kind=kind,
            state=JobState.WAITING,
            progress=0.0,
            message="waiting",
            request=request,
            who=who(),
            created_at=now,
        )
        try:
            async with self._database.transaction() as connection:
                await job_rows.add_job(connection, job)
        except IntegrityError:
            # Somebody else was faster under the same reference.
            return await self.job(job.id)
        self._wake.set()
        return job

    async def job(self, job_id: str) -> Job:
        """One job, with its progress to the moment."""
        async with self._database.connect() as connection:
            found = await job_rows.get_job(connection, job_id)
        told = self._told.get(job_id)
        if told is not None and found.state is JobState.RUNNING:
            found = replace(found, progress=told[0], message=told[1])
        return found

    async def wait(self, job_id: str, *, seen: float, timeout_seconds: float) -> Job:
        """The job once its progress has passed `seen` or it ended, at most after the timeout."""
        ends = asyncio.get_running_loop().time() + timeout_seconds
        while True:
            changed = self._changed
            found = await self.job(job_id)
            left = ends - asyncio.get_running_loop().time()
            if found.progress > seen or found.state not in job_rows.UNFINISHED or left <= 0:
                return found
            # A job done by another process tells nothing here, so look again now and then.
            try:
                await asyncio.wait_for(changed.wait(), min(left, 1.0))
            except TimeoutError:
                continue

    async def list(
        self, limit: int, kind: JobKind | None = None, model: str | None = None
    ) -> tuple[Job, ...]:
        """Jobs, newest first; of one kind or for one model, where that is said."""
        async with self._database.connect() as connection:
            return await job_rows.list_jobs(connection, limit, kind, model)

    async def cancel(self, job_id: str) -> Job:
        """End a job that has not ended; `Conflict` if it has."""
        async with self._database.transaction() as connection:
            found = await job_rows.get_job(connection, job_id)
            changed = await job_rows.cancel(connection, job_id, self._clock.now())
        if not changed and found.state is not JobState.CANCELLED:
            raise Conflict(f"The job '{job_id}' has ended already: it is {found.state.value}")
        if task := self._tasks.get(job_id):
            task.cancel()
            await asyncio.wait([task])
        self._notify()
        return await self.job(job_id)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Take up what was left, then do jobs until the block ends."""
        await self._take_up()
        async with self._database.connect() as connection:
            await self._clean([one.id for one in await job_rows.running_jobs(connection)])
        background = [asyncio.create_task(self._worker()) for _ in range(self._at_once)]
        background.append(asyncio.create_task(self._look_after()))
        try:
            yield
        finally:
            for task in background:
                task.cancel()
            await asyncio.wait(background)

    async def _worker(self) -> None:
        while True:
            self._wake.clear()
            try:
                async with self._database.transaction() as connection:
                    claim = await job_rows.claim_next(connection, self._owner, self._clock.now())
            except FoodexError as error:
                log.warning("cannot look for jobs", error=error.message)
                claim = None
            if claim is not None:
                await self._run(claim)
                continue
            try:
                await asyncio.wait_for(self._wake.wait(), _LOOK_SECONDS)
            except TimeoutError:
                continue

    async def _run(self, claim: Claim) -> None:
        name = claim.job.id
        self._told[name] = (0.0, "starting")
        task = self._tasks[name] = asyncio.create_task(self._guarded(claim), name=f"job {name}")
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            # This process stops in good order; the job begins again with the next one.
            task.cancel()
            await asyncio.wait([task])
            await self._put_back(claim, "waiting, as FoodEx was stopped")
            raise
        finally:
            self._tasks.pop(name, None)
            self._told.pop(name, None)
            self._notify()
        if not task.cancelled() and (error := task.exception()):
            # Its row could not be ended; it is taken up again when its lease is over.
            log.error("job left behind", job=name, error=str(error))

    async def _guarded(self, claim: Claim) -> None:
        job = claim.job

        def tell(progress: float, message: str) -> None:
            self._told[job.id] = (progress, message)
            self._notify()

        log.info("job begins", job=job.id, kind=job.kind.value, attempt=claim.attempts)
        try:
            with acting_as(Principal(job.who, SYSTEM.roles)):
                if claim.attempts > MOST_STARTS:
                    raise InternalError(
                        f"The job was interrupted {MOST_STARTS} times; it is given up"
                    )
                await self._do(claim, tell)
            log.info("job done", job=job.id)
        except JobGone:
            log.info("job gone", job=job.id)
        except (ProcessDied, Unavailable) as error:
            if claim.attempts >= 2:
                await self._fail(claim, error)
            else:
                log.warning("job begins again", job=job.id, error=error.message)
                await self._put_back(claim, f"waiting to begin again: {error.message}")
        except FoodexError as error:
            await self._fail(claim, error)
        except Exception:
            log.exception("job failed", job=job.id)
            await self._fail(
                claim,
                InternalError(f"A fault of ours ended the job; the log has its cause ({job.id})"),
            )

    async def _fail(self, claim: Claim, error: FoodexError) -> None:
        log.warning("job failed", job=claim.job.id, error=str(error))
        async with self._database.transaction() as connection:
            now = self._clock.now()
            await job_rows.fail(connection, claim.job.id, claim.owner, now, error)

    async def _put_back(self, claim: Claim, message: str) -> None:
        async with self._database.transaction() as connection:
            await job_rows.put_back(connection, claim.job.id, claim.owner, message)
        self._wake.set()

    async def _look_after(self) -> None:
        looked = 0.0
        while True:
            await asyncio.sleep(_BEAT_SECONDS)
            looked += _BEAT_SECONDS
            try:
                await self._beat()
                if looked >= _LOOK_SECONDS:
                    looked = 0.0
                    await self._take_up()
            except FoodexError as error:
                log.warning("cannot look after jobs", error=error.message)

    async def _beat(self) -> None:
        for name, task in list(self._tasks.items()):
            progress, message = self._told.get(name, (0.0, "starting"))
            async with self._database.transaction() as connection:
                ours = await job_rows.beat(
                    connection, name, self._owner, self._clock.now(), progress, message
                )
            if not ours:
                task.cancel()

    async def _take_up(self) -> None:
        """Let jobs wait again whose process is gone."""
        async with self._database.connect() as connection:
            running = await job_rows.running_jobs(connection)
        now = self._clock.now()
        for one in running:
            if one.id not in self._tasks and self._is_gone(one.owner, one.beat_at, now):
                log.info("job is taken up again", job=one.id)
                async with self._database.transaction() as connection:
                    message = "waiting, as FoodEx was interrupted"
                    await job_rows.put_back(connection, one.id, one.owner, message)
                self._wake.set()

    def _is_gone(self, owner: str, beat_at: datetime, now: datetime) -> bool:
        if now - beat_at > LEASE or owner == self._owner:
            return now - beat_at > LEASE
        host, pid, _ = owner.split("/")
        if host != socket.gethostname():
            return False
        # In a container every process is number 1: our own number with another token is a dead one.
        return int(pid) == os.getpid() or not _is_alive(int(pid))

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
