"""Who sends a request: an API key or a session, remembered until its person changes.

What is remembered is used only while the last question after changes was asked less than
`revoked_within_seconds` ago, so that what is taken away stops working by then, or nothing works:
where the question finds no answer, neither do callers.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

import structlog

from foodex.core.access import Access, Principal, presented_key
from foodex.core.clock import Clock
from foodex.core.errors import FoodexError, NotAuthenticated, Unavailable
from foodex.core.settings import AccountsSettings
from foodex.domain.people import Caller, KeyUse
from foodex.ports.accounts import Callers
from foodex.services.accounts.keys import PREFIX, digest, well_formed
from foodex.services.accounts.tokens import (
    NOT_VALID,
    Claims,
    TokenVerifier,
    UnknownKey,
    looks_like_a_token,
)

MOST_KNOWN: Final = 50_000
"""Credentials remembered; the oldest are forgotten first."""
MOST_USES: Final = 500
"""Last uses of keys told in one call."""
_LONG_AGO: Final = datetime.min.replace(tzinfo=UTC)
_FOR_EVER: Final = datetime.max.replace(tzinfo=UTC)

log = structlog.get_logger("foodex.accounts")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Known:
    principal: Principal
    until: datetime


class AccountsAccess:
    """Implements `core.access.Access` on the accounts port, in any process.

    `others` is asked about credentials that are neither a key nor a token of ours: the key that
    services of one system share.
    """

    def __init__(
        self,
        callers: Callers,
        *,
        settings: AccountsSettings,
        clock: Clock,
        others: Access | None = None,
    ) -> None:
        self._callers, self._clock, self._others = callers, clock, others
        self._within = timedelta(seconds=settings.revoked_within_seconds)
        self._ask_seconds = settings.revoked_within_seconds / 2
        self._patience_seconds = settings.commit_seconds
        self._write_seconds = settings.key_last_use_seconds
        self._known: dict[bytes, _Known] = {}
        self._of_person: dict[str, set[bytes]] = {}
        self._used: dict[str, datetime] = {}
        self._revision = -1
        self._asked_at = _LONG_AGO
        self._forgotten = 0
        self._asking: asyncio.Task[None] | None = None
        self._verifier = TokenVerifier(())
        self._keys_asked_at = _LONG_AGO

    async def authenticate(self, headers: Mapping[str, str]) -> Principal | None:
        """Who sent these headers, or None for nobody in particular.

        Raises `NotAuthenticated`, which says the same of everything that opens nothing, and
        `Unavailable` where accounts cannot be asked or do not answer in time.
        """
        given = presented_key(headers)
        if given is None:
            return None
        if not (given.startswith(PREFIX) or looks_like_a_token(given)):
            # The services' own key opens whether or not accounts can be asked.
            return await self._ask_others(headers)
        key = hashlib.sha256(given.encode("utf-8", "surrogatepass")).digest()
        now = self._clock.now()
        if not self._fresh(now):
            await self._ask_if_stale()
        known = self._known.get(key)
        if known is None or known.until <= now:
            known = await self._in_time(self._look_up(given, key))
        principal = known.principal
        if principal.key_id is not None:
            self._used[principal.key_id] = now
        return principal

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Asks after changes and writes down last uses, while the block lasts."""
        tasks = [
            asyncio.create_task(self._keep_asking()),
            asyncio.create_task(self._keep_writing()),
        ]
        try:
            yield
        finally:
            for task in (*tasks, self._asking):
                if task is not None:
                    task.cancel()
            for task in tasks:
                with suppress(asyncio.CancelledError):
                    await task
            with suppress(FoodexError):
                await self.write_uses()

    def forget(self, person: str) -> None:
        """Remember nothing of a person any more; what is being looked up is not remembered."""
        self._forgotten += 1
        for key in self._of_person.pop(person, ()):
            self._known.pop(key, None)

    async def ask(self) -> None:
        """Ask after changes, and forget those who changed."""
        asked_at = self._clock.now()
        changes = await self._callers.changes(self._revision)
        if changes.all:
            self._forgotten += 1
            self._known.clear()
            self._of_person.clear()
        for person in changes.people:
            self.forget(person)
        self._revision, self._asked_at = changes.revision, asked_at

    async def write_uses(self) -> None:
        """Write down the last uses of keys since the last time."""
        used, self._used = self._used, {}
        uses = [KeyUse(key_id=key_id, at=at) for key_id, at in used.items()]
        try:
            while uses:
                await self._callers.keys_used(tuple(uses[:MOST_USES]))
                del uses[:MOST_USES]
        finally:
            for use in uses:
                self._used.setdefault(use.key_id, use.at)

    def _fresh(self, now: datetime) -> bool:
        # A clock set back makes what is remembered old, not young.
        return self._asked_at <= now < self._asked_at + self._within

    async def _ask_if_stale(self) -> None:
        joined = self._asking is not None
        await self._ask_together()
        if joined and not self._fresh(self._clock.now()):
            # That question was asked long before we came; the next one was not.
            await self._ask_together()

    async def _ask_together(self) -> None:
        """All who wait share one question and what comes of it, or each would wait for the rest."""
        if self._asking is None:
            self._asking = asyncio.create_task(self._in_time(self.ask()), name="accounts asked")
            self._asking.add_done_callback(self._asked)
        await asyncio.shield(self._asking)

    def _asked(self, asking: asyncio.Task[None]) -> None:
        self._asking = None
        _see(asking)

    async def _in_time(self, question: Coroutine[Any, Any, T]) -> T:
        """The answer; a question that is given up ends in the background, which may take longer."""
        task = asyncio.create_task(question)
        task.add_done_callback(_see)
        try:
            done, _ = await asyncio.wait([task], timeout=self._patience_seconds)
        except asyncio.CancelledError:
            task.cancel()
            raise
        if not done:
            task.cancel()
            raise Unavailable("Accounts did not answer in time")
        return task.result()

    async def _look_up(self, given: str, key: bytes) -> _Known:
        forgotten = self._forgotten
        until = _FOR_EVER
        if given.startswith(PREFIX):
            caller = (
                await self._callers.caller_by_key(digest(given)) if well_formed(given) else None
            )
        else:
            claims = await self._verified(given)
            caller, until = await self._callers.caller_by_session(claims.session), claims.until
        if caller is None:
            raise NotAuthenticated(NOT_VALID)
        known = _Known(_principal(caller), min(until, caller.expires_at or _FOR_EVER))
        if forgotten == self._forgotten:
            self._remember(key, caller.person, known)
        return known

    async def _verified(self, token: str) -> Claims:
        now = self._clock.now()
        try:
            return self._verifier.verify(token, now)
        except UnknownKey:
            # Perhaps keys were changed; a stranger's tokens must not have us ask each time.
            if abs(now - self._keys_asked_at) < self._within:
                raise NotAuthenticated(NOT_VALID) from None
        self._verifier = TokenVerifier(await self._callers.token_keys())
        self._keys_asked_at = now
        try:
            return self._verifier.verify(token, now)
        except UnknownKey:
            raise NotAuthenticated(NOT_VALID) from None

    async def _ask_others(self, headers: Mapping[str, str]) -> Principal | None:
        if self._others is None:
            raise NotAuthenticated(NOT_VALID)
        return await self._others.authenticate(headers)

    def _remember(self, key: bytes, person: str, known: _Known) -> None:
        self._known[key] = known
        self._of_person.setdefault(person, set()).add(key)
        if len(self._known) > MOST_KNOWN:
            oldest = next(iter(self._known))
            owner = self._known.pop(oldest).principal.name
            self._of_person[owner].discard(oldest)
            if not self._of_person[owner]:
                del self._of_person[owner]

    async def _keep_asking(self) -> None:
        while True:
            try:
                await self._ask_together()
            except FoodexError as error:
                log.warning("changes of accounts cannot be asked after", error=str(error))
            await asyncio.sleep(self._ask_seconds)

    async def _keep_writing(self) -> None:
        while True:
            await asyncio.sleep(self._write_seconds)
            try:
                await self.write_uses()
            except FoodexError as error:
                log.warning("last uses of keys cannot be written", error=str(error))


def _see(task: asyncio.Task[Any]) -> None:
    # Everybody who waited for it may have left, and asyncio complains of errors nobody saw.
    if not task.cancelled():
        task.exception()


def _principal(caller: Caller) -> Principal:
    return Principal(
        caller.person,
        frozenset(caller.roles),
        caller.account,
        caller.key_id,
        None if caller.scopes is None else frozenset(str(scope) for scope in caller.scopes),
    )
