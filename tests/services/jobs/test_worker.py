"""How attempts end, and what a worker does when things go wrong around it."""

import asyncio
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from foodex.core.access import acting_as
from foodex.core.clock import SystemClock
from foodex.core.errors import NotFound, PaymentRequired, Unavailable
from foodex.domain.jobs import Job, JobRequest, JobState
from foodex.domain.ledger import Price, Reservation
from foodex.ports.jobs import JobContext, Kind
from foodex.ports.queue import Deliveries, Message, Queue
from foodex.services.jobs import lease_rows
from foodex.services.jobs.old_files import OldFiles
from foodex.services.jobs.service import JobsService
from foodex.services.jobs.tables import jobs as table
from tests.services.jobs.conftest import (
    ADA,
    ADMIN,
    OPERATOR,
    Yard,
    ended,
    eventually,
    settled,
    until,
    until_state,
)
from tests.services.jobs.kinds import KINDS, UNIT_MINOR


async def ask(service: JobsService, kind: str, *, priority: int = 5, **parameters: Any) -> Job:
    return await service.accept(JobRequest(kind=kind, parameters=parameters, priority=priority))


class Mute:
    """A queue that loses what is published, as a process killed right after its commit does."""

    def __init__(self, queue: Queue) -> None:
        self.queue, self.published = queue, 0

    async def publish(self, messages: Sequence[Message]) -> None:
        self.published += len(messages)
        raise Unavailable("Killed before it could publish")

    def consume(self) -> AbstractAsyncContextManager[Deliveries]:
        return self.queue.consume()

    async def depth(self) -> int:
        return await self.queue.depth()

    async def ping(self) -> None:
        return

    async def close(self) -> None:
        return


class Lossy(Mute):
    """A queue that says that it has what it then loses."""

    async def publish(self, messages: Sequence[Message]) -> None:
        self.published += len(messages)


# --- Retries ------------------------------------------------------------------------------------


async def test_what_passes_is_tried_again_until_it_is_done(yard: Yard) -> None:
    await yard.account()
    # Leases that do not lapse, however slow the machine: that would be one attempt more.
    async with yard.start(lease_seconds=60) as service:
        with acting_as(ADA):
            job = await settled(service, await ask(service, "fail", how="unavailable", times=2))
    assert (job.state, job.attempts, job.error) == (JobState.DONE, 3, None)
    assert [file.name for file in job.files] == ["half.txt"]
    # What earlier attempts left is gone.
    page = await yard.place.objects().list("jobs/")
    assert [stored.key for stored in page.objects] == [f"jobs/{job.id}/3/half.txt"]
    assert await yard.charges() == [UNIT_MINOR]
    await yard.holds()


@pytest.mark.parametrize("how", ["bug", "internal", "exit", "cancel"])
async def test_a_fault_of_ours_is_tried_twice_and_harms_no_other(yard: Yard, how: str) -> None:
    await yard.account()
    async with yard.start(at_once=1, lease_seconds=60) as service:
        with acting_as(ADA):
            poisoned = [await ask(service, "fail", how=how) for _ in range(2)]
            good = [await ask(service, "greet") for _ in range(3)]
            for job in good:
                assert (await ended(service, job)).state is JobState.DONE
            for job in poisoned:
                dead = await settled(service, job)
                assert (dead.state, dead.attempts) == (JobState.DEAD, 2)
                assert dead.error_type == "internal"
                assert "a bug" not in (dead.error or "")
    assert await yard.left() == 1000
    page = await yard.place.objects().list("jobs/")
    assert {stored.key.rpartition("/")[2] for stored in page.objects} == {"hello.txt"}
    await yard.holds()


async def test_urgent_jobs_go_first(yard: Yard, tmp_path: Path) -> None:
    notes, go = tmp_path / "notes", tmp_path / "go"
    async with yard.start(at_once=1) as service:
        with acting_as(OPERATOR):
            first = await ask(service, "wait", until=str(go))
            await until_state(service, first, JobState.RUNNING)
            low, normal, high = [
                await ask(service, "count", priority=p, number=p, note=str(notes))
                for p in (1, 5, 9)
            ]
            await until_depth(yard, 3)
            go.touch()
            for job in (low, normal, high):
                await ended(service, job)
    assert notes.read_text().split() == [high.id, normal.id, low.id]


def files_of(folder: Path) -> list[Path]:
    return list(folder.rglob("*"))


async def until_depth(yard: Yard, depth: int) -> None:
    async with asyncio.timeout(10):
        while True:
            if await yard.queue.depth() == depth:
                return
            await asyncio.sleep(0.02)


