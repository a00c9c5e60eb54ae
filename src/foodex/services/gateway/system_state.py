"""The state of the whole system: each service is asked something small, and timed."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import foodex
from foodex.core.access import SYSTEM, acting_as
from foodex.core.clock import Clock
from foodex.core.errors import FoodexError
from foodex.core.http import Check
from foodex.core.settings import Settings, mask_url
from foodex.domain.jobs import JobCounts
from foodex.domain.models import RegisteredModel
from foodex.domain.system import (
    AdapterState,
    ModelInProduction,
    ServiceState,
    SystemStatus,
)
from foodex.ports.accounts import Accounts
from foodex.ports.collector import Collector
from foodex.ports.jobs import Jobs
from foodex.ports.ml import Ml
from foodex.ports.storage import Storage

HERE: Final = "here"
Version = Callable[[], Awaitable[str]]


@dataclass(frozen=True, slots=True)
class _Asked:
    """What came of asking: the answer, or why there is none, and how long it took."""

    answer: Any
    says: str
    milliseconds: float | None

    @property
    def healthy(self) -> bool:
        return self.says == "ok"


class GatewaySystemState:
    """Implements `ports.system.SystemState`.

    `versions` tells those of services in other processes; `checks` are of what this process itself
    stands on.
    """

    def __init__(
        self,
        *,
        storage: Storage,
        collector: Collector,
        ml: Ml,
        accounts: Accounts,
        jobs: Jobs,
        checks: Mapping[str, Check],
        versions: Mapping[str, Version],
        settings: Settings,
        clock: Clock,
    ) -> None:
        self._questions: Mapping[str, Callable[[], Awaitable[Any]]] = {
            "storage": storage.datasets,
            "collector": collector.mappings,
            "ml": ml.models,
            "accounts": lambda: accounts.balances(limit=1),
            "jobs": jobs.job_counts,
        }
        self._ml, self._checks, self._versions = ml, checks, versions
        self._settings, self._clock = settings, clock
        self._started_at = clock.now()

    async def status(self) -> SystemStatus:
        """As it is now."""
        # Whoever may see the state may see all of it, whatever else they may ask a service.
        with acting_as(SYSTEM):
            asked = dict(
                zip(
                    self._questions,
                    await asyncio.gather(*map(self._ask, self._questions.values())),
                    strict=True,
                )
            )
            services = await asyncio.gather(*(self._service(n, a) for n, a in asked.items()))
            adapters = await asyncio.gather(*map(self._adapter, self._seams().items()))
            models = asked["ml"].answer
            jobs: JobCounts | None = asked["jobs"].answer
            return SystemStatus(
                version=foodex.__version__,
                stage=self._settings.stage.value,
                at=self._clock.now(),
                started_at=self._started_at,
                healthy=all(service.healthy for service in services)
                and all(adapter.healthy is not False for adapter in adapters),
                services=tuple(services),
                adapters=tuple(adapters),
                jobs=jobs,
                models=None if models is None else await self._in_production(models),
            )

    async def _ask(self, question: Callable[[], Awaitable[Any]]) -> _Asked:
        began, seconds = time.perf_counter(), self._settings.http.check_seconds
        try:
            async with asyncio.timeout(seconds):
                answer = await question()
        except TimeoutError:
            return _Asked(None, f"no answer within {seconds:g} s", None)
        except FoodexError as error:
            return _Asked(None, error.message, None)
        return _Asked(answer, "ok", round(1000 * (time.perf_counter() - began), 2))

    async def _service(self, name: str, asked: _Asked) -> ServiceState:
        url = getattr(self._settings, name).url if name in self._versions else ""
        version: str | None = foodex.__version__
        if name in self._versions:
            version = (await self._ask(self._versions[name])).answer
        return ServiceState(
            name=name,
            place=mask_url(url) or HERE,
            healthy=asked.healthy,
            says=asked.says,
            milliseconds=asked.milliseconds,
            version=version,
        )

    async def _adapter(self, seam_and_url: tuple[str, str]) -> AdapterState:
        seam, url = seam_and_url
        check = self._checks.get(seam)
        asked = await self._ask(check) if check else None
        return AdapterState(
            seam=seam,
            kind=url.partition("://")[0],
            url=mask_url(url),
            healthy=asked.healthy if asked else None,
            says=asked.says if asked else "",
            milliseconds=asked.milliseconds if asked else None,
        )

    def _seams(self) -> dict[str, str]:
        chosen = self._settings
        return {
            "database": chosen.database.url.get_secret_value(),
            "warehouse": chosen.warehouse.url.get_secret_value(),
            "objects": chosen.objects.url,
            "queue": chosen.queue.url.get_secret_value(),
            "limits": chosen.limits.url.get_secret_value(),
            "payments": chosen.accounts.payments_url,
        }

    async def _in_production(
        self, models: tuple[RegisteredModel, ...]
    ) -> tuple[ModelInProduction, ...] | None:
        there = [model for model in models if model.production is not None]
        asked = await self._ask(lambda: self._versions_of(there))
        if asked.answer is None:
            return None
        found: tuple[ModelInProduction, ...] = asked.answer
        return found

    async def _versions_of(self, models: list[RegisteredModel]) -> tuple[ModelInProduction, ...]:
        default = self._settings.ml.default_model
        if not default and models:
            # As the ml service has it: the one promoted last.
            names = {model.name for model in models}
            log = await self._ml.production_log()
            default = next((c.model for c in log if c.model in names and c.version), "")
        found = []
        for model in models:
            version = await self._ml.version(model.name)
            found.append(
                ModelInProduction(
                    model=version.model,
                    version=version.version,
                    algorithm=version.algorithm,
                    dataset=version.dataset,
                    default=version.model == default,
                )
            )
        return tuple(found)
