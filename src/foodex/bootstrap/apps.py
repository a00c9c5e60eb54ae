"""The apps: the gateway over a whole system, or one service by itself."""

from collections.abc import AsyncIterator, Callable, Generator
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from typing import Any, Final, Self, cast

from fastapi import APIRouter, FastAPI
from prometheus_client import CollectorRegistry

from foodex.bootstrap.kinds import all_kinds
from foodex.bootstrap.parts import Parts
from foodex.bootstrap.state import prepare_state
from foodex.bootstrap.system import System, assemble
from foodex.core.access import Access, KeyAccess
from foodex.core.errors import InvalidInput, NotFound
from foodex.core.http import App, put_around
from foodex.core.settings import HttpSettings, Settings
from foodex.ports.jobs import Jobs
from foodex.ports.storage import Storage
from foodex.services.accounts import api as accounts_api
from foodex.services.accounts import app as accounts_app
from foodex.services.accounts.access import AccountsAccess
from foodex.services.collector import api as collector_api
from foodex.services.collector import app as collector_app
from foodex.services.dashboard.app import beside, create_dashboard
from foodex.services.dashboard.gateway import AppWire, Gateway, HttpWire
from foodex.services.gateway import batches as batch_routes
from foodex.services.gateway import cost_routes, scenario_routes, system_routes
from foodex.services.gateway.app import create_gateway
from foodex.services.gateway.overview import routes as overview_routes
from foodex.services.gateway.overview.figures import OverviewFigures
from foodex.services.gateway.refusals import tell_of_refusals
from foodex.services.jobs import api as jobs_api
from foodex.services.jobs import app as jobs_app
from foodex.services.ml import api as ml_api
from foodex.services.ml import app as ml_app
from foodex.services.ml.lane import forecast_lane
from foodex.services.storage import api as storage_api
from foodex.services.storage import app as storage_app

SERVICES: Final = (
    *("storage", "collector", "ml", "accounts", "jobs", "worker", "gateway", "dashboard"),
)
"""`worker` is `jobs` that also does them; of it there may be many."""


@asynccontextmanager
async def single_app(name: str, settings: Settings) -> AsyncIterator[FastAPI]:
    """The app of one service, with the others reached at the addresses in the settings."""
    if name not in SERVICES:
        raise InvalidInput(f"There is no service '{name}'; there are: {', '.join(SERVICES)}")
    if name == "worker" and settings.queue.url.get_secret_value().startswith("sqlite:"):
        raise InvalidInput(
            "A worker by itself needs a queue that several processes can share: set queue.url to "
            "amqp://...; `foodex up` does the jobs of a queue in a file"
        )
    if name == "dashboard":
        async with _dashboard(settings) as app:
            yield app
        return
    access, http = KeyAccess(prepare_state(settings)), settings.http
    async with AsyncExitStack() as stack:
        parts = Parts(settings, stack)
        if name == "accounts":
            accounts = await parts.accounts(here=True)
            yield accounts_app.create_app(
                accounts, access=access, settings=http, checks=parts.checks, registry=parts.registry
            )
            return
        storage = await parts.storage(here=name == "storage")
        if name in ("jobs", "worker"):
            jobs = await _jobs(parts, settings, storage, work=name == "worker")
            yield jobs_app.create_app(
                jobs, access=access, settings=http, checks=parts.checks, registry=parts.registry
            )
            return
        if name == "storage":
            app = storage_app.create_app(
                storage, access=access, settings=http, checks=parts.checks, registry=parts.registry
            )
        elif name == "collector":
            collector = await parts.collector(storage, here=True)
            app = collector_app.create_app(
                collector,
                access=access,
                settings=http,
                checks=parts.checks,
                registry=parts.registry,
            )
        elif name == "ml":
            ml = await parts.ml(storage, here=True)
            app = ml_app.create_app(
                ml, access=access, settings=http, checks=parts.checks, registry=parts.registry
            )
        else:
            ml = await parts.ml(storage, here=False)
            accounts = await parts.accounts(here=False)
            system = await assemble(
                parts,
                settings,
                storage=storage,
                collector=await parts.collector(storage, here=False),
                ml=ml,
                accounts=accounts,
                files=await parts.order_files(storage),
                jobs=await parts.jobs(here=False, work=False, accounts=accounts, kinds={}),
            )
            app = gateway_app(system, settings=http)
        yield app


