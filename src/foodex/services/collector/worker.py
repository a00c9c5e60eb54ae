"""The collector's hands: claims loads and brings each of them to an end."""

import asyncio
from datetime import timedelta
from typing import Final

import structlog

from foodex.core.clock import Clock
from foodex.core.errors import FoodexError, InternalError, InvalidInput, Unavailable
from foodex.core.settings import CollectorSettings
from foodex.domain.loads import LoadState
from foodex.ports.storage import Storage
from foodex.services.collector.fetching import Fetcher
from foodex.services.collector.loading import LoadRun, LostLoad
from foodex.services.collector.log_file import LogFile
from foodex.services.collector.repository import Job, Repository

log = structlog.get_logger("foodex.collector")

_LOOK_AGAIN_SECONDS: Final = 2.0
_TRY_AGAIN_SECONDS: Final = 5.0


class Worker:
    """Runs loads one after another until it is cancelled."""

    def __init__(
        self,
        *,
        owner: str,
        repository: Repository,
        storage: Storage,
        fetcher: Fetcher,
        settings: CollectorSettings,
        clock: Clock,
        log_file: LogFile,
    ) -> None:
        self._owner = owner
        self._repository = repository
        self._storage = storage
        self._fetcher = fetcher
        self._settings = settings
        self._clock = clock
        self._log_file = log_file
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """Say that there is a new load."""
        self._wake.set()

    async def work(self) -> None:
        """Claim and run loads for ever."""
        while True:
            self._wake.clear()
            job = None
            try:
                job = await self._repository.claim(
                    self._owner, self._clock.now(), self._settings.lease_seconds
                )
                if job is not None:
                    await self._bring_to_an_end(job)
                    await self.write_log()
            except Unavailable as error:
                log.warning("loads wait", detail=str(error))
                job = None
            if job is None:
                await self._pause()

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(_LOOK_AGAIN_SECONDS):
                await self._wake.wait()
        except TimeoutError:
            return

    async def write_log(self) -> None:
        """Write finished loads into the log file."""
        loads = await self._repository.unlogged()
        await asyncio.to_thread(self._log_file.append_missing, loads)
        for load in loads:
            await self._repository.logged(load.id)

    async def _bring_to_an_end(self, job: Job) -> None:
        try:
            run = LoadRun(
                job,
                owner=self._owner,
                repository=self._repository,
                storage=self._storage,
                fetcher=self._fetcher,
                settings=self._settings,
                clock=self._clock,
            )
        except InvalidInput:
            log.exception("a mapping that was good is so no more", load=job.load.id)
            raise
        try:
            await self._run(run, job)
        except LostLoad:
            await self._if_cancelled(run, job)
        except Unavailable as error:
            # Claimed again, by whomever, when this lease is over.
            until = self._clock.now() + timedelta(seconds=_TRY_AGAIN_SECONDS)
            await self._repository.keep(job.load.id, self._owner, until, {"error": error.message})
            log.warning("load waits", load=job.load.id, detail=error.message)
        except FoodexError as error:
            await run.discard(LoadState.FAILED, error)
            log.info("load failed", load=job.load.id, detail=error.message)
        except Exception:
            log.exception("load failed by a fault of ours", load=job.load.id)
            await run.discard(
                LoadState.FAILED, InternalError("A fault of ours; the log tells more")
            )

    async def _if_cancelled(self, run: LoadRun, job: Job) -> None:
        now = await self._repository.job(job.load.id)
        if now and now.cancelled and now.load.state is LoadState.RUNNING and not now.committing:
            await run.discard(LoadState.CANCELLED, None)

    async def _run(self, run: LoadRun, job: Job) -> None:
        """Run a load while telling others that it lives; stop when it is wanted no more."""
        if job.cancelled:
            raise LostLoad
        work = asyncio.create_task(run.run())
        heart = asyncio.create_task(self._beat(run, job))
        try:
            await asyncio.wait([work, heart], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (work, heart):
                task.cancel()
            await asyncio.wait([work, heart])
        for task in (work, heart):
            if not task.cancelled():
                task.result()

    async def _beat(self, run: LoadRun, job: Job) -> None:
        pause = min(self._settings.lease_seconds / 3, 1.0)
        passed = 0.0
        while True:
            await asyncio.sleep(pause)
            now = await self._repository.job(job.load.id)
            if now is None or (now.cancelled and not now.committing):
                raise LostLoad
            passed += pause
            if passed >= self._settings.lease_seconds / 3:
                await run.beat()
                passed = 0.0
