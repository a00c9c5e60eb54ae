"""The SQL of jobs."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from foodex.core.errors import FoodexError, NotFound
from foodex.domain.models import Job, JobKind, JobState
from foodex.services.ml.tables import jobs

UNFINISHED = (JobState.WAITING, JobState.RUNNING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A job as the process that does it knows it."""

    job: Job
    attempts: int
    owner: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A job that some process says it is doing."""

    id: str
    attempts: int
    owner: str
    beat_at: datetime


async def add_job(connection: AsyncConnection, job: Job) -> None:
    """Write a waiting job."""
    row = {field.name: getattr(job, field.name) for field in dataclasses.fields(Job)}
    await connection.execute(
        jobs.insert().values(
            {**row, "kind": job.kind.value, "state": job.state.value, "attempts": 0}
        )
    )


async def get_job(connection: AsyncConnection, job_id: str) -> Job:
    """One job; `NotFound` if there is none."""
    row = (await connection.execute(sa.select(jobs).where(jobs.c.id == job_id))).one_or_none()
    if row is None:
        raise NotFound(f"There is no job '{job_id}'")
    return _job(row)


async def list_jobs(
    connection: AsyncConnection, limit: int, kind: JobKind | None = None, model: str | None = None
) -> tuple[Job, ...]:
    """Jobs, newest first; of one kind or for one model, where that is said."""
    found = sa.select(jobs).order_by(jobs.c.created_at.desc(), jobs.c.id.desc()).limit(limit)
    if kind is not None:
        found = found.where(jobs.c.kind == kind.value)
    if model is not None:
        found = found.where(jobs.c.request["model"].as_string() == model)
    return tuple(_job(row) for row in await connection.execute(found))


async def claim_next(connection: AsyncConnection, owner: str, at: datetime) -> Claim | None:
    """Take the job that has waited longest, if one waits."""
    waiting = (
        sa.select(jobs)
        .where(jobs.c.state == JobState.WAITING.value)
        .order_by(jobs.c.created_at, jobs.c.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    row = (await connection.execute(waiting)).one_or_none()
    if row is None:
        return None
    await connection.execute(
        jobs.update()
        .where(jobs.c.id == row.id)
        .values(
            state=JobState.RUNNING.value,
            owner=owner,
            beat_at=at,
            started_at=at,
            attempts=row.attempts + 1,
            progress=0.0,
            message="starting",
        )
    )
    job = dataclasses.replace(_job(row), state=JobState.RUNNING, started_at=at)
    return Claim(job=job, attempts=row.attempts + 1, owner=owner)


async def running_jobs(connection: AsyncConnection) -> tuple[Running, ...]:
    """The jobs that processes say they are doing."""
    found = sa.select(jobs.c.id, jobs.c.attempts, jobs.c.owner, jobs.c.beat_at).where(
        jobs.c.state == JobState.RUNNING.value
    )
    return tuple(
        Running(id=row.id, attempts=row.attempts, owner=row.owner, beat_at=row.beat_at)
        for row in await connection.execute(found)
    )


async def put_back(connection: AsyncConnection, job_id: str, owner: str, message: str) -> bool:
    """Let a job wait again that `owner` did; False if it is not the owner's any more."""
    return await _change(
        connection, job_id, owner, state=JobState.WAITING.value, owner=None, message=message
    )


async def beat(
    connection: AsyncConnection,
    job_id: str,
    owner: str,
    at: datetime,
    progress: float,
    message: str,
) -> bool:
    """Say that the job goes on; False if it is not the owner's any more."""
    return await _change(connection, job_id, owner, beat_at=at, progress=progress, message=message)


async def set_version(connection: AsyncConnection, job_id: str, owner: str, version: int) -> bool:
    """Note the version number set aside for the job."""
    return await _change(connection, job_id, owner, version=version)


async def reserved_version(connection: AsyncConnection, job_id: str) -> int | None:
    """The version number set aside for the job, if there is one."""
    found: int | None = await connection.scalar(
        sa.select(jobs.c.version).where(jobs.c.id == job_id)
    )
    return found


async def finish(
    connection: AsyncConnection, job_id: str, owner: str, at: datetime, result: Mapping[str, Any]
) -> bool:
    """End the job well; False if it is not the owner's any more."""
    return await _change(
        connection,
        job_id,
        owner,
        state=JobState.DONE.value,
        finished_at=at,
        progress=1.0,
        message="done",
        result=dict(result),
    )


async def fail(
    connection: AsyncConnection, job_id: str, owner: str, at: datetime, error: FoodexError
) -> bool:
    """End the job badly; False if it is not the owner's any more."""
    return await _change(
        connection,
        job_id,
        owner,
        state=JobState.FAILED.value,
        finished_at=at,
        message="failed",
        error=str(error),
        error_type=error.type,
    )


async def cancel(connection: AsyncConnection, job_id: str, at: datetime) -> bool:
    """End an unfinished job; False if it had ended."""
    changed = await connection.execute(
        jobs.update()
        .where(jobs.c.id == job_id, jobs.c.state.in_([state.value for state in UNFINISHED]))
        .values(state=JobState.CANCELLED.value, finished_at=at, message="cancelled")
    )
    return changed.rowcount == 1


async def _change(connection: AsyncConnection, job_id: str, owner: str, /, **values: Any) -> bool:
    changed = await connection.execute(
        jobs.update()
        .where(jobs.c.id == job_id, jobs.c.owner == owner, jobs.c.state == JobState.RUNNING.value)
        .values(**values)
    )
    return changed.rowcount == 1


def _job(row: Any) -> Job:
    values = {field.name: getattr(row, field.name) for field in dataclasses.fields(Job)}
    return Job(**{**values, "kind": JobKind(row.kind), "state": JobState(row.state)})
