"""The queue: order, cancellation, failures, and what comes after a crash."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable, Collection
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from foodex.adapters.database.engine import open_database
from foodex.core.errors import Conflict, FieldProblem, InvalidInput, Unavailable
from foodex.core.sql import Database, migrate
from foodex.domain.models import JobKind, JobState
from foodex.services.ml import job_rows
from foodex.services.ml.job_rows import Claim
from foodex.services.ml.jobs import LEASE, MOST_STARTS, Do, JobGone, Jobs
from foodex.services.ml.processes import ProcessDied, Tell

NOW = datetime(2026, 3, 6, 12, tzinfo=UTC)


class Wall:
    def __init__(self) -> None:
        self.time = NOW

    def now(self) -> datetime:
        self.time += timedelta(milliseconds=1)
        return self.time


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgresql":
        found: str = request.getfixturevalue("postgresql_database_url")
        return found
    return f"sqlite+aiosqlite:///{tmp_path}/foodex.db"


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    opened = open_database(url)
    await migrate(opened, "ml")
    yield opened
    await opened.close()


def doing(database: Database, work: Callable[[Claim, Tell], Any]) -> Do:
    """Does the work, then ends the row as the real one does."""

    async def do(claim: Claim, tell: Tell) -> None:
        await work(claim, tell)
        async with database.transaction() as connection:
            if not await job_rows.finish(connection, claim.job.id, claim.owner, NOW, {"n": 1}):
                raise JobGone

    return do


def queue(database: Database, work: Callable[[Claim, Tell], Any], at_once: int = 1) -> Jobs:
    async def clean(keep: Collection[str]) -> None:
        pass

    return Jobs(database, Wall(), doing(database, work), at_once=at_once, clean=clean)


async def at_end(jobs: Jobs, job_id: str) -> Any:
    found = await jobs.job(job_id)
    while found.state in (JobState.WAITING, JobState.RUNNING):
        found = await jobs.wait(job_id, seen=2.0, timeout_seconds=5.0)
    return found


async def test_jobs_are_done_in_their_order(database: Database) -> None:
    order = []

    async def work(claim: Claim, tell: Tell) -> None:
        order.append(claim.job.request["n"])

    jobs = queue(database, work)
    made = [await jobs.submit(JobKind.TRAIN, {"n": n}) for n in range(5)]
    assert [job.state for job in made] == [JobState.WAITING] * 5
    async with jobs.running():
        for job in made:
            assert (await at_end(jobs, job.id)).result == {"n": 1}
    assert order == [0, 1, 2, 3, 4]


async def test_as_many_run_side_by_side_as_are_allowed(database: Database) -> None:
    both = asyncio.Barrier(2)

    async def work(claim: Claim, tell: Tell) -> None:
        async with asyncio.timeout(5):
            await both.wait()

    jobs = queue(database, work, at_once=2)
    async with jobs.running():
        made = [await jobs.submit(JobKind.TRAIN, {}) for _ in range(2)]
        for job in made:
            assert (await at_end(jobs, job.id)).state is JobState.DONE


async def test_progress_wakes_who_waits(database: Database) -> None:
    go = asyncio.Event()

    async def work(claim: Claim, tell: Tell) -> None:
        await go.wait()
        tell(0.4, "growing trees")
        await asyncio.sleep(3600)

    jobs = queue(database, work)
    async with jobs.running():
        job = await jobs.submit(JobKind.TRAIN, {})
        waiting = asyncio.create_task(jobs.wait(job.id, seen=0.1, timeout_seconds=5))
        go.set()
        found = await waiting
        assert (found.progress, found.message, found.state) == (
            0.4,
            "growing trees",
            JobState.RUNNING,
        )
        assert (await jobs.wait(job.id, seen=0.4, timeout_seconds=0.05)).progress == 0.4
        await jobs.cancel(job.id)


async def test_a_running_job_is_cancelled(database: Database) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def work(claim: Claim, tell: Tell) -> None:
        begun.set()
        try:
            await asyncio.sleep(3600)
        finally:
            ended.set()

    jobs = queue(database, work)
    async with jobs.running():
        job = await jobs.submit(JobKind.TRAIN, {})
        waiting = await jobs.submit(JobKind.TRAIN, {})
        await begun.wait()
        assert (await jobs.cancel(waiting.id)).state is JobState.CANCELLED
        found = await jobs.cancel(job.id)
        assert ended.is_set()
        assert (found.state, found.message) == (JobState.CANCELLED, "cancelled")
        assert found.finished_at
        assert (await jobs.cancel(job.id)).state is JobState.CANCELLED


async def test_a_job_that_has_ended_cannot_be_cancelled(database: Database) -> None:
    async def work(claim: Claim, tell: Tell) -> None:
        pass

    jobs = queue(database, work)
    async with jobs.running():
        job = await jobs.submit(JobKind.TRAIN, {})
        await at_end(jobs, job.id)
        with pytest.raises(Conflict, match="it is done"):
            await jobs.cancel(job.id)


@pytest.mark.parametrize(
    ("error", "said", "attempts"),
    [
        (
            InvalidInput("No.", problems=[FieldProblem("until", "is late")]),
            "No.\n  until: is late",
            1,
        ),
        (ProcessDied("It was ended by SIGKILL"), "It was ended by SIGKILL", 2),
        (Unavailable("The storage is away"), "The storage is away", 2),
        (ZeroDivisionError("secret"), "A fault of ours ended the job", 1),
    ],
)
async def test_a_job_that_fails_says_why(
    database: Database, error: Exception, said: str, attempts: int
) -> None:
    begun = []

    async def work(claim: Claim, tell: Tell) -> None:
        begun.append(claim.attempts)
        raise error

    jobs = queue(database, work)
    async with jobs.running():
        job = await jobs.submit(JobKind.TRAIN, {})
        found = await at_end(jobs, job.id)
    assert found.state is JobState.FAILED
    assert found.error.startswith(said)
    assert "secret" not in found.error
    assert begun == list(range(1, attempts + 1))


async def test_a_process_killed_once_is_no_failure(database: Database) -> None:
    async def work(claim: Claim, tell: Tell) -> None:
        if claim.attempts == 1:
            raise ProcessDied("It was ended by SIGKILL")

    jobs = queue(database, work)
    async with jobs.running():
        job = await jobs.submit(JobKind.TRAIN, {})
        assert (await at_end(jobs, job.id)).state is JobState.DONE


async def test_a_stopped_service_leaves_its_jobs_to_the_next(database: Database) -> None:
    begun = asyncio.Event()

    async def forever(claim: Claim, tell: Tell) -> None:
        begun.set()
        await asyncio.sleep(3600)

    async def work(claim: Claim, tell: Tell) -> None:
        pass

    first = queue(database, forever)
    async with first.running():
        job = await first.submit(JobKind.TRAIN, {})
        await begun.wait()
    assert (await first.job(job.id)).state is JobState.WAITING
    second = queue(database, work)
    async with second.running():
        assert (await at_end(second, job.id)).state is JobState.DONE


async def claimed_by(database: Database, jobs: Jobs, owner: str, at: datetime = NOW) -> str:
    job = await jobs.submit(JobKind.TRAIN, {})
    async with database.transaction() as connection:
        assert await job_rows.claim_next(connection, owner, at)
    return job.id


@pytest.mark.parametrize("pid", [os.getpid(), 2**22 + 1], ids=["ours", "nobody"])
async def test_jobs_of_a_killed_process_are_taken_up(database: Database, pid: int) -> None:
    async def work(claim: Claim, tell: Tell) -> None:
        assert claim.attempts == 2

    jobs = queue(database, work)
    job_id = await claimed_by(database, jobs, f"{socket.gethostname()}/{pid}/abcd")
    async with jobs.running():
        assert (await at_end(jobs, job_id)).state is JobState.DONE


async def test_jobs_of_a_living_process_are_left_alone(database: Database) -> None:
    async def work(claim: Claim, tell: Tell) -> None:
        raise AssertionError

    jobs = queue(database, work)
    elsewhere = await claimed_by(database, jobs, "elsewhere/1/abcd")
    here = await claimed_by(database, jobs, f"{socket.gethostname()}/{os.getppid()}/abcd")
    async with jobs.running():
        assert (await jobs.job(elsewhere)).state is JobState.RUNNING
        assert (await jobs.job(here)).state is JobState.RUNNING


async def test_jobs_of_a_silent_process_elsewhere_are_taken_up(database: Database) -> None:
    async def work(claim: Claim, tell: Tell) -> None:
        pass

    jobs = queue(database, work)
    silent_since = NOW - LEASE - timedelta(seconds=1)
    job_id = await claimed_by(database, jobs, "elsewhere/1/abcd", silent_since)
    async with jobs.running():
        assert (await at_end(jobs, job_id)).state is JobState.DONE


async def test_a_job_taken_over_leaves_nothing(database: Database) -> None:
    ended = asyncio.Event()

    async def work(claim: Claim, tell: Tell) -> None:
        async with database.transaction() as connection:
            await job_rows.put_back(connection, claim.job.id, claim.owner, "taken")
            assert await job_rows.claim_next(connection, "elsewhere/1/abcd", NOW)
        asyncio.get_running_loop().call_soon(ended.set)

    jobs = queue(database, work)
    async with jobs.running():
        job = await jobs.submit(JobKind.TRAIN, {})
        await ended.wait()
        await jobs.wait(job.id, seen=0.0, timeout_seconds=0.2)
        found = await jobs.job(job.id)
    assert found.state is JobState.RUNNING
    assert found.result is None


async def test_a_job_that_takes_its_process_with_it_is_given_up(database: Database) -> None:
    async def work(claim: Claim, tell: Tell) -> None:
        raise AssertionError

    jobs = queue(database, work)
    job = await jobs.submit(JobKind.TRAIN, {})
    for _ in range(MOST_STARTS):
        async with database.transaction() as connection:
            assert await job_rows.claim_next(connection, "gone/1/abcd", NOW)
            assert await job_rows.put_back(connection, job.id, "gone/1/abcd", "again")
    async with jobs.running():
        found = await at_end(jobs, job.id)
    assert found.state is JobState.FAILED
    assert "interrupted 5 times" in (found.error or "")


async def test_two_workers_never_take_one_job(database: Database) -> None:
    jobs = queue(database, None)  # type: ignore[arg-type]
    for _ in range(6):
        await jobs.submit(JobKind.TRAIN, {})

    async def claim(name: str) -> Claim | None:
        async with database.transaction() as connection:
            return await job_rows.claim_next(connection, f"{name}/1/x", NOW)

    found = await asyncio.gather(*(claim(f"host{n}") for n in range(8)))
    taken = [one.job.id for one in found if one]
    assert len(taken) == len(set(taken)) == 6
