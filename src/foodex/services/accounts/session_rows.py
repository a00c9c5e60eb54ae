"""The SQL of sessions and their refresh tokens."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from foodex.services.accounts.tables import people, refresh_tokens, sessions


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """A refresh token as it is kept, and its session."""

    session: str
    person: str
    expires_at: datetime
    spent_at: datetime | None
    session_expires_at: datetime
    session_ended_at: datetime | None


async def add_session(
    connection: AsyncConnection, session: str, person: str, at: datetime, until: datetime
) -> None:
    """Begin a session."""
    values = {"id": session, "person": person, "created_at": at, "expires_at": until}
    await connection.execute(sa.insert(sessions).values(values))


async def add_token(
    connection: AsyncConnection, digest: str, session: str, at: datetime, until: datetime
) -> None:
    """Give a session its next refresh token."""
    values = {"digest": digest, "session_id": session, "issued_at": at, "expires_at": until}
    await connection.execute(sa.insert(refresh_tokens).values(values))


async def token(connection: AsyncConnection, digest: str) -> RefreshToken | None:
    """A refresh token by its digest."""
    found = await connection.execute(
        sa.select(
            refresh_tokens,
            sessions.c.person,
            sessions.c.expires_at.label("session_expires_at"),
            sessions.c.ended_at,
        )
        .join(sessions, sessions.c.id == refresh_tokens.c.session_id)
        .where(refresh_tokens.c.digest == digest)
    )
    row = found.one_or_none()
    if row is None:
        return None
    return RefreshToken(
        session=row.session_id,
        person=row.person,
        expires_at=row.expires_at,
        spent_at=row.spent_at,
        session_expires_at=row.session_expires_at,
        session_ended_at=row.ended_at,
    )


async def spend(connection: AsyncConnection, digest: str, at: datetime) -> None:
    """Note that a refresh token was used."""
    await connection.execute(
        sa.update(refresh_tokens).where(refresh_tokens.c.digest == digest).values(spent_at=at)
    )


async def end(
    connection: AsyncConnection, person: str, at: datetime, *, session: str | None = None
) -> int:
    """End a person's sessions, or the one; how many had not ended."""
    statement = (
        sa.update(sessions)
        .where(
            sessions.c.person == person, sessions.c.ended_at.is_(None), sessions.c.expires_at > at
        )
        .values(ended_at=at)
    )
    if session is not None:
        statement = statement.where(sessions.c.id == session)
    return (await connection.execute(statement)).rowcount


async def open_session(connection: AsyncConnection, session: str) -> sa.Row[Any] | None:
    """The person of a session that has not been ended, and `until` when it lasts."""
    found = await connection.execute(
        sa.select(people, sessions.c.expires_at.label("until"))
        .join(sessions, sessions.c.person == people.c.name)
        .where(sessions.c.id == session, sessions.c.ended_at.is_(None))
    )
    return found.one_or_none()


async def purge(connection: AsyncConnection, until: datetime) -> int:
    """Forget sessions that are over since before `until`, with their tokens; how many."""
    statement = sa.delete(sessions).where(sessions.c.expires_at < until)
    return (await connection.execute(statement)).rowcount
