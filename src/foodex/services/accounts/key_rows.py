"""The SQL of API keys."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from foodex.domain.people import Key, KeyUse, Scope
from foodex.services.accounts.tables import api_keys, people


async def add(connection: AsyncConnection, key: Key, digest: str) -> None:
    """Write a new key."""
    await connection.execute(
        sa.insert(api_keys).values(
            id=key.id,
            person=key.person,
            name=key.name,
            scopes=",".join(key.scopes),
            digest=digest,
            created_at=key.created_at,
            expires_at=key.expires_at,
        )
    )


async def of_person(connection: AsyncConnection, person: str) -> tuple[Key, ...]:
    """All keys of a person, oldest first."""
    statement = (
        sa.select(api_keys)
        .where(api_keys.c.person == person)
        .order_by(api_keys.c.created_at, api_keys.c.id)
    )
    return tuple(_key(row) for row in await connection.execute(statement))


async def find(connection: AsyncConnection, person: str, key_id: str) -> Key | None:
    """One key of a person."""
    found = await connection.execute(
        sa.select(api_keys).where(api_keys.c.id == key_id, api_keys.c.person == person)
    )
    row = found.one_or_none()
    return None if row is None else _key(row)


async def revoke(connection: AsyncConnection, key_id: str, at: datetime) -> None:
    """End a key."""
    await connection.execute(
        sa.update(api_keys).where(api_keys.c.id == key_id).values(revoked_at=at)
    )


async def by_digest(connection: AsyncConnection, digest: str) -> tuple[Key, sa.Row[Any]] | None:
    """A key that is not revoked, and the row of its person."""
    found = await connection.execute(
        sa.select(api_keys).where(api_keys.c.digest == digest, api_keys.c.revoked_at.is_(None))
    )
    row = found.one_or_none()
    if row is None:
        return None
    person = await connection.execute(sa.select(people).where(people.c.name == row.person))
    return _key(row), person.one()


async def used(connection: AsyncConnection, uses: Sequence[KeyUse]) -> None:
    """Note when keys were last used; what is older than what is known is passed over."""
    statement = (
        sa.update(api_keys)
        .where(
            api_keys.c.id == sa.bindparam("key"),
            sa.or_(
                api_keys.c.last_used_at.is_(None),
                api_keys.c.last_used_at < sa.bindparam("used_at", type_=api_keys.c.created_at.type),
            ),
        )
        .values(last_used_at=sa.bindparam("used_at", type_=api_keys.c.created_at.type))
    )
    # By id, so that two who write the same keys lock them in the same order.
    ordered = sorted(uses, key=lambda use: use.key_id)
    await connection.execute(statement, [{"key": use.key_id, "used_at": use.at} for use in ordered])


def _key(row: sa.Row[Any]) -> Key:
    return Key(
        id=row.id,
        person=row.person,
        name=row.name,
        scopes=tuple(Scope(scope) for scope in row.scopes.split(",")),
        created_at=row.created_at,
        expires_at=row.expires_at,
        last_used_at=row.last_used_at,
        revoked_at=row.revoked_at,
    )
