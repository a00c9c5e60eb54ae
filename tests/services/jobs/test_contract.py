"""The port's cases, on the service itself over each database, and on its client over real HTTP."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from foodex.core.access import KeyAccess, Principal, Role, acting_as
from foodex.core.errors import (
    BadRequest,
    Conflict,
    Forbidden,
    InvalidInput,
    NotFound,
    PaymentRequired,
)
from foodex.core.peer import Peer
from foodex.core.settings import HttpSettings
from foodex.domain.jobs import Job, JobCounts, JobFilter, JobQuote, JobRequest, JobState
from foodex.ports.jobs import Jobs
from foodex.services.jobs.app import create_app
from foodex.services.jobs.client import JobsClient
from tests.services.jobs.conftest import (
    ADA,
    ADMIN,
    BOB,
    OPERATOR,
    Yard,
    ended,
    settled,
    until_state,
)
from tests.support.serving import serve


@pytest.fixture(params=["service", "client"])
async def jobs(request: pytest.FixtureRequest, yard: Yard) -> AsyncIterator[Jobs]:
    async with yard.start() as service:
        if request.param == "service":
            yield service
            return
        app = create_app(service, access=KeyAccess("key-for-tests"), settings=HttpSettings())
        async with serve(app) as url, Peer(url, "key-for-tests") as peer:
            yield JobsClient(peer)


async def read(pieces: AsyncIterator[bytes]) -> bytes:
    return b"".join([piece async for piece in pieces])


async def test_a_job_is_accepted_and_done(jobs: Jobs) -> None:
    with acting_as(OPERATOR):
        accepted = await jobs.accept(
            JobRequest(kind="greet", parameters={"name": "Ada"}, priority=7, timeout_seconds=60)
        )
        assert accepted.state is JobState.WAITING
        done = await ended(jobs, accepted)
        assert (done.state, done.progress, done.result) == (
            JobState.DONE,
            1.0,
            {"said": "hello Ada"},
        )
        assert (done.who, done.account, done.attempts, done.priority) == ("olga", None, 1, 7)
        assert (done.timeout_seconds, done.settled, done.price) == (60.0, True, None)
        assert done.created_at <= done.started_at <= done.finished_at  # type: ignore[operator]
        (file,) = done.files
        assert (file.name, file.size_bytes) == ("hello.txt", 9)
        assert await read(jobs.file(done.id, "hello.txt")) == b"hello Ada"
        for name in ("nope.txt", "../1/hello.txt"):
            with pytest.raises(NotFound):
                await read(jobs.file(done.id, name))


async def test_what_cannot_be_accepted(jobs: Jobs) -> None:
    with acting_as(OPERATOR):
        with pytest.raises(InvalidInput) as refused:
            await jobs.accept(JobRequest(kind="great"))
        assert "did you mean 'greet'" in refused.value.problems[0].message
        with pytest.raises(InvalidInput) as refused:
            await jobs.accept(JobRequest(kind="batch"))
        assert refused.value.problems[0].field == "parameters.rows"
        with pytest.raises(InvalidInput, match="parameters"):
            await jobs.accept(JobRequest(kind="greet", parameters={"name": "x" * (1 << 18)}))
    with acting_as(ADA), pytest.raises(Forbidden):
        await jobs.accept(JobRequest(kind="heavy"))
    assert (await jobs.jobs()).jobs == ()


async def test_a_quote_is_what_the_job_would_be(jobs: Jobs, yard: Yard) -> None:
    await yard.account(balance_minor=1)
    rows = JobRequest(kind="batch", parameters={"rows": 10})
    with acting_as(ADA):
        quote = await jobs.quote(rows)
        # Dearer than the balance: that is for who asks to see.
        assert quote.price is not None
        assert (quote.units, quote.price.amount_minor) == (10, 30)
        assert await jobs.quote(JobRequest(kind="greet")) == JobQuote()
        with pytest.raises(InvalidInput) as refused:
            await jobs.quote(JobRequest(kind="batch"))
        assert refused.value.problems[0].field == "parameters.rows"
        with pytest.raises(Forbidden):
            await jobs.quote(JobRequest(kind="heavy"))
    with acting_as(OPERATOR):
        assert await jobs.quote(rows) == JobQuote(units=10)
    assert (await jobs.jobs()).jobs == ()
    assert await yard.left() == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"priority": 10},
        {"priority": -1},
        {"key": ""},
        {"key": "ü"},
        {"timeout_seconds": 0},
        {"timeout_seconds": float("nan")},
        {"max_attempts": 0},
    ],
    ids=str,
)
def test_requests_that_are_none(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        JobRequest(kind="greet", **wrong)


async def test_the_same_key_is_the_same_job(jobs: Jobs, yard: Yard) -> None:
    await yard.account()
    request = JobRequest(kind="batch", parameters={"rows": 10}, key="night-1")
    with acting_as(ADA):
        first, *others = await asyncio.gather(*(jobs.accept(request) for _ in range(5)))
        assert {other.id for other in others} == {first.id}
        assert (await jobs.accept(request)).id == first.id
        with pytest.raises(Conflict, match="key"):
            await jobs.accept(JobRequest(kind="batch", parameters={"rows": 11}, key="night-1"))
        await settled(jobs, first)
    await yard.account("bob")
    with acting_as(BOB):
        assert (await jobs.accept(request)).id != first.id
    assert await yard.charges() == [30]


async def test_clients_see_and_stop_their_own(jobs: Jobs, tmp_path: Path) -> None:
    request = JobRequest(kind="wait", parameters={"until": str(tmp_path / "go")}, priority=9)
    with acting_as(ADA):
        job = await jobs.accept(request)
        assert job.priority == 5
        assert [one.id for one in (await jobs.jobs()).jobs] == [job.id]
        assert (await jobs.jobs(JobFilter(account="bob"))).jobs[0].id == job.id
        with pytest.raises(Forbidden):
            await jobs.replay(job.id)
        with pytest.raises(Forbidden):
            await jobs.job_counts()
        with pytest.raises(Forbidden):
            await jobs.dead_letters()
    with acting_as(BOB):
        assert (await jobs.jobs()).jobs == ()
        for call in (jobs.job(job.id), jobs.cancel_job(job.id), jobs.link(job.id, "x")):
            with pytest.raises(NotFound):
                await call
        with pytest.raises(NotFound):
            await read(jobs.file(job.id, "x"))
    with acting_as(OPERATOR):
        assert (await jobs.job(job.id)).who == "ada"
        with pytest.raises(Forbidden):
            await jobs.replay(job.id)
    with acting_as(ADA):
        assert (await jobs.cancel_job(job.id)).state is JobState.CANCELLED
        assert (await jobs.cancel_job(job.id)).state is JobState.CANCELLED


async def test_clients_without_an_account_see_their_own_too(jobs: Jobs) -> None:
    carl, dora = (Principal(name, frozenset({Role.CLIENT})) for name in ("carl", "dora"))
    with acting_as(carl):
        job = await jobs.accept(JobRequest(kind="greet"))
        assert [one.id for one in (await jobs.jobs()).jobs] == [job.id]
        assert (await jobs.job(job.id)).who == "carl"
    with acting_as(dora):
        assert (await jobs.jobs(JobFilter(who="carl"))).jobs == ()
        with pytest.raises(NotFound):
            await jobs.job(job.id)


async def test_pages_and_filters(jobs: Jobs) -> None:
    with acting_as(OPERATOR):
        made = [await jobs.accept(JobRequest(kind="greet")) for _ in range(5)]
        odd = await jobs.accept(JobRequest(kind="fail", parameters={"how": "input"}))
        for job in (*made, odd):
            await ended(jobs, job)
        newest = sorted((job.id for job in (*made, odd)), reverse=True)
        found: list[str] = []
        before = None
        while True:
            page = await jobs.jobs(before=before, limit=4)
            found += [job.id for job in page.jobs]
            if (before := page.next_before) is None:
                break
        assert found == newest
        failed = JobFilter(states=(JobState.FAILED, JobState.DEAD))
        assert [job.id for job in (await jobs.jobs(failed)).jobs] == [odd.id]
        assert len((await jobs.jobs(JobFilter(kinds=("greet",)))).jobs) == 5
        assert (await jobs.jobs(JobFilter(who="nobody"))).jobs == ()
        assert await jobs.job_counts() == JobCounts(waiting=0, running=0, dead=0, queued=0)


async def test_progress_can_be_waited_for(jobs: Jobs, tmp_path: Path) -> None:
    with acting_as(OPERATOR):
        go = tmp_path / "go"
        job = await jobs.accept(JobRequest(kind="wait", parameters={"until": str(go)}))
        found = await jobs.wait_for_job(job.id, seen=0.1, timeout_seconds=10)
        assert (found.state, found.progress, found.message) == (JobState.RUNNING, 0.25, "waiting")
        still = await jobs.wait_for_job(job.id, seen=0.25, timeout_seconds=1.2)
        assert still.state is JobState.RUNNING
        assert still.seconds_left == pytest.approx(3, abs=2.5)
        await asyncio.to_thread(go.touch)
        done = await ended(jobs, job)
        assert (done.progress, done.seconds_left) == (1.0, None)


async def test_a_job_is_stopped_wherever_it_is(jobs: Jobs, yard: Yard, tmp_path: Path) -> None:
    await yard.account()
    with acting_as(OPERATOR):
        blocks = {"until": str(tmp_path / "go")}
        running = [await jobs.accept(JobRequest(kind="wait", parameters=blocks)) for _ in range(2)]
        for job in running:
            await until_state(jobs, job, JobState.RUNNING)
    with acting_as(ADA):
        waiting = await jobs.accept(JobRequest(kind="batch", parameters={"rows": 10}))
        assert await yard.left() == 970
        assert (await jobs.cancel_job(waiting.id)).state is JobState.CANCELLED
        assert (await jobs.job(waiting.id)).settled
        assert await yard.left() == 1000
    with acting_as(OPERATOR):
        for job in running:
            stopped = await jobs.cancel_job(job.id)
            assert (stopped.state, stopped.result) == (JobState.CANCELLED, None)
        # The slots are free again.
        done = await ended(jobs, await jobs.accept(JobRequest(kind="greet")))
        assert done.state is JobState.DONE
        with pytest.raises(Conflict, match="ended"):
            await jobs.cancel_job(done.id)
    await yard.holds()


async def test_what_succeeded_is_charged(jobs: Jobs, yard: Yard) -> None:
    await yard.account()
    with acting_as(ADA):
        job = await jobs.accept(JobRequest(kind="batch", parameters={"rows": 100, "bad": 40}))
        assert (job.account, job.settled) == ("ada", False)
        assert job.price is not None
        assert job.price.amount_minor == 300
        assert await yard.left() == 700
        done = await settled(jobs, job)
        assert (done.units_done, done.result) == (60, {"good": 60})
        failed = await jobs.accept(JobRequest(kind="fail", parameters={"how": "input"}))
        failed = await settled(jobs, failed)
        with pytest.raises(PaymentRequired):
            await jobs.accept(JobRequest(kind="batch", parameters={"rows": 1000}))
        assert len((await jobs.jobs()).jobs) == 2
        nothing = await jobs.accept(JobRequest(kind="batch", parameters={"rows": 10, "bad": 10}))
        assert (await settled(jobs, nothing)).state is JobState.DONE
    assert (await yard.left(), await yard.charges()) == (820, [180])
    await yard.holds()


async def test_bad_input_is_told(jobs: Jobs) -> None:
    with acting_as(OPERATOR):
        job = await jobs.accept(JobRequest(kind="fail", parameters={"how": "input"}))
        failed = await ended(jobs, job)
    assert (failed.state, failed.attempts) == (JobState.FAILED, 1)
    assert (failed.error, failed.error_type) == ("That is no good", "invalid-input")
    assert [(one.field, one.message) for one in failed.problems] == [("rows", "are few")]
    assert failed.files == ()


async def test_dead_letters_are_read_and_replayed(jobs: Jobs, yard: Yard) -> None:
    await yard.account()
    with acting_as(ADA):
        job = await jobs.accept(
            JobRequest(kind="fail", parameters={"how": "unavailable", "times": 1000})
        )
        dead = await settled(jobs, job)
    assert (dead.state, dead.attempts, dead.error_type) == (JobState.DEAD, 3, "unavailable")
    assert await yard.left() == 1000
    with acting_as(OPERATOR):
        assert [one.id for one in (await jobs.dead_letters()).jobs] == [job.id]
        assert (await jobs.job_counts()).dead == 1
    with acting_as(ADMIN):
        again = await jobs.replay(job.id)
        assert (again.state, again.error) == (JobState.WAITING, None)
        assert await yard.left() == 997
        assert (await settled(jobs, again)).state is JobState.DEAD
        assert await yard.left() == 1000
        with pytest.raises(NotFound):
            await jobs.replay("nope")
        other = await ended(jobs, await jobs.accept(JobRequest(kind="greet")))
        with pytest.raises(Conflict, match="not dead"):
            await jobs.replay(other.id)
    await yard.holds()


async def test_a_replay_that_cannot_be_paid_leaves_the_job_dead(jobs: Jobs, yard: Yard) -> None:
    await yard.account(balance_minor=3)
    with acting_as(ADA):
        job = await jobs.accept(JobRequest(kind="fail", parameters={"how": "unavailable"}))
        await settled(jobs, job)
    await yard.ledger.correct("ada", -3, note="spent elsewhere")
    with acting_as(ADMIN):
        with pytest.raises(PaymentRequired):
            await jobs.replay(job.id)
        assert (await jobs.job(job.id)).state is JobState.DEAD
        await yard.ledger.top_up("ada", 3)
        await settled(jobs, await jobs.replay(job.id))
    await yard.holds()


async def test_links_open_without_a_sign_in_and_expire(yard: Yard) -> None:
    async with yard.start(link_seconds=1.5) as service:
        app = create_app(service, access=KeyAccess("key-for-tests"), settings=HttpSettings())
        with acting_as(ADA):
            job = await ended(service, await service.accept(JobRequest(kind="greet")))
            link = await service.link(job.id, "hello.txt")
            with pytest.raises(NotFound):
                await service.link(job.id, "nope.txt")
        async with serve(app) as url, aiohttp.ClientSession(url) as session:
            async with session.get(link.path) as answer:
                assert (answer.status, await answer.read()) == (200, b"hello world")
                assert answer.headers["content-disposition"].startswith("attachment")
            token = link.path.rpartition("/")[2]
            changed = token[:-2] + ("AA" if token[-2:] != "AA" else "BB")
            for wrong in (changed, "AAAA", "%00", token + "A"):
                async with session.get(f"/api/v1/jobs/linked/{wrong}") as answer:
                    assert answer.status == 404
            await asyncio.sleep(2.0)
            async with session.get(link.path) as answer:
                assert answer.status == 404


async def test_the_owner_of_a_job_is_told_by_the_peer(yard: Yard) -> None:
    """A client's principal travels: who asks through another process sees their own only."""
    async with yard.start() as service:
        app = create_app(service, access=KeyAccess("key-for-tests"), settings=HttpSettings())
        async with serve(app) as url, Peer(url, "key-for-tests") as peer:
            jobs = JobsClient(peer)
            with acting_as(ADA):
                job = await jobs.accept(JobRequest(kind="greet"))
            assert (job.who, job.account) == ("ada", "ada")
            with acting_as(BOB), pytest.raises(NotFound):
                await jobs.job(job.id)


async def test_nonsense_over_http(yard: Yard) -> None:
    async with yard.start(work=False) as service:
        app = create_app(service, access=KeyAccess("key-for-tests"), settings=HttpSettings())
        async with serve(app) as url, Peer(url, "key-for-tests") as peer:
            for body in ({"kind": 7}, {"kind": "greet", "priority": 11}, {}):
                with pytest.raises(InvalidInput):
                    await peer.call("POST", "/api/v1/jobs", type=Job, json=body)
            with pytest.raises(BadRequest):
                await peer.call(
                    "POST", "/api/v1/jobs", type=Job, body=b"{", content_type="application/json"
                )
