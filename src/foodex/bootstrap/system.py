"""A running system: its services' ports, composed here or reached over HTTP."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from foodex.bootstrap.kinds import all_kinds
from foodex.bootstrap.parts import Parts
from foodex.bootstrap.state import prepare_state
from foodex.core.access import Access, KeyAccess
from foodex.core.clock import SystemClock
from foodex.core.http import Check
from foodex.core.limits import UNLIMITED, Limiter
from foodex.core.peer import Peer
from foodex.core.settings import Settings
from foodex.ports.accounts import Accounts
from foodex.ports.collector import Collector
from foodex.ports.jobs import Jobs
from foodex.ports.ml import Ml
from foodex.ports.scenarios import Scenarios
from foodex.ports.storage import Storage
from foodex.ports.system import SystemState
from foodex.services.accounts.client import AccountsClient
from foodex.services.collector.client import CollectorClient
from foodex.services.collector.service import CollectorService
from foodex.services.gateway.order_files import OrderFiles
from foodex.services.gateway.scenario_client import ScenariosClient
from foodex.services.gateway.scenario_runs import ScenarioRuns
from foodex.services.gateway.system_client import SystemStateClient
from foodex.services.gateway.system_state import GatewaySystemState
from foodex.services.jobs.client import JobsClient
from foodex.services.ml.client import MlClient
from foodex.services.storage.client import StorageClient


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """The services' ports, each the object itself or a client, and what the gateway needs.

    `local` says that the collector runs here and can read this machine's files by their path.
    """

    local: bool
    storage: Storage
    collector: Collector
    ml: Ml
    accounts: Accounts
    jobs: Jobs
    files: OrderFiles
    scenarios: Scenarios
    state: SystemState
    access: Access
    checks: Mapping[str, Check]
    registry: CollectorRegistry
    limiter: Limiter = UNLIMITED


@asynccontextmanager
async def compose(settings: Settings, *, work: bool = False) -> AsyncIterator[System]:
    """Start the services and stop them at the end of the block.

    A service whose `url` is set is reached over HTTP; the others run here. With `work`, background
    jobs are done here too, and not only taken on.
    """
    async with AsyncExitStack() as stack:
        parts = Parts(settings, stack)
        storage = await parts.storage(here=not settings.storage.url)
        collector = await parts.collector(storage, here=not settings.collector.url)
        ml = await parts.ml(storage, here=not settings.ml.url)
        accounts = await parts.accounts(here=not settings.accounts.url)
        jobs = await parts.jobs(
            here=not settings.jobs.url,
            work=work,
            accounts=accounts,
            kinds=all_kinds(
                settings, storage=storage, collector=collector, ml=ml, accounts=accounts
            ),
        )
        yield await assemble(
            parts,
            settings,
            storage=storage,
            collector=collector,
            ml=ml,
            accounts=accounts,
            files=await parts.order_files(storage, sweep=work),
            jobs=jobs,
        )


async def assemble(
    parts: Parts,
    settings: Settings,
    *,
    storage: Storage,
    collector: Collector,
    ml: Ml,
    accounts: Accounts,
    files: OrderFiles,
    jobs: Jobs,
) -> System:
    """The system of these services, with what the gateway adds to them."""
    return System(
        local=isinstance(collector, CollectorService),
        storage=storage,
        collector=collector,
        ml=ml,
        accounts=accounts,
        files=files,
        jobs=jobs,
        scenarios=ScenarioRuns(jobs),
        state=GatewaySystemState(
            storage=storage,
            collector=collector,
            ml=ml,
            accounts=accounts,
            jobs=jobs,
            checks=parts.checks,
            versions=parts.versions,
            settings=settings,
            clock=SystemClock(),
        ),
        access=parts.access(accounts),
        checks=parts.checks,
        registry=parts.registry,
        limiter=await parts.limiter(),
    )


@asynccontextmanager
async def connect(settings: Settings, url: str) -> AsyncIterator[System]:
    """The system behind a gateway that runs already."""
    key = prepare_state(settings)
    async with Peer(url, key) as gateway:
        storage = StorageClient(gateway)
        yield System(
            local=False,
            storage=storage,
            collector=CollectorClient(gateway),
            ml=MlClient(gateway),
            accounts=AccountsClient(gateway, settings=settings.accounts),
            files=OrderFiles(storage, settings.batches, SystemClock()),
            jobs=JobsClient(gateway),
            scenarios=ScenariosClient(gateway),
            state=SystemStateClient(gateway),
            access=KeyAccess(key),
            checks={},
            registry=CollectorRegistry(),
        )
