"""Jobs on PostgreSQL and RabbitMQ: taken in a second, picked up after how long, two workers or one.

No HTTP is spoken. Each measurement has a database, queues and a folder of its own, gone afterwards.
"""

import asyncio
import math
import os
import secrets
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing import get_context
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any, Final

import uvloop

from benchmarks.report import Row
from benchmarks.servers import postgresql_database, postgresql_url, rabbitmq_url
from foodex.adapters.database.engine import open_database
from foodex.adapters.objects.store import open_objects
from foodex.adapters.queue.rabbitmq import RabbitQueue
from foodex.core.access import Principal, Role, acting_as
from foodex.core.clock import SystemClock
from foodex.core.settings import AccountsSettings, JobsSettings, LogSettings
from foodex.core.sql import migrate
from foodex.core.telemetry import configure_logging
from foodex.domain.jobs import JobRequest
from foodex.domain.ledger import Price
from foodex.ports.jobs import JobContext, Kind
from foodex.services.accounts.ledger import Ledger
from foodex.services.jobs.service import JobsService

TURNS: Final = 3
CALLERS: Final = 32
ACCEPTING_SECONDS: Final = 5.0
PICKED_UP: Final = 100
SPINS, SPIN_SECONDS = 24, 0.5
HOUSE: Final = Principal("house", frozenset(Role))
_SPAWN: Final = get_context("spawn")
_READY_SECONDS: Final = 60.0
_ACCEPTED: Final = "priced jobs accepted a second, PostgreSQL and RabbitMQ"
_PICKED_UP: Final = "a job picked up after (median)"
_TWO: Final = "two workers against one, jobs that need a core"
_MUST: Final = {_ACCEPTED: "≥ 300", _PICKED_UP: "≤ 100 ms", _TWO: "≥ 1.7 ×"}


async def nothing(_: JobContext) -> None:
    """A job that is done at once."""


async def spin(context: JobContext) -> Mapping[str, Any]:
    """A job that keeps one core busy in its worker's own process."""
    total = 0.0
    until = time.process_time() + context.job.parameters["seconds"]
    while time.process_time() < until:
        total += sum(math.sqrt(number) for number in range(2_000))
        # Lets the worker say that it lives.
        await asyncio.sleep(0)
    return {"total": total}


async def quote(_: Mapping[str, Any]) -> Price:
    """A price, for the jobs that have one."""
    return Price(operation="eta", unit_minor=1, currency="EUR")


KINDS: Final = {
    kind.name: kind
    for kind in (Kind(name="nothing", run=nothing, quote=quote), Kind(name="spin", run=spin))
}


@dataclass(frozen=True, slots=True)
class Place:
    """What one measurement has to itself: URLs of a database and a RabbitMQ, queues, a folder."""

    database: str
    rabbitmq: str
    prefix: str
    folder: Path

    def queue(self) -> RabbitQueue:
        """Its queues, to be closed by the caller."""
        return RabbitQueue(self.rabbitmq, SystemClock(), prefix=self.prefix)


def measure_queue() -> list[Row]:
    """Three figures, or that there are no servers to measure them with."""
    rabbitmq = rabbitmq_url()
    found = {"PostgreSQL": postgresql_url(), "RabbitMQ": rabbitmq}
    missing = ", no ".join(name for name, url in found.items() if url is None)
    if missing or rabbitmq is None:
        told = f"not measured: no {missing}"
        return [Row(what=what, measured=told, must=must) for what, must in _MUST.items()]
    configure_logging(LogSettings(level="error"))
    return [
        _measured(rabbitmq, _accepted_row),
        _measured(rabbitmq, _picked_up_row),
        _measured(rabbitmq, _two_row),
    ]


def _measured(rabbitmq: str, measurement: Callable[[Place], Coroutine[Any, Any, Row]]) -> Row:
    with _place(rabbitmq) as place, acting_as(HOUSE):
        return uvloop.run(measurement(place))


@contextmanager
def _place(rabbitmq: str) -> Iterator[Place]:
    prefix = f"foodex-benchmark-{secrets.token_hex(4)}"
    with postgresql_database() as database, tempfile.TemporaryDirectory() as folder:
        if database is None:
            raise RuntimeError("PostgreSQL has gone meanwhile")
        place = Place(database, rabbitmq, prefix, Path(folder))
        try:
            yield place
        finally:
            asyncio.run(_remove_queues(place))


async def _remove_queues(place: Place) -> None:
    queue = place.queue()
    await queue.ping()
    await queue.delete()
    await queue.close()


