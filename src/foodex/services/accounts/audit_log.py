"""The audit log: who did what, written in the transaction that does it."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from foodex.core.access import who
from foodex.core.context import address, request_id
from foodex.domain.people import Action, AuditEntry, AuditFilter
from foodex.services.accounts.tables import audit


async def tell(
    connection: AsyncConnection,
    action: Action,
    target: str,
    at: datetime,
    *,
    actor: str | None = None,
    detail: str = "",
) -> None:
    """Write that whoever acts (or `actor`) did this to `target`."""
    await connection.execute(
        sa.insert(audit).values(
            at=at,
            who=actor or who(),
            action=action.value,
            target=target,
            request_id=request_id(),
            address=address(),
            detail=detail,
        )
    )


async def page(
    connection: AsyncConnection, filter_: AuditFilter, *, before: int | None, limit: int
) -> tuple[AuditEntry, ...]:
    """Some lines, newest first."""
    columns = audit.c
    statement = sa.select(audit).order_by(columns.number.desc()).limit(limit)
    if before is not None:
        statement = statement.where(columns.number < before)
    if filter_.who is not None:
        statement = statement.where(columns.who == filter_.who)
    if filter_.target is not None:
        statement = statement.where(columns.target == filter_.target)
    if filter_.actions:
        statement = statement.where(columns.action.in_([one.value for one in filter_.actions]))
    if filter_.since is not None:
        statement = statement.where(columns.at >= filter_.since)
    if filter_.until is not None:
        statement = statement.where(columns.at < filter_.until)
    return tuple(
        AuditEntry(
            number=row.number,
            at=row.at,
            who=row.who,
            action=Action(row.action),
            target=row.target,
            request_id=row.request_id,
            address=row.address,
            detail=row.detail,
        )
        for row in await connection.execute(statement)
    )
