"""The SQL of looking after jobs that were left behind, and of their money."""

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from foodex.core.errors import Unavailable
from foodex.domain.jobs import UNFINISHED, JobState
from foodex.services.jobs.job_rows import ACCEPTED, Row, Settlement, row_of
from foodex.services.jobs.tables import jobs

_WAITING = sa.and_(jobs.c.state == JobState.WAITING.value, ACCEPTED)
_OVER = [state.value for state in JobState if state not in UNFINISHED]
_OPEN = jobs.c.settlement.in_([Settlement.DUE.value, Settlement.ABANDONED.value])


async def unpublished(connection: AsyncConnection, before: datetime, limit: int) -> Sequence[Row]:
    """Jobs that have waited since before a time and whose message was not sent for all we know."""
    found = await connection.execute(
        sa.select(jobs)
        .where(_WAITING, jobs.c.published_at.is_(None), jobs.c.waiting_since < before)
        .order_by(jobs.c.waiting_since)
        .limit(limit)
    )
    return [row_of(one) for one in found]


async def overdue(connection: AsyncConnection, before: datetime) -> int:
    """How many jobs were due and sent before a time, and wait still."""
    return await connection.scalar(sa.select(sa.func.count()).where(*_overdue(before))) or 0


async def publish_again(connection: AsyncConnection, before: datetime) -> None:
    """Take the messages of overdue jobs for lost."""
    await connection.execute(jobs.update().where(*_overdue(before)).values(published_at=None))


def _overdue(before: datetime) -> tuple[sa.ColumnElement[bool], ...]:
    return _WAITING, jobs.c.due_at < before, jobs.c.published_at < before


async def broken_off(connection: AsyncConnection, before: datetime) -> bool:
    """Whether there are acceptances that broke off before a time."""
    return bool(await connection.scalar(sa.select(sa.exists().where(_broken_off(before)))))


def _broken_off(before: datetime) -> sa.ColumnElement[bool]:
    return sa.and_(jobs.c.settlement == Settlement.RESERVING.value, jobs.c.waiting_since < before)


async def abandon(connection: AsyncConnection, before: datetime, now: datetime) -> int:
    """Give up acceptances that broke off before a time; how many."""
    given_up = {"settlement": Settlement.ABANDONED.value, "settle_at": now}
    anew = await connection.execute(
        jobs.update()
        .where(_broken_off(before), jobs.c.state == JobState.DEAD.value)
        .values(given_up)
    )
    first = await connection.execute(
        jobs.update()
        .where(_broken_off(before))
        .values(
            given_up
            | {
                "state": JobState.FAILED.value,
                "finished_at": now,
                "message": JobState.FAILED.value,
                "error": "The acceptance of the job broke off",
                "error_type": Unavailable.type,
                # Who asks again under the same key is to be served.
                "key": None,
            }
        )
    )
    return int(anew.rowcount + first.rowcount)


async def to_settle(connection: AsyncConnection, now: datetime, limit: int) -> Sequence[Row]:
    """Jobs whose money is still set aside though they have ended."""
    found = await connection.execute(
        sa.select(jobs)
        .where(_OPEN, jobs.c.settle_at <= now)
        .order_by(jobs.c.settle_at)
        .limit(limit)
    )
    return [row_of(one) for one in found]


async def cancelled(
    connection: AsyncConnection, kinds: Sequence[str], since: datetime, limit: int
) -> Sequence[Row]:
    """Jobs of these kinds that were begun, and cancelled since a time; oldest first."""
    found = await connection.execute(
        sa.select(jobs)
        .where(
            jobs.c.state == JobState.CANCELLED.value,
            jobs.c.kind.in_(kinds),
            jobs.c.attempts > 0,
            jobs.c.finished_at >= since,
        )
        .order_by(jobs.c.finished_at)
        .limit(limit)
    )
    return [row_of(one) for one in found]


async def files_are_gone(connection: AsyncConnection, ids: Sequence[str]) -> None:
    """Note that what these jobs left is there no more."""
    await connection.execute(
        jobs.update().where(jobs.c.id.in_(ids), jobs.c.state.in_(_OVER)).values(files=[])
    )


async def settled(connection: AsyncConnection, row: Row) -> None:
    """Note that the money of a job is where it belongs."""
    await connection.execute(
        jobs.update()
        .where(jobs.c.id == row.job.id, jobs.c.reservation == row.job.reservation, _OPEN)
        .values(settlement=Settlement.SETTLED.value)
    )


async def settle_later(connection: AsyncConnection, row: Row, at: datetime) -> None:
    """Try again to settle a job, not before a time."""
    await connection.execute(
        jobs.update()
        .where(jobs.c.id == row.job.id, jobs.c.reservation == row.job.reservation, _OPEN)
        .values(settle_at=at, settle_tries=jobs.c.settle_tries + 1)
    )