@asynccontextmanager
async def _started(place: Place, *, work: bool) -> AsyncIterator[JobsService]:
    clock = SystemClock()
    database = open_database(place.database, pool_size=20)
    queue = place.queue()
    await migrate(database, "accounts")
    service = JobsService(
        database=database,
        queue=queue,
        objects=open_objects(f"file://{place.folder}/objects"),
        ledger=Ledger(database=database, settings=AccountsSettings(), clock=clock),
        kinds=KINDS,
        settings=JobsSettings(work_folder=f"{place.folder}/work", at_once=1),
        clock=clock,
        secret="benchmark",
        work=work,
    )
    try:
        async with service.running():
            yield service
    finally:
        await queue.close()
        await database.close()


async def _accepted_row(place: Place) -> Row:
    payers = await _payers(place)
    many, one, unpaid = [
        statistics.median([await _accepted_a_second(place, who) for _ in range(TURNS)])
        for who in (payers, payers[:1], [HOUSE])
    ]
    return Row(
        what=_ACCEPTED,
        measured=f"{many:,.0f}",
        must=_MUST[_ACCEPTED],
        reached=many >= 300,
        note=f"{CALLERS} callers with an account each, until the last message is with RabbitMQ; "
        f"all from one account {one:,.0f}, without a price {unpaid:,.0f}; "
        f"medians of {TURNS} turns",
    )


async def _payers(place: Place) -> list[Principal]:
    """People with money, one for each caller."""
    database = open_database(place.database)
    await migrate(database, "accounts")
    ledger = Ledger(database=database, settings=AccountsSettings(), clock=SystemClock())
    names = [f"payer-{number}" for number in range(CALLERS)]
    for name in names:
        await ledger.open_account(name)
        await ledger.top_up(name, 10**9)
    await database.close()
    return [Principal(name, frozenset(Role), account=name) for name in names]


async def _accepted_a_second(place: Place, principals: list[Principal]) -> float:
    async with _started(place, work=False) as service:
        made = 0
        begin = time.perf_counter()
        end = begin + ACCEPTING_SECONDS

        async def caller(number: int) -> None:
            nonlocal made
            with acting_as(principals[number % len(principals)]):
                while time.perf_counter() < end:
                    await service.accept(JobRequest(kind="nothing"))
                    made += 1

        await asyncio.gather(*(caller(number) for number in range(CALLERS)))
    # The block's end waits until all is sent.
    return made / (time.perf_counter() - begin)


async def _picked_up_row(place: Place) -> Row:
    took = []
    async with _started(place, work=True) as service:
        for _ in range(PICKED_UP):
            job = await service.accept(JobRequest(kind="nothing"))
            while not job.ended:
                job = await service.wait_for_job(job.id, seen=1, timeout_seconds=5)
            assert job.started_at
            took.append((job.started_at - job.created_at) / timedelta(milliseconds=1))
            await asyncio.sleep(0.02)
    middle, slow = statistics.median(took), statistics.quantiles(took, n=20)[-1]
    return Row(
        what=_PICKED_UP,
        measured=f"{middle:.1f} ms",
        must=_MUST[_PICKED_UP],
        reached=middle <= 100,
        note=f"95 % within {slow:.1f} ms; {PICKED_UP} jobs one after another, "
        "by a worker with nothing else to do",
    )


async def _two_row(place: Place) -> Row:
    pairs = [[await _all_done(place, workers) for workers in (1, 2)] for _ in range(TURNS)]
    one, two = (statistics.median(seconds) for seconds in zip(*pairs, strict=True))
    return Row(
        what=_TWO,
        measured=f"{one / two:.2f} ×",
        must=_MUST[_TWO],
        reached=one / two >= 1.7,
        note=f"{SPINS} jobs of {SPIN_SECONDS} s of a core in {one:.1f} s, by two in {two:.1f} s, "
        f"medians of {TURNS} turns; the machine has {os.cpu_count()} cores, "
        "which the database and the queue use too",
    )


async def _all_done(place: Place, workers: int) -> float:
    """Seconds until the jobs are done by so many workers, each a process that is ready."""
    with ExitStack() as stack:
        for _ in range(workers):
            ready = _SPAWN.Event()
            process = _SPAWN.Process(target=_work, args=(place, ready), daemon=True)
            process.start()
            stack.callback(process.join)
            stack.callback(process.kill)
            if not await asyncio.to_thread(ready.wait, _READY_SECONDS):
                raise RuntimeError("a worker did not become ready")
        async with _started(place, work=False) as service:
            request = JobRequest(kind="spin", parameters={"seconds": SPIN_SECONDS})
            begin = time.perf_counter()
            made = [await service.accept(request) for _ in range(SPINS)]
            for job in made:
                while not (await service.wait_for_job(job.id, seen=1, timeout_seconds=5)).ended:
                    continue
            return time.perf_counter() - begin


def _work(place: Place, ready: Event) -> None:
    """A worker, in a process of its own, until it is killed."""

    async def until_killed() -> None:
        async with _started(place, work=True):
            ready.set()
            await asyncio.Event().wait()

    configure_logging(LogSettings(level="error"))
    with acting_as(HOUSE):
        uvloop.run(until_killed())