async def test_jobs_are_picked_up_at_once(yard: Yard) -> None:
    took = []
    async with yard.start() as service:
        with acting_as(OPERATOR):
            for _ in range(15):
                job = await ended(service, await ask(service, "greet"))
                assert job.started_at
                took.append((job.started_at - job.created_at) / timedelta(seconds=1))
    assert statistics.median(took) <= 0.1


# --- Processes of their own ---------------------------------------------------------------------


async def test_heavy_work_runs_in_a_process_of_its_own(yard: Yard) -> None:
    async with yard.start() as service:
        with acting_as(OPERATOR):
            job = await ended(service, await ask(service, "heavy", size=1000))
        assert job.result is not None
        assert job.result["total"] == 4 * 499_500
        assert job.result["pid"] != os.getpid()
        assert [file.name for file in job.files] == ["made.txt"]
        # Nothing of it lies about.
        folder = Path(yard.place.settings.work_folder)
        assert [path for path in files_of(folder) if path.is_file()] == []


async def test_heavy_work_tells_its_errors(yard: Yard) -> None:
    async with yard.start() as service:
        with acting_as(OPERATOR):
            job = await ended(service, await ask(service, "heavy", how="input"))
    assert (job.state, job.attempts, job.error) == (JobState.FAILED, 1, "No good")
    assert (job.problems[0].field, job.problems[0].row) == ("rows", 7)


@pytest.mark.parametrize(("how", "told"), [("kill", "SIGKILL"), ("exit", "status 4")])
async def test_work_that_kills_its_process_is_dead_after_two(
    yard: Yard, tmp_path: Path, how: str, told: str
) -> None:
    notes = tmp_path / "notes"
    async with yard.start() as service:
        with acting_as(OPERATOR):
            poison = await ask(service, "heavy", how=how, note=str(notes))
            good = await ask(service, "heavy")
            assert (await ended(service, good)).state is JobState.DONE
            dead = await ended(service, poison)
    assert (dead.state, dead.attempts, dead.error_type) == (JobState.DEAD, 2, "internal")
    assert told in (dead.error or "")
    assert len(notes.read_text().split()) == 2


