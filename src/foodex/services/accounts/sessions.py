"""Sessions: signing in and out, and the refresh tokens that follow one another.

A session is a family of refresh tokens, each used once. The token used twice is in two hands, and
which of them is the thief's cannot be told, so the session ends.
"""

import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from foodex.core.clock import Clock
from foodex.core.errors import Conflict, NotAuthenticated, TooManyRequests
from foodex.core.settings import AccountsSettings
from foodex.core.sql import Database
from foodex.domain.people import Action, Tokens, checked_password, person_name
from foodex.services.accounts import audit_log, people_rows, session_rows
from foodex.services.accounts.guessing import Guessing
from foodex.services.accounts.keys import digest, there
from foodex.services.accounts.passwords import Passwords, Verdict
from foodex.services.accounts.people_rows import Stored
from foodex.services.accounts.tokens import NOT_VALID, SigningKeys

PREFIX: Final = "fdr_"
KEPT: Final = timedelta(days=1)
"""How long a session that is over is kept, for a late use of its tokens to be recognised."""

log = structlog.get_logger("foodex.accounts")


class Sessions:
    """Implements `ports.accounts.Sessions`; `tell` learns whose sessions have ended."""

    def __init__(
        self,
        *,
        database: Database,
        passwords: Passwords,
        guessing: Guessing,
        signing: SigningKeys,
        settings: AccountsSettings,
        clock: Clock,
        tell: Callable[[str], None],
    ) -> None:
        self._database, self._passwords, self._guessing = database, passwords, guessing
        self._signing, self._settings, self._clock, self._tell = signing, settings, clock, tell

    async def sign_in(self, name: str, password: str) -> Tokens:
        """Begin a session.

        What is done, and so how long it takes, is the same for a name that nobody has.
        """
        while True:
            found, verdict = await self._guessed(name, password, Action.SIGN_IN_FAILED)
            person, now = found.person, self._clock.now()
            async with self._database.transaction() as connection:
                # Since the password was looked at, it may have been changed, or they been blocked.
                if await people_rows.locked(connection, person.name) != found:
                    continue
                if verdict.new_hash is not None:
                    await people_rows.change(connection, person, password_hash=verdict.new_hash)
                session = secrets.token_hex(16)
                until = now + timedelta(seconds=self._settings.session_seconds)
                await session_rows.add_session(connection, session, person.name, now, until)
                tokens = await self._next(connection, session, person.name, now, until)
                await audit_log.tell(
                    connection, Action.SIGNED_IN, person.name, now, actor=person.name
                )
            return tokens

    async def refresh(self, refresh_token: str) -> Tokens:
        """The next two tokens of a session."""
        now, key = self._clock.now(), digest(refresh_token)
        async with self._database.transaction() as connection:
            token = await session_rows.token(connection, key)
            if token is None:
                raise NotAuthenticated(NOT_VALID)
            owner = there(await people_rows.locked(connection, token.person)).person
            # Read again under the lock: of two with one token, the second finds it spent.
            token = await session_rows.token(connection, key)
            if token is None or token.session_ended_at or token.session_expires_at <= now:
                raise NotAuthenticated(NOT_VALID)
            stolen = token.spent_at is not None
            if token.spent_at is not None:
                if now - token.spent_at <= timedelta(seconds=self._settings.refresh_grace_seconds):
                    raise Conflict("This token has just been used; use the one it was changed for")
                await self._end(connection, owner.name, Action.REFRESH_REUSED, token.session)
            elif token.expires_at <= now or owner.blocked_at is not None:
                raise NotAuthenticated(NOT_VALID)
            else:
                await session_rows.spend(connection, key, now)
                until = token.session_expires_at
                tokens = await self._next(connection, token.session, owner.name, now, until)
        if stolen:
            log.warning("refresh token used twice", person=owner.name)
            self._tell(owner.name)
            raise NotAuthenticated(NOT_VALID)
        return tokens

    async def sign_out(self, refresh_token: str) -> None:
        """End the session of this refresh token. Safe to repeat."""
        async with self._database.transaction() as connection:
            token = await session_rows.token(connection, digest(refresh_token))
            if token is None:
                return
            await people_rows.locked(connection, token.person)
            ended = await self._end(connection, token.person, Action.SIGNED_OUT, token.session)
        if ended:
            self._tell(token.person)

    async def sign_out_everywhere(self, name: str) -> int:
        """End all sessions of somebody; how many. Keys stay."""
        async with self._database.transaction() as connection:
            there(await people_rows.locked(connection, name))
            ended = await self._end(connection, name, Action.SIGNED_OUT_EVERYWHERE)
        if ended:
            self._tell(name)
        return ended

    async def change_password(self, name: str, old: str, new: str) -> None:
        """Change a password, given the old one; all sessions end. Keys stay."""
        password = checked_password(new, name, least=self._settings.password_least)
        found, _ = await self._guessed(name, old, Action.PASSWORD_CHANGE_FAILED)
        hashed, now = await self._passwords.hash(password), self._clock.now()
        async with self._database.transaction() as connection:
            if await people_rows.locked(connection, found.person.name) != found:
                raise Conflict("Something else was changed at the same time; try again")
            await people_rows.change(connection, found.person, password_hash=hashed)
            await session_rows.end(connection, found.person.name, now)
            await audit_log.tell(connection, Action.PASSWORD_CHANGED, found.person.name, now)
            await people_rows.mark_changed(connection, found.person.name)
        self._tell(found.person.name)

    async def purge(self) -> int:
        """Forget sessions that were over a day ago; how many."""
        async with self._database.transaction() as connection:
            return await session_rows.purge(connection, self._clock.now() - KEPT)

    async def _guessed(self, name: str, password: str, failed: Action) -> tuple[Stored, Verdict]:
        wanted = person_name(name)
        counted = wanted or name
        try:
            await self._guessing.take(counted)
        except TooManyRequests:
            if await self._guessing.tell_held(counted):
                await self._tell_failure(wanted, Action.SIGN_IN_HELD)
            raise
        looked_at = False
        try:
            async with self._database.connect() as connection:
                found = await people_rows.find(connection, wanted or "")
            usable = found is not None and found.person.blocked_at is None
            hashed = found.password_hash if found is not None and usable else None
            verdict = await self._passwords.verify(password, hashed)
            looked_at = True
        finally:
            if not looked_at:
                await self._guessing.give_back(counted, right=False)
        if found is None or not verdict.right:
            if await self._guessing.tell_failure():
                await self._tell_failure(wanted, failed)
            else:
                log.warning("failed sign-ins are more than the audit log takes")
            raise NotAuthenticated("The name or the password is wrong")
        await self._guessing.give_back(counted, right=True)
        return found, verdict

    async def _tell_failure(self, wanted: str | None, action: Action) -> None:
        async with self._database.transaction() as connection:
            known = wanted is not None and await people_rows.find(connection, wanted) is not None
            # What is no name may be a password typed into the wrong field.
            target = wanted if known and wanted is not None else ""
            await audit_log.tell(connection, action, target, self._clock.now(), actor="nobody")

    async def _next(
        self, connection: AsyncConnection, session: str, person: str, now: datetime, end: datetime
    ) -> Tokens:
        token = PREFIX + secrets.token_urlsafe(32)
        until = min(end, now + timedelta(seconds=self._settings.refresh_token_seconds))
        await session_rows.add_token(connection, digest(token), session, now, until)
        seconds = self._settings.access_token_seconds
        return Tokens(
            access_token=self._signing.sign(
                person=person, session=session, now=now, seconds=seconds
            ),
            access_seconds=seconds,
            refresh_token=token,
            refresh_until=until,
        )

    async def _end(
        self, connection: AsyncConnection, person: str, action: Action, session: str | None = None
    ) -> int:
        now = self._clock.now()
        ended = await session_rows.end(connection, person, now, session=session)
        if ended:
            actor = None if action is Action.SIGNED_OUT_EVERYWHERE else person
            await audit_log.tell(
                connection, action, person, now, actor=actor, detail=f"{ended} sessions"
            )
            await people_rows.mark_changed(connection, person)
        return ended
