"""The jobs service over each pair of database and queue, with a ledger beside it."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from foodex.adapters.database.engine import open_database
from foodex.adapters.objects.store import ObjectStore, open_objects
from foodex.adapters.queue.opening import open_queue
from foodex.adapters.queue.rabbitmq import RabbitQueue
from foodex.core.access import Principal, Role
from foodex.core.clock import SystemClock
from foodex.core.settings import AccountsSettings, JobsSettings
from foodex.core.sql import Database, migrate
from foodex.domain.jobs import Job, JobState
from foodex.domain.ledger import EntryKind
from foodex.ports.accounts import Ledger as LedgerPort
from foodex.ports.jobs import Jobs, Kind
from foodex.ports.queue import Queue
from foodex.services.accounts.ledger import Ledger
from foodex.services.jobs.service import JobsService
from tests.services.jobs.kinds import KINDS
from tests.support.servers import rabbitmq_url

SECRET = "a secret that all processes share"
ADA = Principal("ada", frozenset({Role.CLIENT}), account="ada")
BOB = Principal("bob", frozenset({Role.CLIENT}), account="bob")
OPERATOR = Principal("olga", frozenset({Role.OPERATOR}))
ADMIN = Principal("anna", frozenset({Role.ADMIN}))


@dataclass(frozen=True)
class Place:
    """Where a system of jobs has its things; plain texts, so that other processes can be told."""

    database_url: str
    queue_url: str
    queue_prefix: str
    folder: Path

    @property
    def settings(self) -> JobsSettings:
        return JobsSettings(
            work_folder=str(self.folder / "work"),
            lease_seconds=1.0,
            beat_seconds=0.1,
            sweep_seconds=0.2,
            unpublished_seconds=0.4,
            lost_seconds=1.0,
            acceptance_seconds=4.0,
            retry_seconds=0.05,
            at_once=2,
        )

    def objects(self) -> ObjectStore:
        return open_objects(f"file://{self.folder}/objects")

    def queue(self) -> Queue:
        return open_queue(self.queue_url, SystemClock(), prefix=self.queue_prefix)


@dataclass
class Yard:
    """A place that is open: its database, queue and ledger, and services over them."""

    place: Place
    database: Database
    queue: Queue
    ledger: Ledger

    @asynccontextmanager
    async def start(
        self,
        *,
        work: bool = True,
        queue: Queue | None = None,
        ledger: LedgerPort | None = None,
        kinds: Mapping[str, Kind] = KINDS,
        **settings: object,
    ) -> AsyncIterator[JobsService]:
        service = JobsService(
            database=self.database,
            queue=queue or self.queue,
            objects=self.place.objects(),
            ledger=ledger or self.ledger,
            kinds=kinds,
            settings=self.place.settings.model_copy(update=settings),
            clock=SystemClock(),
            secret=SECRET,
            work=work,
        )
        async with service.running():
            yield service

    async def account(self, name: str = "ada", balance_minor: int = 1000) -> None:
        await self.ledger.open_account(name)
        await self.ledger.top_up(name, balance_minor)

    async def left(self, name: str = "ada") -> int:
        return (await self.ledger.balance(name)).balance_minor

    async def charges(self, name: str = "ada") -> list[int]:
        entries = (await self.ledger.entries(name)).entries
        return [-one.amount_minor for one in entries if one.kind is EntryKind.CHARGE]

    async def holds(self) -> None:
        verification = await self.ledger.verify()
        assert verification.holds, verification.differences


Started = Callable[..., AbstractAsyncContextManager[JobsService]]


async def ended(jobs: Jobs, job: Job, seconds: float = 20) -> Job:
    """The job when it has ended."""
    async with asyncio.timeout(seconds):
        while not (job := await jobs.wait_for_job(job.id, seen=1, timeout_seconds=5)).ended:
            continue
    return job


async def settled(jobs: Jobs, job: Job, seconds: float = 20) -> Job:
    """The job when it has ended and its money is where it belongs."""
    await ended(jobs, job, seconds)
    return await until(jobs, job, lambda found: found.settled, seconds)


async def until_state(jobs: Jobs, job: Job, state: JobState, seconds: float = 20) -> Job:
    """The job when it is in a state."""
    return await until(jobs, job, lambda found: found.state is state, seconds)


async def until(jobs: Jobs, job: Job, so: Callable[[Job], bool], seconds: float = 20) -> Job:
    """The job when it is as wanted, however often that takes looking."""
    async with asyncio.timeout(seconds):
        while True:
            found = await jobs.job(job.id)
            if so(found):
                return found
            await asyncio.sleep(0.02)


async def eventually(so: Callable[[], bool], seconds: float = 20) -> None:
    """Return when it is so, however often that takes looking."""
    async with asyncio.timeout(seconds):
        while True:
            if await asyncio.to_thread(so):
                return
            await asyncio.sleep(0.02)


@pytest.fixture(params=["sqlite", "postgresql and rabbitmq"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path}/foodex.db"
    found: str = request.getfixturevalue("postgresql_database_url")
    return found


@pytest.fixture
async def place(database_url: str, tmp_path: Path) -> AsyncIterator[Place]:
    if database_url.startswith("sqlite"):
        yield Place(database_url, f"sqlite:///{tmp_path}/queue.db", "foodex", tmp_path)
        return
    async with on_rabbitmq(tmp_path) as place:
        yield replace(place, database_url=database_url)


@pytest.fixture
async def rabbit_place(tmp_path: Path) -> AsyncIterator[Place]:
    """A place without a database."""
    async with on_rabbitmq(tmp_path) as place:
        yield place


@asynccontextmanager
async def on_rabbitmq(folder: Path) -> AsyncIterator[Place]:
    prefix = f"foodex-test-{secrets.token_hex(6)}"
    yield Place("", rabbitmq_url(), prefix, folder)
    last = RabbitQueue(rabbitmq_url(), SystemClock(), prefix=prefix)
    await last.delete()
    await last.close()


@asynccontextmanager
async def opened(place: Place) -> AsyncIterator[Yard]:
    database = open_database(place.database_url)
    queue = place.queue()
    for service in ("accounts", "jobs"):
        await migrate(database, service)
    ledger = Ledger(database=database, settings=AccountsSettings(), clock=SystemClock())
    try:
        yield Yard(place, database, queue, ledger)
    finally:
        await queue.close()
        await database.close()


@pytest.fixture
async def yard(place: Place) -> AsyncIterator[Yard]:
    async with opened(place) as yard:
        yield yard
