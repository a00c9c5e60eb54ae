"""The ml service: the registry of models, the jobs that make them, the forecasts they give."""

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import structlog
from prometheus_client import CollectorRegistry

from foodex.core.clock import Clock, SystemClock
from foodex.core.errors import (
    Conflict,
    FieldProblem,
    FoodexError,
    InternalError,
    InvalidInput,
    NotFound,
    Unavailable,
)
from foodex.core.settings import MlSettings, PromiseSettings
from foodex.core.sql import Database, migrate
from foodex.domain.forecasts import Answered, Ask, Forecast, Record
from foodex.domain.models import (
    EvaluationRequest,
    Job,
    JobKind,
    ProductionChange,
    RegisteredModel,
    TrainingRequest,
    Version,
)
from foodex.ports.storage import Storage
from foodex.services.ml import repository as rows
from foodex.services.ml.artefacts import ArtefactStore
from foodex.services.ml.deliveries import Deliveries
from foodex.services.ml.inputs import Written
from foodex.services.ml.jobs import Jobs
from foodex.services.ml.kits import packed
from foodex.services.ml.metrics import MlMetrics
from foodex.services.ml.orders import Order, Rules
from foodex.services.ml.policies import Policies
from foodex.services.ml.production import Production, in_production
from foodex.services.ml.reproduction import Reproduction
from foodex.services.ml.requests import check_evaluation, check_name, check_training
from foodex.services.ml.served import Served
from foodex.services.ml.serving import Serving, untaught_answer
from foodex.services.ml.work import Work

log = structlog.get_logger("foodex.ml")

_LONGEST_WAIT_SECONDS = 60.0
_NO_MODEL = Rules(lenient=True)
_NOT_YET = InternalError("The order was not answered")


