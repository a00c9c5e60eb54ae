"""What this process does for a job: hand the data over, and keep what comes back."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec
import pyarrow as pa

from foodex.core.clock import Clock
from foodex.core.errors import FieldProblem, InvalidInput
from foodex.core.settings import MlSettings
from foodex.core.sql import Database
from foodex.domain.datasets import LOAD_ID, ROW_ID
from foodex.domain.models import EvaluationRequest, JobKind, TrainingRequest, Version
from foodex.eta.training import TrainingOptions
from foodex.ports.storage import Storage
from foodex.services.ml import job_rows
from foodex.services.ml import repository as rows
from foodex.services.ml.artefacts import ArtefactStore, describe
from foodex.services.ml.job_rows import Claim
from foodex.services.ml.jobs import JobGone
from foodex.services.ml.policies import Policies
from foodex.services.ml.processes import (
    DATA_FILE,
    MODEL_FOLDER,
    Tell,
    run_job_process,
    write_request,
)
from foodex.services.ml.tasks import Evaluation, Task, Training

_HANDED_OVER: Final = 0.1
_TRAINED: Final = 0.95
"""Shares of a job's progress: handing the data over, and the work itself."""


class Registry(Protocol):
    """Where versions are registered."""

    async def set_aside(self, claim: Claim, model: str) -> int:
        """The number for the job's version, the same one if the job had to begin again."""
        ...

    async def register(
        self,
        claim: Claim,
        request: TrainingRequest,
        version: Version,
        files: tuple[rows.File, ...],
    ) -> None:
        """Register the version and end the job in one transaction, and promote it if due."""
        ...


class Work:
    """Does trainings and evaluations, each in a folder and a process of its own."""

    def __init__(
        self,
        *,
        database: Database,
        storage: Storage,
        artefacts: ArtefactStore,
        registry: Registry,
        settings: MlSettings,
        policies: Policies,
        clock: Clock,
    ) -> None:
        self._database, self._storage = database, storage
        self._artefacts, self._registry = artefacts, registry
        self._settings, self._policies, self._clock = settings, policies, clock
        self._folder = Path(settings.work_folder) / "jobs"

    async def clean(self, keep: Collection[str]) -> None:
        """Remove what jobs left in the work folder when their process was killed."""
        await asyncio.to_thread(_remove_all, self._folder, frozenset(keep))

    async def do(self, claim: Claim, tell: Tell) -> None:
        """Do a claimed job and end its row; see `Jobs`."""
        async with self._own_folder(claim) as folder:
            if claim.job.kind is JobKind.TRAIN:
                await self._train(claim, folder, tell)
            else:
                await self._evaluate(claim, folder, tell)

    @asynccontextmanager
    async def _own_folder(self, claim: Claim) -> AsyncIterator[Path]:
        folder = self._folder / claim.job.id
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        await asyncio.to_thread(folder.mkdir, parents=True)
        try:
            yield folder
        finally:
            await asyncio.shield(asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True))

    async def _train(self, claim: Claim, folder: Path, tell: Tell) -> None:
        request = msgspec.convert(claim.job.request, TrainingRequest)
        dataset = await self._storage.dataset(request.dataset)
        options = TrainingOptions(
            algorithm=request.algorithm,
            until=request.until,
            split_column=request.split_column,
            without=request.without,
            time_zone=dataset.time_zone,
            seed=request.seed,
            parameters=request.parameters,
            threads=self._settings.job_threads or None,
        )
        training = Training(options=options, policy=self._policies.standard)
        task = Task(nice=self._settings.job_nice, training=training)
        found = await self._run(folder, request.dataset, dataset.rows, task, tell)
        tell(_TRAINED, "storing the version")
        number = await self._registry.set_aside(claim, request.model)
        files = await asyncio.to_thread(describe, folder / MODEL_FOLDER)
        version = Version(
            model=request.model,
            version=number,
            algorithm=request.algorithm,
            dataset=request.dataset,
            created_at=self._clock.now(),
            who=claim.job.who,
            size_bytes=sum(file.size_bytes for file in files),
            in_production=False,
            summary={
                **found["summary"],
                "job": claim.job.id,
                "job_seconds": found["seconds"],
                "peak_memory_bytes": found["peak_memory_bytes"],
                "packages": found["packages"],
            },
        )
        try:
            await self._artefacts.put(request.model, number, folder / MODEL_FOLDER, files)
            await self._registry.register(claim, request, version, files)
        except BaseException:
            # A cancellation that came after the commit finds the version registered: it stays.
            if not await asyncio.shield(self._is_registered(version)):
                await asyncio.shield(self._artefacts.remove(request.model, number, files))
            raise

    async def _is_registered(self, version: Version) -> bool:
        async with self._database.connect() as connection:
            there = await rows.version_rows(connection, version.model)
        return any(one.version == version.version for one in there)

    async def _evaluate(self, claim: Claim, folder: Path, tell: Tell) -> None:
        request = msgspec.convert(claim.job.request, EvaluationRequest)
        assert request.version is not None
        async with self._database.connect() as connection:
            version = await rows.get_version(connection, request.model, request.version)
            artefacts = await rows.get_artefacts(connection, request.model, request.version)
        dataset = await self._storage.dataset(request.dataset)
        options: dict[str, Any] = dict(version.summary.get("options", {}))
        until = options.get("until")
        since = request.since or (datetime.fromisoformat(until) if until else None)
        split = options.get("split_column")
        if since is None and split is None:
            since = _after_training(version, request, dataset.last_at)
        evaluation = Evaluation(
            model_folder=str(await self._artefacts.fetch(artefacts)),
            since=since,
            split_column=split,
            policy=self._policies.standard,
            until=request.until,
            zones=dict(self._policies.zones),
            change=request.change,
        )
        task = Task(nice=self._settings.job_nice, evaluation=evaluation)
        found = await self._run(folder, request.dataset, dataset.rows, task, tell)
        result = {
            "model": request.model,
            "version": request.version,
            "dataset": request.dataset,
            "since": since.isoformat() if since else None,
            **found["evaluation"],
        }
        async with self._database.transaction() as connection:
            now = self._clock.now()
            if not await job_rows.finish(connection, claim.job.id, claim.owner, now, result):
                raise JobGone

    async def _run(
        self, folder: Path, dataset: str, expected: int, task: Task, tell: Tell
    ) -> dict[str, Any]:
        def handing(count: int) -> None:
            tell(_HANDED_OVER * min(count / max(expected, 1), 1.0), "handing the data over")

        await write_data(self._storage, dataset, folder / DATA_FILE, handing)
        write_request(folder, msgspec.to_builtins(task))
        span = _TRAINED - _HANDED_OVER
        return await run_job_process(
            folder,
            tell=lambda share, what: tell(_HANDED_OVER + span * share, what),
            threads=self._settings.job_threads,
            log_bytes=self._settings.job_log_bytes,
            timeout_seconds=self._settings.job_seconds,
        )