@asynccontextmanager
async def _dashboard(settings: Settings) -> AsyncIterator[FastAPI]:
    url = settings.dashboard.gateway_url
    if not url:
        raise InvalidInput("Where is the gateway? Set dashboard.gateway_url")
    async with HttpWire(url) as wire:
        yield create_dashboard(Gateway(wire), settings=settings.http)


async def _jobs(parts: Parts, settings: Settings, storage: Storage, *, work: bool) -> Jobs:
    """Jobs in a process of their own, whose other services are all elsewhere."""
    ml = await parts.ml(storage, here=False)
    accounts = await parts.accounts(here=False)
    kinds = all_kinds(
        settings,
        storage=storage,
        collector=await parts.collector(storage, here=False),
        ml=ml,
        accounts=accounts,
    )
    if work:
        await parts.order_files(storage, sweep=True)
    return await parts.jobs(here=True, work=work, accounts=accounts, kinds=kinds)


def gateway_app(system: System, *, settings: HttpSettings) -> App:
    """The gateway over a composed system."""
    access = system.access
    routers: dict[str, APIRouter] = {
        "storage": storage_api.router(system.storage),
        "collector": collector_api.router(system.collector),
        "ml": ml_api.router(system.ml),
        "accounts": accounts_api.router(system.accounts),
        "jobs": jobs_api.router(system.jobs),
    }
    app = create_gateway(
        routers=routers,
        own=(
            batch_routes.router(system.files, system.jobs),
            scenario_routes.router(system.scenarios),
            scenario_routes.reports_router(system.scenarios),
            cost_routes.router(),
            system_routes.router(system.state),
            overview_routes.router(OverviewFigures(system.storage, system.ml)),
        ),
        ml=system.ml,
        accounts=system.accounts,
        access=access,
        settings=settings,
        running=access.running if isinstance(access, AccountsAccess) else nullcontext,
        checks=system.checks,
        registry=system.registry,
        limiter=system.limiter,
        layers=(
            lambda inner: forecast_lane(
                inner,
                ml=system.ml,
                access=access,
                registry=system.registry,
                settings=settings,
                limiter=system.limiter,
            ),
        ),
    )
    tell_of_refusals(app, system.accounts)
    return app


def whole_app(system: System, *, settings: HttpSettings) -> App:
    """The gateway over a composed system, and the dashboard beside it at the same address."""
    app = gateway_app(system, settings=settings)
    dashboard = create_dashboard(Gateway(AppWire(app)), settings=settings)
    put_around(app, lambda inner: beside(inner, dashboard))
    return app


def pages_description() -> FastAPI:
    """The dashboard's app over nothing: it can tell its routes."""
    nothing = cast("Any", _Nothing())
    return create_dashboard(nothing, settings=HttpSettings())


class _Nothing:
    """A port behind which there is nothing."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return lambda *_, **__: _NoAnswer()


class _NoAnswer:
    """Whether it is awaited or read piece by piece: there is nothing."""

    def __await__(self) -> Generator[Any, Any, Any]:
        raise NotFound("There is nothing behind this gateway")

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        raise NotFound("There is nothing behind this gateway")

    async def aclose(self) -> None:
        return None


def api_description(access: Access | None = None) -> FastAPI:
    """The gateway's app over nothing: it can tell its routes, and answers 404 at each."""
    nothing = cast("Any", _Nothing())
    return gateway_app(
        System(
            local=True,
            storage=nothing,
            collector=nothing,
            ml=nothing,
            accounts=nothing,
            jobs=nothing,
            files=nothing,
            scenarios=nothing,
            state=nothing,
            access=access or KeyAccess(""),
            checks={},
            registry=CollectorRegistry(),
        ),
        settings=HttpSettings(),
    )