class MlService:
    """Implements `ports.ml.Ml`. Used within `running()`."""

    def __init__(
        self,
        *,
        database: Database,
        storage: Storage,
        settings: MlSettings,
        promise: PromiseSettings | None = None,
        promise_zones: Mapping[str, PromiseSettings] | None = None,
        clock: Clock | None = None,
        registry: CollectorRegistry | None = None,
    ) -> None:
        """Raises `InvalidInput` for promise policies that make no sense."""
        self._database, self._storage, self._settings = database, storage, settings
        self._clock = clock or SystemClock()
        self._metrics = MlMetrics(registry or CollectorRegistry())
        self._policies = Policies.of(promise or PromiseSettings(), promise_zones)
        self._artefacts = ArtefactStore(storage, Path(settings.work_folder) / "models")
        self._served = Served(
            database=database,
            storage=storage,
            artefacts=self._artefacts,
            settings=settings,
            clock=self._clock,
            metrics=self._metrics,
        )
        self._written = Written()
        self._reproduction = Reproduction(self._served)
        self._production = Production(database, self._served, self._clock)
        self._work = Work(
            database=database,
            storage=storage,
            artefacts=self._artefacts,
            registry=self._production,
            settings=settings,
            policies=self._policies,
            clock=self._clock,
        )
        self._jobs = Jobs(
            database,
            self._clock,
            self._work.do,
            at_once=settings.jobs_at_once,
            clean=self._work.clean,
        )
        self._deliveries = Deliveries(storage)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Bring the tables up to date, load what is in production, take up unfinished jobs."""
        await migrate(self._database, "ml")
        async with self._served.running(), self._jobs.running():
            yield

    async def models(self) -> tuple[RegisteredModel, ...]:
        """All models, by name."""
        async with self._database.connect() as connection:
            return await rows.model_rows(connection)

    async def model(self, name: str) -> RegisteredModel:
        """One model; `NotFound`, with close names, if there is none."""
        async with self._database.connect() as connection:
            return await rows.get_model(connection, name)

    async def create_model(self, name: str, description: str = "") -> RegisteredModel:
        """Make an empty model; `Conflict` if there is one of that name."""
        check_name(name)
        async with self._database.transaction() as connection:
            if not await rows.add_model(connection, name, description, self._clock.now()):
                raise Conflict(f"There is a model '{name}' already")
            return await rows.get_model(connection, name)

    async def delete_model(self, name: str) -> None:
        """Remove a model with all its versions; `Conflict` while one is in production."""
        async with self._database.transaction() as connection:
            model = await rows.lock_model(connection, name)
            if model.production is not None:
                raise Conflict(
                    f"Version {model.production} of '{name}' is in production; retire it first"
                )
            gone = [
                await rows.get_artefacts(connection, name, version.version)
                for version in await rows.version_rows(connection, name)
            ]
            await rows.remove_model(connection, name)
        for one in gone:
            await self._artefacts.remove(name, one.version, one.files)

    async def versions(self, name: str) -> tuple[Version, ...]:
        """A model's versions, newest first."""
        async with self._database.connect() as connection:
            await rows.get_model(connection, name)
            return await rows.version_rows(connection, name)

    async def version(self, name: str, version: int | None = None) -> Version:
        """One version with its whole summary; no number means the one in production."""
        async with self._database.connect() as connection:
            if version is None:
                version = in_production(await rows.get_model(connection, name))
            return await rows.get_version(connection, name, version)

    async def delete_version(self, name: str, version: int) -> None:
        """Remove a version and its artefacts; `Conflict` while it is in production."""
        async with self._database.transaction() as connection:
            model = await rows.lock_model(connection, name)
            artefacts = await rows.get_artefacts(connection, name, version)
            if model.production == version:
                raise Conflict(
                    f"Version {version} of '{name}' is in production; promote another or retire it"
                )
            await rows.remove_version(connection, name, version)
        await self._artefacts.remove(name, version, artefacts.files)

    async def promote(self, name: str, version: int) -> RegisteredModel:
        """Put a version into production: loaded and warm before the old one is let go."""
        return await self._production.promote(name, version)

    async def rollback(self, name: str) -> RegisteredModel:
        """Put back the version before this one; `Conflict` if there is none."""
        return await self._production.rollback(name)

    async def retire(self, name: str) -> RegisteredModel:
        """Take a model out of production; `Conflict` if it is not in production."""
        return await self._production.retire(name)

    async def production_log(self, name: str | None = None) -> tuple[ProductionChange, ...]:
        """What was in production when, newest first."""
        async with self._database.connect() as connection:
            return await rows.production_log(connection, name)

    async def start_training(
        self, request: TrainingRequest, *, reference: str | None = None
    ) -> Job:
        """Begin a training; `InvalidInput` for what could not end well, before there is a job."""
        if known := await self._jobs.known(reference):
            return known
        dataset = await self._storage.dataset(request.dataset)
        check_training(request, dataset)
        return await self._jobs.submit(JobKind.TRAIN, msgspec.to_builtins(request), reference)

    async def start_evaluation(
        self, request: EvaluationRequest, *, reference: str | None = None
    ) -> Job:
        """Begin an evaluation; the version in production now, where none is named."""
        if known := await self._jobs.known(reference):
            return known
        version = await self.version(request.model, request.version)
        check_evaluation(request, await self._storage.dataset(request.dataset))
        request = replace(request, version=version.version)
        return await self._jobs.submit(JobKind.EVALUATE, msgspec.to_builtins(request), reference)

    async def job(self, job_id: str) -> Job:
        """One job, as far as it is."""
        return await self._jobs.job(job_id)

    async def wait_for_job(self, job_id: str, *, seen: float, timeout_seconds: float) -> Job:
        """The job once its progress has passed `seen` or it ended, at most after the timeout."""
        timeout_seconds = min(timeout_seconds, _LONGEST_WAIT_SECONDS)
        return await self._jobs.wait(job_id, seen=seen, timeout_seconds=timeout_seconds)

    async def jobs(
        self, *, limit: int = 100, kind: JobKind | None = None, model: str | None = None
    ) -> tuple[Job, ...]:
        """Jobs, newest first; of one kind or for one model, where that is said."""
        return await self._jobs.list(limit, kind, model)

    async def cancel_job(self, job_id: str) -> Job:
        """Stop a job; `Conflict` if it has ended."""
        return await self._jobs.cancel(job_id)

    async def answering(self, model: str | None = None) -> Version:
        """The version that answers now; `Conflict` where none is in production."""
        serving = await self._answering(model)
        return await self.version(serving.model, serving.version)

    async def kit(self, model: str | None = None) -> AsyncIterator[bytes]:
        """What is needed to answer elsewhere as the version that answers now, as a tar file."""
        serving = await self._answering(model)
        async with self._database.connect() as connection:
            artefacts = await rows.get_artefacts(connection, serving.model, serving.version)
        pieces = packed(
            serving,
            await self._artefacts.fetch(artefacts),
            self._storage,
            policies=self._policies,
            history_days=self._settings.history_days,
            now=self._clock.now(),
            work_folder=Path(self._settings.work_folder),
        )
        async for piece in pieces:
            yield piece

    async def _answering(self, model: str | None) -> Serving:
        serving = await self._find(model)
        if serving is not None:
            return serving
        name = model or self._served.default
        if name is not None and self._served.is_known_missing(name):
            raise Unavailable(f"The model '{name}' cannot be loaded now")
        which = f"of '{model}' " if model else ""
        raise Conflict(f"No version {which}is in production; promote one first")

    async def forecast(
        self, order: Mapping[str, Any], *, model: str | None = None, explain: bool = False
    ) -> Forecast:
        """Forecast one order; the ladder answers where no model can.

        Raises:
            InvalidInput: names every field that is unknown or absurd.
            NotFound: there is no such model.
        """
        began = time.perf_counter()
        serving = await self._serving(model)
        now = self._clock.now()
        if serving is None:
            told = self._untaught(_NO_MODEL.order(order, now)).forecast
        else:
            checked = serving.rules.order(order, now)
            told = serving.forecast(checked, now, self._policies, explain=explain)
        self._metrics.forecast(told, time.perf_counter() - began)
        return told

    async def forecast_many(
        self, orders: Sequence[Mapping[str, Any]], *, model: str | None = None
    ) -> tuple[Forecast, ...]:
        """Forecast many orders placed now; `InvalidInput` names field and row."""
        _check_count("orders", len(orders), self._settings.forecast_orders)
        serving = await self._find(model)
        now = self._clock.now()
        told: tuple[Forecast, ...]
        if serving is None:
            checked = _NO_MODEL.orders(orders, now)
            told = tuple(self._untaught(order).forecast for order in checked)
        else:
            checked = serving.rules.orders(orders, now)
            told = await serving.forecast_many(checked, now, self._policies)
        for one in told:
            self._metrics.count(one)
        return told

    async def answers(self, asks: Sequence[Ask]) -> Sequence[Answered | FoodexError]:
        """Forecast many that wait at once, each as `forecast` would, and tell what from."""
        _check_count("orders", len(asks), self._settings.forecast_orders)
        began = time.perf_counter()
        told: dict[int, Answered | FoodexError] = {}
        by_model: dict[str | None, list[int]] = {}
        for place, ask in enumerate(asks):
            by_model.setdefault(ask.model, []).append(place)
        for model, places in by_model.items():
            try:
                found = await self._answers(await self._serving(model), [asks[p] for p in places])
            except FoodexError as error:
                found = [error] * len(places)
            told.update(zip(places, found, strict=True))
        answers = [told[place] for place in range(len(asks))]
        self._metrics.answers(answers, time.perf_counter() - began)
        return answers

    async def _answers(
        self, serving: Serving | None, asks: Sequence[Ask]
    ) -> list[Answered | FoodexError]:
        now, rules = self._clock.now(), _NO_MODEL if serving is None else serving.rules
        told: list[Answered | FoodexError] = []
        places, checked = [], []
        for place, ask in enumerate(asks):
            try:
                checked.append(rules.order(ask.order, now))
            except InvalidInput as error:
                told.append(error)
            else:
                places.append(place)
                told.append(_NOT_YET)
        if serving is None:
            found: Sequence[Answered | FoodexError] = [self._untaught(one) for one in checked]
        else:
            explain = [asks[place].explain for place in places]
            found = await serving.answers(checked, explain, now, self._policies)
        for place, one in zip(places, found, strict=True):
            told[place] = one
        return told

    def _untaught(self, order: Order) -> Answered:
        return untaught_answer(order, self._policies, self._written)

    async def reproduce(self, record: Record) -> Forecast:
        """Make a forecast again from what it was made from, bit for bit.

        Raises:
            NotFound: its model or version has been removed.
            InvalidInput: the record does not fit the model.
        """
        return await self._reproduction.reproduce(record)

    async def _serving(self, model: str | None) -> Serving | None:
        name = model or self._served.default
        serving = self._served.get(name) if name else None
        return serving if serving is not None else await self._find(model)

    async def _find(self, model: str | None) -> Serving | None:
        name = model or self._served.default
        if name is None:
            return None
        if (found := self._served.get(name)) or self._served.is_known_missing(name):
            return found
        try:
            return await self._served.find(name)
        except NotFound:
            if model is not None:
                raise
        except FoodexError as error:
            log.warning("the registry does not answer", error=error.message)
        return None

    async def observe(
        self, deliveries: Sequence[Mapping[str, Any]], *, model: str | None = None
    ) -> int:
        """Learn from delivered orders at once; returns how many were new. Durable on return.

        Raises:
            InvalidInput: names every row and field that cannot be used; nothing is kept then.
            Conflict: no model in production says to which data set the deliveries belong.
        """
        _check_count("deliveries", len(deliveries), self._settings.observe_deliveries)
        serving = await self._find(model)
        if serving is None:
            raise Conflict(
                "No model is in production, so there is no data set for the deliveries yet; "
                "import a history and train a model on it first"
            )
        new = await self._deliveries.keep(
            serving.dataset, deliveries, serving.extras, self._clock.now()
        )
        await self._served.observe(serving.dataset, new)
        self._metrics.observed(len(new))
        return len(new)

    async def ping(self) -> None:
        """Return when the service can do its work."""
        await self._database.ping()


def _check_count(field: str, count: int, most: int) -> None:
    if count > most:
        problem = FieldProblem(field, f"are {count}, more than the {most} allowed at once")
        raise InvalidInput("These are too many at once", problems=[problem])