def _remove_all(folder: Path, keep: frozenset[str]) -> None:
    for left in folder.iterdir() if folder.is_dir() else ():
        if left.name not in keep:
            shutil.rmtree(left, ignore_errors=True)


async def write_data(
    storage: Storage, dataset: str, path: Path, tell: Callable[[int], None]
) -> None:
    """Write all rows of a data set into an Arrow file; the warehouse is never opened elsewhere.

    Raises:
        InvalidInput: there are no rows.
    """
    names = [column.name for column in (await storage.dataset(dataset)).columns]
    wanted = [name for name in names if name not in (ROW_ID, LOAD_ID)]
    written = 0
    writer: Any = None
    try:
        async for batch in storage.scan(dataset, columns=wanted):
            if writer is None:
                writer = pa.ipc.new_file(str(path), batch.schema)
            await asyncio.to_thread(writer.write_batch, batch)
            written += batch.num_rows
            tell(written)
    finally:
        if writer is not None:
            await asyncio.shield(asyncio.to_thread(writer.close))
    if not written:
        problem = FieldProblem("dataset", f"'{dataset}' has no rows")
        raise InvalidInput("There is nothing to work on", problems=[problem])


def _after_training(
    version: Version, request: EvaluationRequest, last_at: datetime | None
) -> datetime | None:
    """From when to judge a model that was fitted on all there was."""
    period = version.summary.get("period")
    if version.dataset != request.dataset:
        return None
    fitted_until = datetime.fromisoformat(period[1]) if period else None
    if fitted_until is None or last_at is None or last_at <= fitted_until:
        problem = FieldProblem(
            "since",
            f"is needed: version {version.version} was fitted on every order of "
            f"'{request.dataset}', so none is left to judge it by; train `until` a time first",
        )
        raise InvalidInput(
            "The evaluation would judge what was learned by heart", problems=[problem]
        )
    return fitted_until + timedelta(microseconds=1)
