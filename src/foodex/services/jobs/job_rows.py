"""The SQL of showing jobs, and of what all who write them share."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from foodex.core.errors import FieldProblem, NotFound
from foodex.domain.jobs import UNFINISHED, Job, JobFile, JobFilter, JobState
from foodex.domain.ledger import Price
from foodex.ports.queue import Message
from foodex.services.jobs.tables import jobs

_UNFINISHED: Final = [state.value for state in UNFINISHED]


class Settlement(StrEnum):
    """Where the money of a job is.

    `reserving`: not known yet; the job is not begun, and not shown. `abandoned`: given up while
    it was `reserving`. `due`: the job has ended, and its money is still set aside.
    """

    NONE = "none"
    RESERVING = "reserving"
    RESERVED = "reserved"
    ABANDONED = "abandoned"
    DUE = "due"
    SETTLED = "settled"


ACCEPTED: Final = jobs.c.settlement.not_in([Settlement.RESERVING, Settlement.ABANDONED])


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A job and what only this service knows of it."""

    job: Job
    settlement: Settlement
    crashes: int
    replays: int
    lease: int
    settle_tries: int

    def message(self, now: datetime) -> Message:
        """The message that has it looked at when it is due."""
        due_at = self.job.due_at
        return Message(
            job_id=self.job.id,
            priority=self.job.priority,
            not_before=due_at if due_at > now else None,
        )


async def get(connection: AsyncConnection, job_id: str) -> Row:
    """One job; `NotFound` if there is none."""
    found = await find(connection, job_id)
    if found is None:
        raise NotFound(f"There is no job '{job_id}'")
    return found


async def find(connection: AsyncConnection, job_id: str) -> Row | None:
    """One job; None if there is none."""
    found = (await connection.execute(sa.select(jobs).where(jobs.c.id == job_id))).one_or_none()
    return None if found is None else row_of(found)


async def by_key(connection: AsyncConnection, key: str) -> Row | None:
    """The job that was accepted under a key."""
    found = (await connection.execute(sa.select(jobs).where(jobs.c.key == key))).one_or_none()
    return None if found is None else row_of(found)


async def page(
    connection: AsyncConnection, filter_: JobFilter, *, before: str | None, limit: int
) -> tuple[Job, ...]:
    """Jobs, newest first."""
    query = sa.select(jobs).where(ACCEPTED).order_by(jobs.c.id.desc()).limit(limit)
    if filter_.states:
        query = query.where(jobs.c.state.in_([state.value for state in filter_.states]))
    if filter_.kinds:
        query = query.where(jobs.c.kind.in_(filter_.kinds))
    if filter_.who is not None:
        query = query.where(jobs.c.who == filter_.who)
    if filter_.account is not None:
        query = query.where(jobs.c.account == filter_.account)
    if before is not None:
        query = query.where(jobs.c.id < before)
    return tuple(row_of(found).job for found in await connection.execute(query))


async def counts(connection: AsyncConnection) -> dict[str, int]:
    """How many jobs are in each state that is not over."""
    states = [*_UNFINISHED, JobState.DEAD.value]
    found = await connection.execute(
        sa.select(jobs.c.state, sa.func.count())
        .where(jobs.c.state.in_(states), ACCEPTED)
        .group_by(jobs.c.state)
    )
    return dict.fromkeys(states, 0) | {row[0]: row[1] for row in found}


async def cancel(connection: AsyncConnection, job_id: str, now: datetime) -> bool:
    """End an unfinished job; False if it had ended."""
    changed = await connection.execute(
        jobs.update()
        .where(jobs.c.id == job_id, jobs.c.state.in_(_UNFINISHED), ACCEPTED)
        .values(
            state=JobState.CANCELLED.value,
            finished_at=now,
            message="cancelled",
            seconds_left=None,
            settlement=due_if_reserved(),
            settle_at=now,
        )
    )
    return bool(changed.rowcount == 1)


async def published(
    connection: AsyncConnection, sent: Iterable[tuple[str, int]], now: datetime
) -> None:
    """Note that the messages of jobs, each with its lease at that time, were sent."""
    by_lease: dict[int, list[str]] = {}
    for job_id, lease in sent:
        by_lease.setdefault(lease, []).append(job_id)
    for lease, ids in by_lease.items():
        await connection.execute(
            jobs.update()
            .where(
                jobs.c.id.in_(ids),
                jobs.c.state == JobState.WAITING.value,
                jobs.c.lease == lease,
            )
            .values(published_at=now)
        )


def due_if_reserved() -> sa.Case[str]:
    """The settlement of a job that ends."""
    return sa.case(
        (jobs.c.settlement == Settlement.RESERVED.value, Settlement.DUE.value),
        else_=jobs.c.settlement,
    )


def row_of(found: Any) -> Row:
    """A row of the table as values."""
    job = Job(
        id=found.id,
        kind=found.kind,
        parameters=found.parameters,
        state=JobState(found.state),
        priority=found.priority,
        attempts=found.attempts,
        max_attempts=found.max_attempts,
        timeout_seconds=found.timeout_seconds,
        progress=found.progress,
        message=found.message,
        seconds_left=found.seconds_left,
        who=found.who,
        account=found.account,
        created_at=found.created_at,
        due_at=found.due_at,
        started_at=found.started_at,
        finished_at=found.finished_at,
        price=None if found.price is None else msgspec.convert(found.price, Price),
        reservation=found.reservation,
        units_done=found.units_done,
        settled=found.settlement in (Settlement.NONE, Settlement.SETTLED),
        result=found.result,
        files=msgspec.convert(found.files, tuple[JobFile, ...]),
        error=found.error,
        error_type=found.error_type,
        problems=msgspec.convert(found.problems, tuple[FieldProblem, ...]),
    )
    return Row(
        job=job,
        settlement=Settlement(found.settlement),
        crashes=found.crashes,
        replays=found.replays,
        lease=found.lease,
        settle_tries=found.settle_tries,
    )
