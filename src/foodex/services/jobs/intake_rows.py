"""The SQL of taking jobs on, for the first time or anew."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from foodex.domain.jobs import Job, JobState
from foodex.services.jobs.job_rows import Row, Settlement, row_of
from foodex.services.jobs.tables import jobs


def key_digest(who: str, key: str) -> str:
    """What stands in the row for a caller's key."""
    return hashlib.sha256(f"{who}\0{key}".encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class New:
    """A job to be written; `key` is the digest of the caller's, if there is one."""

    job: Job
    key: str | None
    settlement: Settlement


async def add(connection: AsyncConnection, new: Sequence[New]) -> set[str]:
    """Write new jobs; the ids of those written: not those whose key is taken."""
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    statement = insert(jobs).on_conflict_do_nothing(index_elements=[jobs.c.key])
    rows = [_columns(one) for one in new]
    return set((await connection.execute(statement.values(rows).returning(jobs.c.id))).scalars())


def _columns(new: New) -> dict[str, Any]:
    job = new.job
    return {
        "id": job.id,
        "kind": job.kind,
        "parameters": dict(job.parameters),
        "state": job.state.value,
        "priority": job.priority,
        "attempts": 0,
        "max_attempts": job.max_attempts,
        "crashes": 0,
        "timeout_seconds": job.timeout_seconds,
        "progress": 0.0,
        "message": job.message,
        "who": job.who,
        "account": job.account,
        "key": new.key,
        "created_at": job.created_at,
        "due_at": job.due_at,
        "files": [],
        "problems": [],
        "settlement": new.settlement.value,
        "price": None if job.price is None else msgspec.to_builtins(job.price),
        "reservation": job.reservation,
        "units_done": 0,
        "settle_tries": 0,
        "replays": 0,
        "lease": 0,
        "waiting_since": job.created_at,
    }


async def forget(connection: AsyncConnection, job_id: str) -> None:
    """Remove a job whose price could not be set aside."""
    await connection.execute(
        jobs.delete().where(
            jobs.c.id == job_id,
            jobs.c.state == JobState.WAITING.value,
            jobs.c.settlement == Settlement.RESERVING.value,
        )
    )


async def activate(
    connection: AsyncConnection, reservations: Sequence[str], now: datetime
) -> dict[str, Row]:
    """Let jobs wait whose price is set aside, by reservation: not those given up meanwhile."""
    changed = await connection.execute(
        jobs.update()
        .where(
            jobs.c.reservation.in_(reservations),
            jobs.c.settlement == Settlement.RESERVING.value,
        )
        .values(_anew(now) | {"settlement": Settlement.RESERVED.value})
        .returning(jobs)
    )
    return {found.reservation: row_of(found) for found in changed}


async def replay(
    connection: AsyncConnection, row: Row, reservation: str | None, now: datetime
) -> bool:
    """Let a dead job wait again, or first have its price set aside where it has one."""
    settled = jobs.c.settlement.in_([Settlement.NONE.value, Settlement.SETTLED.value])
    values: dict[str, Any] = {"replays": row.replays + 1}
    if reservation is None:
        values |= _anew(now)
    else:
        values |= {
            "settlement": Settlement.RESERVING.value,
            "reservation": reservation,
            "waiting_since": now,
        }
    changed = await connection.execute(
        jobs.update()
        .where(jobs.c.id == row.job.id, jobs.c.state == JobState.DEAD.value, settled)
        .where(jobs.c.replays == row.replays)
        .values(values)
    )
    return bool(changed.rowcount == 1)


async def unreplay(connection: AsyncConnection, job_id: str, reservation: str) -> None:
    """Leave a job dead whose price could not be set aside again."""
    await connection.execute(
        jobs.update()
        .where(
            jobs.c.id == job_id,
            jobs.c.state == JobState.DEAD.value,
            jobs.c.settlement == Settlement.RESERVING.value,
            jobs.c.reservation == reservation,
        )
        .values(settlement=Settlement.SETTLED.value)
    )


def _anew(now: datetime) -> dict[str, Any]:
    return {
        "state": JobState.WAITING.value,
        "attempts": 0,
        "crashes": 0,
        "progress": 0.0,
        "message": "waiting",
        "due_at": now,
        "started_at": None,
        "finished_at": None,
        "error": None,
        "error_type": None,
        "problems": [],
        "settle_tries": 0,
        "waiting_since": now,
        "published_at": None,
    }
