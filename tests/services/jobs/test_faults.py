"""What happens when workers are killed and servers go away.

`FOODEX_TEST_KILLS` sets how often workers are killed; the default is short.
"""

import asyncio
import os
import random
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import sqlalchemy as sa

from foodex.core.access import acting_as
from foodex.domain.jobs import Job, JobRequest, JobState
from foodex.services.jobs.service import JobsService
from tests.services.jobs.conftest import ADA, Place, Yard, eventually, opened, settled
from tests.services.jobs.kinds import UNIT_MINOR
from tests.support.proxy import Proxy, proxy_to

KILLS = int(os.environ.get("FOODEX_TEST_KILLS", "3"))
JOBS = 20
START = 10_000


@asynccontextmanager
async def worker(place: Place) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.services.jobs.worker_process"),
        *(place.database_url, place.queue_url, place.queue_prefix, str(place.folder)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"ready\n"
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def accept_all(service: JobsService, notes: Path, seconds: float = 0.1) -> list[Job]:
    made = []
    for number in range(JOBS):
        parameters = {"number": number, "seconds": seconds, "note": str(notes)}
        made.append(await service.accept(JobRequest(kind="count", parameters=parameters)))
    return made


async def check(yard: Yard, service: JobsService, made: list[Job]) -> None:
    """Every job was done once in effect, and paid for once."""
    objects = yard.place.objects()
    for number, job in enumerate(made):
        done = await settled(service, job, seconds=60)
        assert (done.state, done.error) == (JobState.DONE, None)
        assert done.result == {"number": number, "attempts": done.attempts}
        effect = [piece async for piece in service.file(job.id, "effect.txt")]
        assert effect == [str(done.attempts).encode()]
    await eventually(lambda: len(files_of(yard.place.folder / "objects" / "jobs")) == JOBS)
    assert len((await objects.list("jobs/")).objects) == JOBS
    assert await yard.charges() == [UNIT_MINOR] * JOBS
    assert await yard.left() == START - JOBS * UNIT_MINOR
    await yard.holds()


def files_of(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def lines_of(notes: Path) -> int:
    return len(notes.read_text().splitlines()) if notes.exists() else 0


@pytest.mark.timeout(120 + 30 * KILLS)
async def test_a_killed_worker_loses_nothing_and_does_nothing_twice(
    place: Place, tmp_path: Path
) -> None:
    notes = tmp_path / "notes"
    rng = random.Random(3)
    async with opened(place) as yard:
        await yard.account(balance_minor=START)
        async with yard.start(work=False) as gateway:
            with acting_as(ADA):
                made = await accept_all(gateway, notes)
    for _ in range(KILLS):
        until = lines_of(notes) + rng.randrange(1, 6)
        async with worker(place) as process:
            await eventually(lambda until=until: lines_of(notes) >= until)
            process.kill()
            await process.wait()
    assert lines_of(notes) < JOBS + KILLS * 6
    async with opened(place) as yard, yard.start() as service:
        with acting_as(ADA):
            await check(yard, service, made)
    # Some were begun again, or the kills hit nothing.
    assert lines_of(notes) > JOBS


@pytest.mark.timeout(180)
async def test_one_of_two_workers_is_killed(
    postgresql_database_url: str, rabbit_place: Place, tmp_path: Path
) -> None:
    notes = tmp_path / "notes"
    place = replace(rabbit_place, database_url=postgresql_database_url)
    async with opened(place) as yard:
        await yard.account(balance_minor=START)
        async with yard.start(work=False) as gateway, worker(place), worker(place) as victim:
            with acting_as(ADA):
                made = await accept_all(gateway, notes)
                await eventually(lambda: lines_of(notes) >= 5)
                victim.kill()
                await check(yard, gateway, made)


@asynccontextmanager
async def behind_proxies(place: Place) -> AsyncIterator[tuple[Place, Proxy, Proxy]]:
    """The place with its servers behind proxies: that of the database, that of the queue."""
    database = sa.make_url(place.database_url)
    queue = urlsplit(place.queue_url)
    async with (
        proxy_to(database.host or "", database.port or 5432) as one,
        proxy_to(queue.hostname or "", queue.port or 5672) as other,
    ):
        through = database.set(host="127.0.0.1", port=one.port)
        credentials = queue.netloc.rpartition("@")[0]
        moved = queue._replace(netloc=f"{credentials}@127.0.0.1:{other.port}")
        yield (
            replace(
                place,
                database_url=through.render_as_string(hide_password=False),
                queue_url=moved.geturl(),
            ),
            one,
            other,
        )


@pytest.mark.timeout(180)
@pytest.mark.parametrize("what", ["queue", "both"])
async def test_servers_that_go_away_and_come_back(
    postgresql_database_url: str, rabbit_place: Place, tmp_path: Path, what: str
) -> None:
    notes = tmp_path / "notes"
    straight = replace(rabbit_place, database_url=postgresql_database_url)
    async with opened(straight) as bank, behind_proxies(straight) as (place, database, queue):
        await bank.account(balance_minor=START)
        proxies = [queue] if what == "queue" else [database, queue]
        async with opened(place) as yard, yard.start() as service:
            with acting_as(ADA):
                made = await accept_all(service, notes, seconds=0.15)
                for until in (3, 9):
                    await eventually(lambda until=until: lines_of(notes) >= until)
                    for proxy in proxies:
                        await proxy.down()
                    # Longer than a lease.
                    await asyncio.sleep(1.3)
                    for proxy in proxies:
                        await proxy.up()
                await check(bank, service, made)


@pytest.mark.timeout(180)
async def test_jobs_are_accepted_while_the_queue_is_away(
    postgresql_database_url: str, rabbit_place: Place, tmp_path: Path
) -> None:
    straight = replace(rabbit_place, database_url=postgresql_database_url)
    async with opened(straight) as bank, behind_proxies(straight) as (place, _, queue):
        await bank.account(balance_minor=START)
        async with opened(place) as yard:
            await queue.down()
            async with yard.start(work=False) as service:
                with acting_as(ADA):
                    async with asyncio.timeout(10):
                        made = await accept_all(service, tmp_path / "notes", seconds=0.01)
            await queue.up()
            async with yard.start() as service:
                with acting_as(ADA):
                    await check(bank, service, made)
