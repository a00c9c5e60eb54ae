"""The SQL of doing jobs: claimed under a lease, which every later write has to show."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from foodex.core.errors import FoodexError
from foodex.domain.jobs import JobFile, JobState
from foodex.services.jobs.job_rows import ACCEPTED, Row, due_if_reserved, row_of
from foodex.services.jobs.tables import jobs


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a job that is done."""

    result: Mapping[str, Any] | None
    files: tuple[JobFile, ...]
    units_done: int


async def claim(
    connection: AsyncConnection, job_id: str, owner: str, now: datetime, until: datetime
) -> Row | None:
    """Begin a job that waits and is due; None if there is no such job, whatever else it is."""
    taken = await connection.execute(
        jobs.update()
        .where(
            jobs.c.id == job_id,
            jobs.c.state == JobState.WAITING.value,
            jobs.c.due_at <= now,
            ACCEPTED,
        )
        .values(
            state=JobState.RUNNING.value,
            owner=owner,
            lease=jobs.c.lease + 1,
            leased_until=until,
            attempts=jobs.c.attempts + 1,
            started_at=now,
            progress=0.0,
            message="starting",
            seconds_left=None,
        )
        .returning(jobs)
    )
    found = taken.one_or_none()
    return None if found is None else row_of(found)


async def waiting(connection: AsyncConnection, job_id: str) -> Row | None:
    """A job that waits, due or not; None if it does not."""
    query = sa.select(jobs).where(
        jobs.c.id == job_id, jobs.c.state == JobState.WAITING.value, ACCEPTED
    )
    found = (await connection.execute(query)).one_or_none()
    return None if found is None else row_of(found)


async def beat(
    connection: AsyncConnection,
    row: Row,
    until: datetime,
    progress: float,
    message: str,
    seconds_left: float | None,
) -> bool:
    """Say that the job goes on; False if it is the owner's no more."""
    return await _change(
        connection,
        row,
        leased_until=until,
        progress=progress,
        message=message,
        seconds_left=seconds_left,
    )


async def finish(connection: AsyncConnection, row: Row, now: datetime, outcome: Outcome) -> bool:
    """End the job well, and make visible what it left; False if it is the owner's no more."""
    return await _change(
        connection,
        row,
        state=JobState.DONE.value,
        finished_at=now,
        progress=1.0,
        message="done",
        seconds_left=None,
        result=None if outcome.result is None else dict(outcome.result),
        files=msgspec.to_builtins(outcome.files),
        units_done=outcome.units_done,
        error=None,
        error_type=None,
        problems=[],
        settlement=due_if_reserved(),
        settle_at=now,
    )


async def fail(
    connection: AsyncConnection, row: Row, now: datetime, state: JobState, error: FoodexError
) -> bool:
    """End the job badly, as `failed` or `dead`; False if it is the owner's no more."""
    return await _change(connection, row, **_badly(state, now, error))


async def put_back(
    connection: AsyncConnection, row: Row, now: datetime, error: FoodexError | None
) -> bool:
    """Let the job wait again as `row` has it, with the error met; False if it is not ours."""
    return await _change(
        connection,
        row,
        **_waiting(now, row.job.due_at, row.job.message),
        crashes=row.crashes,
        attempts=row.job.attempts,
        **_told(error),
    )


async def lapsed(connection: AsyncConnection, now: datetime, limit: int) -> Sequence[Row]:
    """Jobs whose owner has been silent for too long."""
    found = await connection.execute(
        sa.select(jobs)
        .where(jobs.c.state == JobState.RUNNING.value, jobs.c.leased_until < now)
        .order_by(jobs.c.leased_until)
        .limit(limit)
    )
    return [row_of(one) for one in found]


async def take_up(
    connection: AsyncConnection, row: Row, now: datetime, error: FoodexError | None
) -> bool:
    """Let a lapsed job wait again, or end it as dead with the error; False if it goes on."""
    values = (
        _waiting(now, now, "waiting, as its worker went away")
        if error is None
        else _badly(JobState.DEAD, now, error)
    )
    return await _change(connection, row, jobs.c.leased_until < now, **values)


def _waiting(now: datetime, due_at: datetime, message: str) -> dict[str, Any]:
    return {
        "state": JobState.WAITING.value,
        "owner": None,
        "leased_until": None,
        "due_at": due_at,
        "progress": 0.0,
        "message": message,
        "seconds_left": None,
        "waiting_since": now,
        "published_at": None,
    }


def _badly(state: JobState, now: datetime, error: FoodexError) -> dict[str, Any]:
    return {
        "state": state.value,
        "finished_at": now,
        "message": state.value,
        "seconds_left": None,
        "units_done": 0,
        "settlement": due_if_reserved(),
        "settle_at": now,
        **_told(error),
    }


def _told(error: FoodexError | None) -> dict[str, Any]:
    return {
        "error": None if error is None else error.message,
        "error_type": None if error is None else error.type,
        "problems": [] if error is None else msgspec.to_builtins(error.problems),
    }


async def _change(
    connection: AsyncConnection, row: Row, *also: sa.ColumnElement[bool], **values: Any
) -> bool:
    changed = await connection.execute(
        jobs.update()
        .where(
            jobs.c.id == row.job.id,
            jobs.c.lease == row.lease,
            jobs.c.state == JobState.RUNNING.value,
            *also,
        )
        .values(**values)
    )
    return bool(changed.rowcount == 1)
