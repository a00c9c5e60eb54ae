"""The versions that answer now: loaded before they take over, and kept up with the registry."""

import asyncio
import time
import weakref
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import structlog

from foodex.core.clock import Clock
from foodex.core.errors import FoodexError
from foodex.core.settings import MlSettings
from foodex.core.sql import Database
from foodex.eta.model import Model
from foodex.ports.storage import Storage
from foodex.services.ml import repository as rows
from foodex.services.ml.artefacts import ArtefactStore
from foodex.services.ml.metrics import MlMetrics
from foodex.services.ml.orders import Order
from foodex.services.ml.serving import Serving, load_serving

log = structlog.get_logger("foodex.ml")


class Served:
    """Which `Serving` answers for which model. Taking over is one assignment."""

    def __init__(
        self,
        *,
        database: Database,
        storage: Storage,
        artefacts: ArtefactStore,
        settings: MlSettings,
        clock: Clock,
        metrics: MlMetrics,
    ) -> None:
        self._database, self._storage, self._artefacts = database, storage, artefacts
        self._settings, self._clock, self._metrics = settings, clock, metrics
        self._by_name: dict[str, Serving] = {}
        # Also those about to take over, and those that still answer what was asked before.
        self._alive: weakref.WeakSet[Serving] = weakref.WeakSet()
        self._missing: set[str] = set()
        self._default: str | None = settings.default_model or None
        self._lock = asyncio.Lock()
        # Deliveries told of while a version is loading, for that version too.
        self._meanwhile: list[tuple[str, Sequence[Order]]] = []
        self._loading = 0

    @property
    def default(self) -> str | None:
        """The model that answers when none is named."""
        return self._default

    def get(self, name: str) -> Serving | None:
        """The model's loaded production version."""
        return self._by_name.get(name)

    def is_known_missing(self, name: str) -> bool:
        """Whether loading the model failed just now; it is tried again in the background."""
        return name in self._missing

    async def load(self, name: str, version: int) -> Serving:
        """A version ready to answer; nothing changes for what answers now.

        Raises:
            FoodexError: its files are gone or damaged, or its history cannot be read.
        """
        began = time.perf_counter()
        async with self._database.connect() as connection:
            artefacts = await rows.get_artefacts(connection, name, version)
        return await self._load(artefacts, began)

    async def load_model(self, name: str, version: int) -> Model:
        """A version's model alone, without history: what makes forecasts again.

        Raises:
            FoodexError: there is no such version, or its files are gone or damaged.
        """
        async with self._database.connect() as connection:
            artefacts = await rows.get_artefacts(connection, name, version)
        return await asyncio.to_thread(Model.load, await self._artefacts.fetch(artefacts))

    async def load_new(self, artefacts: rows.Artefacts) -> Serving:
        """As `load`, for a version whose row is not written yet."""
        return await self._load(artefacts, time.perf_counter())

    async def _load(self, artefacts: rows.Artefacts, began: float) -> Serving:
        folder = await self._artefacts.fetch(artefacts)
        self._loading += 1
        try:
            serving = await load_serving(
                artefacts,
                folder,
                self._storage,
                history_days=self._settings.history_days,
                now=self._clock.now(),
            )
            for dataset, deliveries in self._meanwhile:
                if dataset == artefacts.dataset:
                    await serving.observe(deliveries)
            self._alive.add(serving)
        finally:
            self._loading -= 1
            if not self._loading:
                self._meanwhile.clear()
        seconds = time.perf_counter() - began
        self._metrics.loaded(artefacts.model, artefacts.version, seconds)
        log.info(
            "model loaded",
            model=artefacts.model,
            version=artefacts.version,
            seconds=round(seconds, 2),
        )
        return serving

    def take_over(self, serving: Serving) -> None:
        """From now on this one answers for its model; requests begun end on the one before."""
        self._by_name[serving.model] = serving
        self._missing.discard(serving.model)
        if not self._settings.default_model:
            self._default = serving.model

    def drop(self, name: str) -> None:
        """Nothing answers for the model any more."""
        self._by_name.pop(name, None)
        self._metrics.dropped(name)

    async def find(self, name: str) -> Serving | None:
        """The model's production version, loaded now if need be; None if it has none or cannot.

        Raises:
            NotFound: there is no such model.
        """
        async with self._lock:
            if found := self._by_name.get(name):
                return found
            async with self._database.connect() as connection:
                model = await rows.get_model(connection, name)
            if model.production is None:
                return None
            return await self._try(name, model.production)

    async def _try(self, name: str, version: int) -> Serving | None:
        try:
            serving = await self.load(name, version)
        except FoodexError as error:
            if name not in self._missing:
                log.warning("model not loaded", model=name, version=version, error=error.message)
            self._missing.add(name)
            return None
        self._by_name[name] = serving
        self._missing.discard(name)
        return serving

    async def observe(self, dataset: str, deliveries: Sequence[Order]) -> None:
        """Let every loaded version that learns from the data set learn from the deliveries."""
        if self._loading:
            self._meanwhile.append((dataset, deliveries))
        for serving in list(self._alive):
            if serving.dataset == dataset:
                await serving.observe(deliveries)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Load the default model, then follow the registry until the block ends."""
        await self.follow()
        if self._default is not None:
            try:
                await self.find(self._default)
            except FoodexError as error:
                log.warning("the default model does not answer", error=error.message)
        following = asyncio.create_task(self._keep_following())
        try:
            yield
        finally:
            following.cancel()
            await asyncio.wait([following])

    async def _keep_following(self) -> None:
        while True:
            await asyncio.sleep(self._settings.follow_seconds)
            try:
                await self.follow()
            except FoodexError as error:
                log.warning("cannot follow the registry", error=error.message)

    async def follow(self) -> None:
        """Take up what another process promoted, and try again what could not be loaded."""
        async with self._lock:
            async with self._database.connect() as connection:
                production = await rows.productions(connection)
            if not self._settings.default_model:
                self._default = list(production)[-1] if production else None
            for name, serving in list(self._by_name.items()):
                if name not in production:
                    self.drop(name)
                elif serving.version != production[name] or self._is_old(serving):
                    await self._try(name, production[name])
            for name in list(self._missing):
                if name in production:
                    await self._try(name, production[name])
                else:
                    self._missing.discard(name)

    def _is_old(self, serving: Serving) -> bool:
        # A fresh state has what other processes were told of, and forgets what is long past.
        age_seconds = (self._clock.now() - serving.loaded_at).total_seconds()
        return age_seconds > self._settings.refresh_seconds

    @asynccontextmanager
    async def changing(self) -> AsyncIterator[None]:
        """Within the block nobody else changes what answers."""
        async with self._lock:
            yield