async def test_time_runs_out(yard: Yard, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    async with yard.start() as service:
        with acting_as(OPERATOR):
            job = await service.accept(
                JobRequest(
                    kind="heavy",
                    parameters={"how": "sleep", "note": str(notes)},
                    timeout_seconds=2.0,
                )
            )
            dead = await ended(service, job)
    assert (dead.state, dead.attempts) == (JobState.DEAD, 2)
    assert "2 s" in (dead.error or "")
    await gone(notes)


async def test_a_cancelled_job_takes_its_process_along(yard: Yard, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    async with yard.start() as service, yard.start(work=False) as elsewhere:
        with acting_as(OPERATOR):
            for stopper in (service, elsewhere):
                notes.unlink(missing_ok=True)
                job = await ask(service, "heavy", how="sleep", note=str(notes))
                await eventually(notes.exists)
                assert (await stopper.cancel_job(job.id)).state is JobState.CANCELLED
                await gone(notes)
                assert (await service.job(job.id)).state is JobState.CANCELLED
            assert (await ended(service, await ask(service, "greet"))).state is JobState.DONE


async def gone(notes: Path) -> None:
    """All processes whose numbers were noted are no more."""
    await eventually(lambda: not any(Path(f"/proc/{number}").exists() for number in noted(notes)))


def noted(notes: Path) -> list[str]:
    return notes.read_text().split() if notes.exists() else []


# --- Left behind --------------------------------------------------------------------------------


async def test_a_job_whose_message_was_not_sent_is_found(yard: Yard) -> None:
    """The gateway is killed between accept and publish."""
    await yard.account()
    mute = Mute(yard.queue)
    async with yard.start(work=False, queue=mute) as gateway:
        with acting_as(ADA):
            jobs = [await ask(gateway, "count", number=number) for number in range(5)]
    assert mute.published == 5
    assert await yard.queue.depth() == 0
    async with yard.start() as service:
        with acting_as(ADA):
            for job in jobs:
                assert (await settled(service, job)).attempts == 1
    assert await yard.charges() == [UNIT_MINOR] * 5
    await yard.holds()


async def test_a_job_whose_message_was_lost_is_found(yard: Yard) -> None:
    """The queue has lost what it had."""
    async with yard.start(work=False, queue=Lossy(yard.queue)) as gateway:
        with acting_as(OPERATOR):
            job = await ask(gateway, "greet")
    async with yard.start() as service:
        with acting_as(OPERATOR):
            assert (await ended(service, job)).attempts == 1


async def test_a_message_told_twice_does_nothing(yard: Yard, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    async with yard.start() as service:
        with acting_as(OPERATOR):
            job = await ask(service, "count", number=1, seconds=0.3, note=str(notes))
            await yard.queue.publish([Message(job_id=job.id)] * 5)
            await ended(service, job)
            await yard.queue.publish([Message(job_id=job.id), Message(job_id="nobody")])
            cancelled = await ask(service, "greet")
            await until_depth(yard, 0)
            await ended(service, cancelled)
            await until_depth(yard, 0)
    assert notes.read_text().split() == [job.id]


async def test_a_message_before_its_time_is_put_off(yard: Yard) -> None:
    """As when the clock of who accepted is ahead of the worker's."""
    async with yard.start(work=False) as gateway:
        with acting_as(OPERATOR):
            job = await ask(gateway, "greet")
    async with yard.database.transaction() as connection:
        ahead = job.created_at + timedelta(seconds=1.5)
        await connection.execute(table.update().values(due_at=ahead))
    async with yard.start(lost_seconds=1000) as service:
        with acting_as(OPERATOR):
            done = await ended(service, job)
            assert done.started_at
            assert done.started_at >= ahead


async def test_a_worker_that_stops_gives_back_what_it_does(yard: Yard, tmp_path: Path) -> None:
    go = tmp_path / "go"
    async with yard.start(lease_seconds=60) as first:
        with acting_as(OPERATOR):
            job = await ask(first, "wait", until=str(go))
            await until_state(first, job, JobState.RUNNING)
    go.touch()
    async with yard.start(lease_seconds=60) as second:
        with acting_as(OPERATOR):
            done = await ended(second, job)
    # As if it had not been begun before.
    assert (done.state, done.attempts) == (JobState.DONE, 1)


async def test_who_lost_the_lease_changes_nothing(yard: Yard, tmp_path: Path) -> None:
    """A worker sleeps through its lease; another does the job; the first wakes and is refused."""
    go = tmp_path / "go"
    async with yard.start(at_once=1, beat_seconds=1000) as sleeper:
        with acting_as(OPERATOR):
            job = await ask(sleeper, "wait", until=str(go))
            await until_state(sleeper, job, JobState.RUNNING)
            async with yard.start(at_once=1, sweep_seconds=0.1) as other:
                running = await until(other, job, lambda found: found.attempts == 2)
                assert running.state is JobState.RUNNING
                go.touch()
                done = await ended(other, job)
            assert (done.state, done.attempts) == (JobState.DONE, 2)
            assert done.result == {"attempts": 2}
            assert (await ended(sleeper, await ask(sleeper, "greet"))).state is JobState.DONE
            assert await sleeper.job(job.id) == done


async def test_every_write_shows_the_lease(yard: Yard) -> None:
    async with yard.start(work=False) as service:
        with acting_as(OPERATOR):
            job = await ask(service, "greet")
    now = job.created_at
    outcome = lease_rows.Outcome(result={}, files=(), units_done=0)
    soon = now + timedelta(seconds=10)
    async with yard.database.transaction() as connection:
        first = await lease_rows.claim(connection, job.id, "first", now, now)
        assert first is not None
        assert await lease_rows.claim(connection, job.id, "second", soon, soon) is None
        assert not await lease_rows.take_up(connection, first, now, None)
        assert await lease_rows.take_up(connection, first, soon, None)
        second = await lease_rows.claim(connection, job.id, "second", soon, soon)
        assert second is not None
        error = NotFound()
        assert not await lease_rows.beat(connection, first, soon, 0.5, "", None)
        assert not await lease_rows.finish(connection, first, soon, outcome)
        assert not await lease_rows.fail(connection, first, soon, JobState.DEAD, error)
        assert not await lease_rows.put_back(connection, first, soon, error)
        assert not await lease_rows.take_up(connection, first, soon + timedelta(hours=1), None)
        assert await lease_rows.finish(connection, second, soon, outcome)
        assert not await lease_rows.finish(connection, second, soon, outcome)


async def test_a_job_that_takes_its_workers_along_is_given_up(yard: Yard) -> None:
    await yard.account()
    async with yard.start(work=False) as gateway:
        with acting_as(ADA):
            job = await ask(gateway, "count", number=1)
    long_ago = job.created_at - timedelta(hours=1)
    async with yard.database.transaction() as connection:
        await connection.execute(
            table.update().values(
                state=JobState.RUNNING.value,
                lease=5,
                attempts=5,
                owner="gone",
                leased_until=long_ago,
            )
        )
    async with yard.start() as service:
        with acting_as(ADA):
            dead = await settled(service, job)
        assert (dead.state, dead.error) == (JobState.DEAD, "The job was interrupted 5 times")
        with acting_as(ADMIN):
            assert (await settled(service, await service.replay(job.id))).state is JobState.DONE
    assert await yard.charges() == [UNIT_MINOR]
    await yard.holds()


async def test_a_kind_that_a_worker_does_not_know_waits_for_one_that_does(yard: Yard) -> None:
    async with yard.start(work=False) as gateway:
        with acting_as(OPERATOR):
            job = await ask(gateway, "greet")
    old = {name: kind for name, kind in KINDS.items() if name != "greet"}
    async with yard.start(kinds=old) as service:
        with acting_as(OPERATOR):
            await until(service, job, lambda found: found.attempts == 1 and found.error is not None)
    async with yard.start() as service:
        with acting_as(OPERATOR):
            assert (await ended(service, job)).state is JobState.DONE


async def first_job(service: JobsService) -> Job:
    """The first job that is shown."""
    async with asyncio.timeout(10):
        while True:
            if found := (await service.jobs()).jobs:
                return found[0]
            await asyncio.sleep(0.05)


# --- Money --------------------------------------------------------------------------------------


class Ailing:
    """A ledger that breaks off before or after the calls that it is told."""

    def __init__(self, ledger: Any) -> None:
        self._ledger = ledger
        self.before: set[str] = set()
        self.after: set[str] = set()

    async def _call(self, name: str, *args: Any, **named: Any) -> Any:
        if name in self.before:
            raise Unavailable("The ledger is away")
        done = await getattr(self._ledger, name)(*args, **named)
        if name in self.after:
            raise Unavailable("The ledger's answer was lost")
        return done

    async def reserve(self, account: str, price: Price, *, reference: str) -> Reservation:
        return await self._call("reserve", account, price, reference=reference)  # type: ignore[no-any-return]

    async def charge_reserved(self, id_: str, price: Price, *, reference: str) -> Reservation:
        return await self._call("charge_reserved", id_, price, reference=reference)  # type: ignore[no-any-return]

    async def release(self, id_: str) -> Reservation:
        return await self._call("release", id_)  # type: ignore[no-any-return]


@pytest.mark.parametrize("where", ["before", "after"])
@pytest.mark.parametrize("step", ["charge_reserved", "release"])
async def test_settling_is_done_once_however_often_it_is_tried(
    yard: Yard, step: str, where: str
) -> None:
    await yard.account()
    ledger: Any = Ailing(yard.ledger)
    getattr(ledger, where).add(step)
    async with yard.start(ledger=ledger) as service:
        with acting_as(ADA):
            job = await ended(service, await ask(service, "batch", rows=10, bad=4))
            assert (job.state, job.settled) == (JobState.DONE, False)
            await asyncio.sleep(0.3)
            assert not (await service.job(job.id)).settled
            getattr(ledger, where).clear()
            await settled(service, job)
    assert (await yard.left(), await yard.charges()) == (1000 - 6 * UNIT_MINOR, [6 * UNIT_MINOR])
    await yard.holds()


@pytest.mark.parametrize("where", ["before", "after"])
async def test_an_acceptance_that_breaks_off_gives_the_money_back(yard: Yard, where: str) -> None:
    await yard.account()
    ledger: Any = Ailing(yard.ledger)
    getattr(ledger, where).add("reserve")
    async with yard.start(ledger=ledger) as service:
        with acting_as(ADA):
            request = JobRequest(kind="batch", parameters={"rows": 10}, key="once")
            with pytest.raises(Unavailable):
                await service.accept(request)
            assert (await service.jobs()).jobs == ()
            getattr(ledger, where).clear()
            found = await first_job(service)
            assert (found.state, found.error_type) == (JobState.FAILED, "unavailable")
            assert await yard.left() == 1000
            again = await settled(service, await service.accept(request))
            assert again.id != found.id
    assert await yard.charges() == [10 * UNIT_MINOR]
    await yard.holds()


async def test_a_key_repeated_completes_an_acceptance_that_broke_off(yard: Yard) -> None:
    await yard.account()
    ledger: Any = Ailing(yard.ledger)
    ledger.after.add("reserve")
    async with yard.start(ledger=ledger, acceptance_seconds=1000) as service:
        with acting_as(ADA):
            request = JobRequest(kind="batch", parameters={"rows": 10}, key="once")
            with pytest.raises(Unavailable):
                await service.accept(request)
            ledger.after.clear()
            done = await settled(service, await service.accept(request))
            assert done.state is JobState.DONE
    assert await yard.charges() == [10 * UNIT_MINOR]
    await yard.holds()


@pytest.mark.parametrize("balance_minor", [30, 5])
async def test_an_acceptance_that_was_given_up_gets_no_money(
    yard: Yard, balance_minor: int
) -> None:
    """The sweep gives up an acceptance while it is about to set the money aside.

    Where the balance covers the price, the sweep sets it aside first, and gives it back.
    """
    await yard.account(balance_minor=balance_minor)

    class Slow(Ailing):
        async def reserve(self, account: str, price: Price, *, reference: str) -> Reservation:
            entered.set()
            await go.wait()
            return await super().reserve(account, price, reference=reference)

    entered, go = asyncio.Event(), asyncio.Event()
    slow: Any = Slow(yard.ledger)
    async with yard.start(work=False, ledger=slow) as gateway, yard.start() as service:
        with acting_as(ADA):
            late = asyncio.create_task(ask(gateway, "batch", rows=10))
            await entered.wait()
            found = await first_job(service)
            assert found.state is JobState.FAILED
            await settled(service, found)
            await yard.ledger.top_up("ada", 100)
            go.set()
            with pytest.raises(Unavailable, match="too long"):
                await late
    assert await yard.left() == balance_minor + 100
    await yard.holds()


async def test_what_cannot_be_paid_leaves_no_row(yard: Yard) -> None:
    await yard.account(balance_minor=5)
    async with yard.start(work=False) as service:
        with acting_as(ADA):
            request = JobRequest(kind="batch", parameters={"rows": 10}, key="once")
            with pytest.raises(PaymentRequired):
                await service.accept(request)
            await yard.ledger.top_up("ada", 100)
            assert (await service.accept(request)).state is JobState.WAITING
    async with yard.database.connect() as connection:
        assert await connection.scalar(sa.select(sa.func.count()).select_from(table)) == 1


def test_the_process_of_heavy_work_is_a_light_one() -> None:
    code = "import foodex.services.jobs.child, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"fastapi", "pydantic", "sqlalchemy", "polars", "numpy", "onnxruntime", "lightgbm"}
    assert not heavy & set(done.stdout.split())


# --- Afterwards ---------------------------------------------------------------------------------


async def test_what_a_job_began_elsewhere_ends_when_nobody_holds_it(yard: Yard) -> None:
    begun: list[str] = []
    stopped: list[str] = []

    async def run(context: JobContext) -> None:
        begun.append(context.job.id)
        raise Unavailable("Try again later")

    async def stop(job: Job) -> None:
        if not stopped:
            stopped.append("")
            raise Unavailable("Not now")
        stopped.append(job.id)

    kinds = KINDS | {"away": Kind(name="away", run=run, stop_elsewhere=stop)}
    with acting_as(ADMIN):
        async with yard.start(kinds=kinds, retry_seconds=600) as service:
            job = await ask(service, "away")
            await until(service, job, lambda found: found.state is JobState.WAITING and begun != [])
        async with yard.start(kinds=kinds, work=False) as service:
            never = await ask(service, "away")
            for one in (job, never):
                assert (await service.cancel_job(one.id)).state is JobState.CANCELLED
            assert stopped == []
        async with yard.start(kinds=kinds) as service:
            await eventually(lambda: job.id in stopped)
    assert set(stopped) == {"", job.id}
    assert begun == [job.id]


class Later:
    """A clock of another day."""

    def __init__(self, days: float) -> None:
        self._days = days

    def now(self) -> datetime:
        return SystemClock().now() + timedelta(days=self._days)


async def test_files_are_removed_after_their_days_and_jobs_stay(yard: Yard) -> None:
    objects = yard.place.objects()

    async def swept(days: float) -> int:
        settings = yard.place.settings.model_copy(update={"file_days": 90})
        old = OldFiles(
            database=yard.database, objects=objects, settings=settings, clock=Later(days)
        )
        return await old.sweep()

    await objects.put("jobs/nobody/1/left.txt", b"left by an attempt that was killed")
    await objects.put("reports/else.txt", b"not of a job")
    with acting_as(OPERATOR):
        async with yard.start() as service:
            job = await ended(service, await ask(service, "greet"))
            assert await swept(89.9) == 0
            assert [piece async for piece in service.file(job.id, "hello.txt")] == [b"hello world"]
            assert await swept(90.1) == 2
            again = await service.job(job.id)
            assert (again.state, again.result, again.files) == (JobState.DONE, job.result, ())
            with pytest.raises(NotFound):
                await anext(service.file(job.id, "hello.txt"))
    assert [stored.key for stored in (await objects.list()).objects] == ["reports/else.txt"]
