"""People: registered or created, given roles, blocked, and never without an admin."""

import secrets
from collections.abc import Callable, Iterable
from dataclasses import replace

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from foodex.core.access import Role
from foodex.core.clock import Clock
from foodex.core.errors import Conflict, Forbidden
from foodex.core.settings import AccountsSettings
from foodex.core.sql import Database
from foodex.domain.money import checked_amount
from foodex.domain.people import (
    EVERY_LINE,
    Action,
    AuditFilter,
    AuditPage,
    NewPerson,
    PeoplePage,
    Person,
    checked_password,
    checked_person_name,
    checked_roles,
)
from foodex.services.accounts import audit_log, ledger_rows, people_rows, session_rows
from foodex.services.accounts.guessing import Guessing
from foodex.services.accounts.keys import there
from foodex.services.accounts.passwords import Passwords


class People:
    """Implements `ports.accounts.People`; `tell` learns who has changed."""

    def __init__(
        self,
        *,
        database: Database,
        passwords: Passwords,
        guessing: Guessing,
        settings: AccountsSettings,
        clock: Clock,
        tell: Callable[[str], None],
    ) -> None:
        self._database, self._passwords, self._guessing = database, passwords, guessing
        self._settings, self._clock, self._tell = settings, clock, tell

    async def register(self, name: str, password: str) -> Person:
        """Make oneself a client, with an account of money."""
        if not self._settings.registration:
            raise Forbidden("Registration is closed; an admin can make you an account")
        await self._guessing.register()
        name = checked_person_name(name)
        return await self._add(name, [Role.CLIENT], password, Action.REGISTERED, actor=name)

    async def create_person(
        self, name: str, roles: tuple[Role, ...], password: str | None = None
    ) -> NewPerson:
        """Make somebody, with a password that is made and shown once if none is given."""
        name, made = checked_person_name(name), _password_if(password is None)
        person = await self._add(name, roles, made or password or "", Action.CREATED)
        return NewPerson(person=person, password=made)

    async def person(self, name: str) -> Person:
        """One person; `NotFound`."""
        async with self._database.connect() as connection:
            return there(await people_rows.find(connection, name)).person

    async def people(self, *, after: str | None = None, limit: int = 100) -> PeoplePage:
        """One page of people by name."""
        limit = checked_amount(limit, "limit", most=self._settings.page_rows)
        async with self._database.connect() as connection:
            found = await people_rows.page(connection, after, limit + 1)
        more = len(found) > limit
        return PeoplePage(
            people=tuple(found[:limit]), next_after=found[limit - 1].name if more else None
        )

    async def change_roles(self, name: str, roles: tuple[Role, ...]) -> Person:
        """Give these roles and no others; `Conflict` where no admin would be left."""
        wanted = checked_roles(roles)
        async with self._database.transaction() as connection:
            before = await _without_losing_the_last_admin(
                connection, name, stays=Role.ADMIN in wanted
            )
            after = replace(before, roles=wanted)
            if after == before:
                return before
            detail = f"{' '.join(before.roles)} -> {' '.join(wanted)}"
            await self._write(connection, after, Action.ROLES_CHANGED, detail)
        self._tell(name)
        return after

    async def block(self, name: str) -> Person:
        """Shut somebody out: sessions end for good, keys rest."""
        now = self._clock.now()
        async with self._database.transaction() as connection:
            before = await _without_losing_the_last_admin(connection, name, stays=False)
            if before.blocked_at is not None:
                return before
            after = replace(before, blocked_at=now)
            await session_rows.end(connection, name, now)
            await self._write(connection, after, Action.BLOCKED)
        self._tell(name)
        return after

    async def unblock(self, name: str) -> Person:
        """Let somebody in again, with the keys they had."""
        async with self._database.transaction() as connection:
            before = there(await people_rows.locked(connection, name)).person
            if before.blocked_at is None:
                return before
            after = replace(before, blocked_at=None)
            await self._write(connection, after, Action.UNBLOCKED)
        self._tell(name)
        return after

    async def set_password(self, name: str, password: str | None = None) -> NewPerson:
        """Give somebody a new password, made and shown once if none is given; sessions end."""
        made, least = _password_if(password is None), self._settings.password_least
        hashed = await self._passwords.hash(
            checked_password(made or password or "", name, least=least)
        )
        async with self._database.transaction() as connection:
            person = there(await people_rows.locked(connection, name)).person
            await session_rows.end(connection, name, self._clock.now())
            await self._write(connection, person, Action.PASSWORD_SET, password_hash=hashed)
        self._tell(name)
        return NewPerson(person=person, password=made)

    async def audit(
        self, filter_: AuditFilter = EVERY_LINE, *, before: int | None = None, limit: int = 100
    ) -> AuditPage:
        """One page of the audit log, newest first."""
        limit = checked_amount(limit, "limit", most=self._settings.page_rows)
        async with self._database.connect() as connection:
            found = await audit_log.page(connection, filter_, before=before, limit=limit + 1)
        more = len(found) > limit
        return AuditPage(
            entries=found[:limit], next_before=found[limit - 1].number if more else None
        )

    async def _add(
        self,
        name: str,
        roles: Iterable[Role],
        password: str,
        action: Action,
        *,
        actor: str | None = None,
    ) -> Person:
        now, wanted = self._clock.now(), checked_roles(roles)
        hashed = await self._passwords.hash(
            checked_password(password, name, least=self._settings.password_least)
        )
        person = Person(name=name, roles=wanted, account=name, created_at=now)
        try:
            async with self._database.transaction() as connection:
                await people_rows.add(connection, person, hashed)
                # An account that is there already is somebody's, with their money in it.
                if await ledger_rows.balance(connection, name) is not None:
                    raise _taken()
                await ledger_rows.open_account(connection, name, self._settings.currency, now)
                await audit_log.tell(
                    connection, action, name, now, actor=actor, detail=" ".join(wanted)
                )
        except sa.exc.IntegrityError:
            raise _taken() from None
        return person

    async def _write(
        self,
        connection: AsyncConnection,
        person: Person,
        action: Action,
        detail: str = "",
        *,
        password_hash: str | None = None,
    ) -> None:
        await people_rows.change(connection, person, password_hash=password_hash)
        await audit_log.tell(connection, action, person.name, self._clock.now(), detail=detail)
        await people_rows.mark_changed(connection, person.name)


async def _without_losing_the_last_admin(
    connection: AsyncConnection, name: str, *, stays: bool
) -> Person:
    found, admins = await people_rows.locked_with_admins(connection, name)
    person = there(found).person
    if not stays and admins == {name}:
        raise Conflict("This is the last admin; make another one first")
    return person


def _password_if(wanted: bool) -> str | None:
    return secrets.token_urlsafe(15) if wanted else None


def _taken() -> Conflict:
    return Conflict("This name is taken")
