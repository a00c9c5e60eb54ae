"""The jobs service: takes jobs on, tells of them, and stops them."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Final

from prometheus_client import CollectorRegistry

from foodex.core.access import Role, check_roles, current_principal
from foodex.core.clock import Clock
from foodex.core.errors import Conflict, FieldProblem, InvalidInput, NotFound
from foodex.core.settings import JobsSettings
from foodex.core.sql import Database, migrate
from foodex.domain.jobs import (
    EVERY_JOB,
    FileLink,
    Job,
    JobCounts,
    JobFilter,
    JobQuote,
    JobRequest,
    JobsPage,
    JobState,
)
from foodex.ports.accounts import Ledger
from foodex.ports.jobs import STAFF, Kind
from foodex.ports.objects import Objects
from foodex.ports.queue import Queue
from foodex.services.jobs import job_rows
from foodex.services.jobs.acceptance import Acceptance
from foodex.services.jobs.context import file_key
from foodex.services.jobs.job_rows import Row, Settlement
from foodex.services.jobs.links import Links
from foodex.services.jobs.metrics import JobsMetrics
from foodex.services.jobs.notices import Notices
from foodex.services.jobs.publishing import Publisher
from foodex.services.jobs.settling import Settler
from foodex.services.jobs.worker import Worker

_LOOK_SECONDS: Final = 0.5
"""A job done by another process tells nothing here, so it is looked at now and then."""


class JobsService:
    """Implements `ports.jobs.Jobs`; with `work`, it does the jobs too.

    A process that only takes jobs on needs neither their code nor a worker of its own, but must
    know the kinds, to check what is asked for.
    """

    def __init__(
        self,
        *,
        database: Database,
        queue: Queue,
        objects: Objects,
        ledger: Ledger | None,
        kinds: Mapping[str, Kind],
        settings: JobsSettings,
        clock: Clock,
        secret: str,
        work: bool,
        registry: CollectorRegistry | None = None,
    ) -> None:
        self._database, self._queue, self._objects = database, queue, objects
        self._settings, self._clock = settings, clock
        self._links = Links(secret)
        self._notices = Notices()
        self._metrics = JobsMetrics(registry or CollectorRegistry(), database, queue)
        self._publisher = Publisher(database, queue, clock)
        self._settler = Settler(database, ledger, clock)
        self._acceptance = Acceptance(
            database=database,
            publisher=self._publisher,
            settler=self._settler,
            ledger=ledger,
            kinds=kinds,
            settings=settings,
            clock=clock,
        )
        self._worker = None
        if work:
            self._worker = Worker(
                database=database,
                queue=queue,
                objects=objects,
                publisher=self._publisher,
                settler=self._settler,
                kinds=kinds,
                settings=settings,
                clock=clock,
                notices=self._notices,
                metrics=self._metrics,
            )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Serve within the block, and do jobs if this is a worker too."""
        await migrate(self._database, "jobs")
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._metrics.running())
            await stack.enter_async_context(self._publisher.running())
            if self._worker is not None:
                await stack.enter_async_context(self._worker.running())
            yield

    async def accept(self, request: JobRequest) -> Job:
        """Take a job on."""
        return await self._acceptance.accept(request)

    async def quote(self, request: JobRequest) -> JobQuote:
        """What a job would cost whoever asks."""
        return await self._acceptance.quote(request)

    async def job(self, job_id: str) -> Job:
        """One job, with its progress to the moment where it is done here."""
        return self._to_the_moment((await self._row(job_id)).job)

    async def jobs(
        self, filter_: JobFilter = EVERY_JOB, *, before: str | None = None, limit: int = 100
    ) -> JobsPage:
        """One page of jobs, newest first; of a client, their own."""
        principal = current_principal()
        if not principal.roles & STAFF:
            if principal.account:
                filter_ = replace(filter_, account=principal.account)
            else:
                filter_ = replace(filter_, who=principal.name)
        return await self._page(filter_, before, limit)

    async def wait_for_job(self, job_id: str, *, seen: float, timeout_seconds: float) -> Job:
        """The job once its progress has passed `seen` or it ended, at most after the timeout."""
        loop = asyncio.get_running_loop()
        ends = loop.time() + timeout_seconds
        while True:
            changed = self._notices.changed
            found = await self.job(job_id)
            left = ends - loop.time()
            if found.ended or found.progress > seen or left <= 0:
                return found
            try:
                await asyncio.wait_for(changed.wait(), min(left, _LOOK_SECONDS))
            except TimeoutError:
                continue

    async def cancel_job(self, job_id: str) -> Job:
        """End an unfinished job, and stop it where it runs."""
        await self._row(job_id)
        async with self._database.transaction() as connection:
            changed = await job_rows.cancel(connection, job_id, self._clock.now())
            row = await job_rows.get(connection, job_id)
        if not changed and row.job.state is not JobState.CANCELLED:
            raise Conflict(f"The job '{job_id}' has ended already: it is {row.job.state.value}")
        self._notices.stop(job_id)
        self._notices.change()
        if changed:
            await self._settler.settle(row)
        return await self.job(job_id)

    async def dead_letters(self, *, before: str | None = None, limit: int = 100) -> JobsPage:
        """One page of the jobs that were tried as often as they may be, newest first."""
        check_roles(STAFF)
        return await self._page(JobFilter(states=(JobState.DEAD,)), before, limit)

    async def replay(self, job_id: str) -> Job:
        """Have a dead job tried anew, its price set aside again."""
        check_roles(frozenset({Role.ADMIN}))
        job = await self._acceptance.replay(await self._row(job_id))
        self._notices.change()
        return job

    async def job_counts(self) -> JobCounts:
        """How much there is to do."""
        check_roles(STAFF)
        async with self._database.connect() as connection:
            counts = await job_rows.counts(connection)
        return JobCounts(
            waiting=counts[JobState.WAITING],
            running=counts[JobState.RUNNING],
            dead=counts[JobState.DEAD],
            queued=await self._queue.depth(),
        )

    async def file(self, job_id: str, name: str) -> AsyncIterator[bytes]:
        """A file of a job that is done, in pieces."""
        key = _key_of(await self._row(job_id), name)
        async for piece in self._objects.stream(key):
            yield piece

    async def link(self, job_id: str, name: str) -> FileLink:
        """A link to a file of a job that is done."""
        _key_of(await self._row(job_id), name)
        until = self._clock.now() + timedelta(seconds=self._settings.link_seconds)
        token = self._links.token(job_id, name, until)
        return FileLink(
            path=f"/api/v1/jobs/linked/{token}", expires_at=until.replace(microsecond=0)
        )

    async def linked_file(self, token: str) -> AsyncIterator[bytes]:
        """The file that a link's token leads to."""
        job_id, name = self._links.read(token, self._clock.now())
        async with self._database.connect() as connection:
            row = await job_rows.get(connection, job_id)
        async for piece in self._objects.stream(_key_of(row, name)):
            yield piece

    async def _row(self, job_id: str) -> Row:
        async with self._database.connect() as connection:
            row = await job_rows.get(connection, job_id)
        accepted = row.settlement is not Settlement.RESERVING or row.replays
        if not accepted or not _may_see(row.job):
            raise NotFound(f"There is no job '{job_id}'")
        return row

    async def _page(self, filter_: JobFilter, before: str | None, limit: int) -> JobsPage:
        if not 1 <= limit <= self._settings.page_rows:
            problem = FieldProblem("limit", f"must be 1 to {self._settings.page_rows}")
            raise InvalidInput("The request cannot be used", problems=[problem])
        async with self._database.connect() as connection:
            found = await job_rows.page(connection, filter_, before=before, limit=limit + 1)
        shown = tuple(self._to_the_moment(job) for job in found[:limit])
        return JobsPage(jobs=shown, next_before=shown[-1].id if len(found) > limit else None)

    def _to_the_moment(self, job: Job) -> Job:
        told = self._notices.told.get(job.id)
        if told is None or job.state is not JobState.RUNNING:
            return job
        return replace(
            job, progress=told.progress, message=told.message, seconds_left=told.seconds_left
        )


def _may_see(job: Job) -> bool:
    principal = current_principal()
    if principal.roles & STAFF:
        return True
    if principal.account is not None:
        return job.account == principal.account
    return job.who == principal.name


def _key_of(row: Row, name: str) -> str:
    if row.job.state is JobState.DONE and any(file.name == name for file in row.job.files):
        return file_key(row.job.id, row.lease, name)
    raise NotFound(f"There is no file '{name}' of the job '{row.job.id}'")
