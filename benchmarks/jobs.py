"""Background jobs: accepted a second, picked up after how long, and two workers against one.

    .venv/bin/python benchmarks/jobs.py postgresql+asyncpg://postgres@127.0.0.1/speed amqp://guest:guest@127.0.0.1/
    .venv/bin/python benchmarks/jobs.py sqlite+aiosqlite:////tmp/speed.db sqlite:////tmp/speed-queue.db

The database must be there, and be one to throw away. A file has one process, so two workers are
measured with servers only. No HTTP is spoken.
"""

import argparse
import asyncio
import math
import secrets
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import Any

import uvloop

from benchmarks.report import machine
from foodex.adapters.database.engine import open_database
from foodex.adapters.objects.store import open_objects
from foodex.adapters.queue.opening import open_queue
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

HOUSE = Principal("house", frozenset(Role))


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


KINDS = {
    kind.name: kind
    for kind in (
        Kind(name="nothing", run=nothing, quote=quote),
        Kind(name="spin", run=spin),
    )
}


@asynccontextmanager
async def started(arguments: argparse.Namespace, *, work: bool) -> AsyncIterator[JobsService]:
    """The service over the servers named, and its ledger."""
    clock = SystemClock()
    database = open_database(arguments.database, pool_size=20)
    queue = open_queue(arguments.queue, clock, prefix=arguments.prefix)
    await migrate(database, "accounts")
    service = JobsService(
        database=database,
        queue=queue,
        objects=open_objects(f"file://{arguments.folder}/objects"),
        ledger=Ledger(database=database, settings=AccountsSettings(), clock=clock),
        kinds=KINDS,
        settings=JobsSettings(work_folder=f"{arguments.folder}/work", at_once=1),
        clock=clock,
        secret="speed",
        work=work,
    )
    try:
        async with service.running():
            yield service
    finally:
        await queue.close()
        await database.close()


async def acceptance(arguments: argparse.Namespace, principals: list[Principal]) -> float:
    """Jobs accepted a second by 32 callers, their messages sent."""
    async with started(arguments, work=False) as service:
        made = 0
        end = time.perf_counter() + arguments.seconds
        begin = time.perf_counter()

        async def caller(number: int) -> None:
            nonlocal made
            with acting_as(principals[number % len(principals)]):
                while time.perf_counter() < end:
                    await service.accept(JobRequest(kind="nothing"))
                    made += 1

        await asyncio.gather(*(caller(number) for number in range(32)))
    # The block's end waits until all is sent.
    return made / (time.perf_counter() - begin)


async def pick_up(arguments: argparse.Namespace) -> list[float]:
    """Milliseconds from acceptance to beginning, in a worker that has nothing else to do."""
    took = []
    async with started(arguments, work=True) as service:
        for _ in range(100):
            job = await service.accept(JobRequest(kind="nothing"))
            while not job.ended:
                job = await service.wait_for_job(job.id, seen=1, timeout_seconds=5)
            assert job.started_at
            took.append((job.started_at - job.created_at) / timedelta(milliseconds=1))
            await asyncio.sleep(0.02)
    return sorted(took)


async def throughput(arguments: argparse.Namespace, workers: int) -> float:
    """Seconds for jobs that need a core, with so many workers, each a process that is ready."""
    async with AsyncExitStack() as stack:
        service = await stack.enter_async_context(started(arguments, work=False))
        for _ in range(workers):
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "benchmarks.jobs", arguments.database, arguments.queue, "--work"),
                *("--prefix", arguments.prefix, "--folder", arguments.folder),
                stdout=asyncio.subprocess.PIPE,
            )
            stack.callback(process.kill)
            assert process.stdout is not None
            assert await process.stdout.readline() == b"ready\n"
        request = JobRequest(kind="spin", parameters={"seconds": 0.5})
        begin = time.perf_counter()
        made = [await service.accept(request) for _ in range(24)]
        for job in made:
            while not (await service.wait_for_job(job.id, seen=1, timeout_seconds=5)).ended:
                continue
        return time.perf_counter() - begin


async def clear(arguments: argparse.Namespace) -> None:
    """Leave no queues behind on a server."""
    queue = open_queue(arguments.queue, SystemClock(), prefix=arguments.prefix)
    if isinstance(queue, RabbitQueue):
        await queue.ping()
        await queue.delete()
    await queue.close()


async def main(arguments: argparse.Namespace) -> None:
    if arguments.work:
        async with started(arguments, work=True):
            print("ready", flush=True)
            await asyncio.Event().wait()
    print(machine())
    database = open_database(arguments.database)
    await migrate(database, "accounts")
    ledger = Ledger(database=database, settings=AccountsSettings(), clock=SystemClock())
    payers = []
    for number in range(32):
        name = f"{arguments.prefix}-{number}"
        await ledger.open_account(name)
        await ledger.top_up(name, 10**9)
        payers.append(Principal(name, frozenset(Role), account=name))
    await database.close()
    with acting_as(HOUSE):
        took = await pick_up(arguments)
        print(f"picked up after {statistics.median(took):.1f} ms, 95 % within {took[94]:.1f} ms")
        print(f"accepted: {await acceptance(arguments, [HOUSE]):.0f} jobs/s without a price")
        print(f"accepted: {await acceptance(arguments, payers):.0f} jobs/s, 32 accounts")
        print(f"accepted: {await acceptance(arguments, payers[:1]):.0f} jobs/s, one account")
        await clear(arguments)
        if not arguments.database.startswith("sqlite"):
            arguments.prefix += "-two"
            one, two = [await throughput(arguments, workers) for workers in (1, 2)]
            print(f"24 jobs of half a second of a core: {one:.2f} s, by two workers {two:.2f} s,")
            print(f"which is {one / two:.2f} times as fast")
            await clear(arguments)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("database")
    parser.add_argument("queue")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--prefix", default=f"foodex-speed-{secrets.token_hex(4)}")
    parser.add_argument("--folder", default="")
    parser.add_argument("--work", action="store_true")
    chosen = parser.parse_args()
    configure_logging(LogSettings(level="error"))
    with tempfile.TemporaryDirectory() as folder:
        chosen.folder = chosen.folder or folder
        uvloop.run(main(chosen))
