"""People's SQL.

Whoever changes a person, their sessions or their keys locks the person first and the revision
last, so that no two can wait for each other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from foodex.core.access import Role
from foodex.domain.people import Changes, Person
from foodex.services.accounts.tables import people, revision

MOST_CHANGES: Final = 1_000
"""People told of in one answer about changes."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A person and the hash of their password."""

    person: Person
    password_hash: str


async def find(connection: AsyncConnection, name: str) -> Stored | None:
    """One person."""
    found = await connection.execute(sa.select(people).where(people.c.name == name))
    row = found.one_or_none()
    return None if row is None else stored(row)


async def locked(connection: AsyncConnection, name: str) -> Stored | None:
    """One person, whom nobody else changes until this transaction ends."""
    statement = sa.select(people).where(people.c.name == name).with_for_update()
    row = (await connection.execute(statement)).one_or_none()
    return None if row is None else stored(row)


async def locked_with_admins(
    connection: AsyncConnection, name: str
) -> tuple[Stored | None, frozenset[str]]:
    """One person and the names of the admins who are not blocked, all of them locked."""
    statement = (
        sa.select(people)
        .where(
            sa.or_(
                people.c.name == name,
                sa.and_(people.c.is_admin.is_(True), people.c.blocked_at.is_(None)),
            )
        )
        .order_by(people.c.name)
        .with_for_update()
    )
    found = {row.name: stored(row) for row in await connection.execute(statement)}
    admins = (
        one.person.name
        for one in found.values()
        if Role.ADMIN in one.person.roles and one.person.blocked_at is None
    )
    return found.get(name), frozenset(admins)


async def page(connection: AsyncConnection, after: str | None, limit: int) -> Sequence[Person]:
    """People by name."""
    statement = sa.select(people).order_by(people.c.name).limit(limit)
    if after is not None:
        statement = statement.where(people.c.name > after)
    return [stored(row).person for row in await connection.execute(statement)]


async def add(connection: AsyncConnection, person: Person, password_hash: str) -> None:
    """Write somebody new; `IntegrityError` for a name that is taken."""
    await connection.execute(
        sa.insert(people).values(
            name=person.name,
            account_id=person.account,
            password_hash=password_hash,
            created_at=person.created_at,
            blocked_at=person.blocked_at,
            revision=0,
            **_roles(person.roles),
        )
    )


async def change(
    connection: AsyncConnection, person: Person, *, password_hash: str | None = None
) -> None:
    """Write somebody's roles and whether they are blocked, and a new hash if there is one."""
    values: dict[str, Any] = {"blocked_at": person.blocked_at, **_roles(person.roles)}
    if password_hash is not None:
        values["password_hash"] = password_hash
    await connection.execute(sa.update(people).where(people.c.name == person.name).values(values))


async def mark_changed(connection: AsyncConnection, name: str) -> None:
    """Number the change of somebody's rights, keys or sessions; the last thing before a commit."""
    number = await connection.scalar(
        sa.update(revision).values(number=revision.c.number + 1).returning(revision.c.number)
    )
    await connection.execute(sa.update(people).where(people.c.name == name).values(revision=number))


async def changes(connection: AsyncConnection, after: int) -> Changes:
    """Who changed since a revision."""
    # Read before the people: what is committed in between is then told again, and nothing missed.
    number = await connection.scalar(sa.select(revision.c.number)) or 0
    if number == after:
        return Changes(revision=number)
    statement = sa.select(people.c.name).where(people.c.revision > after).limit(MOST_CHANGES + 1)
    names: tuple[str, ...] = tuple((await connection.scalars(statement)).all())
    if after > number or len(names) > MOST_CHANGES:
        return Changes(revision=number, all=True)
    return Changes(revision=number, people=names)


def stored(row: sa.Row[Any]) -> Stored:
    """A row of the table of people."""
    person = Person(
        name=row.name,
        roles=tuple(Role(role) for role in row.roles.split(",")),
        account=row.account_id,
        created_at=row.created_at,
        blocked_at=row.blocked_at,
    )
    return Stored(person, row.password_hash)


def _roles(roles: Sequence[Role]) -> dict[str, Any]:
    return {"roles": ",".join(roles), "is_admin": Role.ADMIN in roles}
