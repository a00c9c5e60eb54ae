"""The accounts service's people over HTTP, as its port."""

from datetime import datetime
from typing import Any, Final

from foodex.core.access import SYSTEM, Role, acting_as
from foodex.core.peer import Peer
from foodex.domain.people import (
    EVERY_LINE,
    AuditFilter,
    AuditPage,
    Caller,
    Changes,
    Key,
    KeyUse,
    NewKey,
    NewPerson,
    PeoplePage,
    Person,
    Scope,
    TokenKey,
    Tokens,
)
from foodex.services.accounts.paths import HERE, of, system

_PERHAPS: Final[Any] = Caller | None


class PeopleClient:
    """People, sessions, keys, and who is behind credentials."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer

    async def register(self, name: str, password: str) -> Person:
        """Make oneself a client."""
        given = {"name": name, "password": password}
        return await self._peer.call("POST", f"{HERE}/register", type=Person, json=given)

    async def create_person(
        self, name: str, roles: tuple[Role, ...], password: str | None = None
    ) -> NewPerson:
        """Make somebody."""
        wanted = {"name": name, "roles": roles, "password": password}
        return await self._peer.call("POST", f"{HERE}/people", type=NewPerson, json=wanted)

    async def person(self, name: str) -> Person:
        """One person."""
        return await self._peer.call("GET", of("people", name), type=Person)

    async def people(self, *, after: str | None = None, limit: int = 100) -> PeoplePage:
        """One page of people by name."""
        params = {"after": after, "limit": limit}
        return await self._peer.call("GET", f"{HERE}/people", type=PeoplePage, params=params)

    async def change_roles(self, name: str, roles: tuple[Role, ...]) -> Person:
        """Give these roles and no others."""
        return await self._peer.call(
            "PUT", of("people", name, "roles"), type=Person, json={"roles": roles}
        )

    async def block(self, name: str) -> Person:
        """Shut somebody out."""
        return await self._peer.call("POST", of("people", name, "block"), type=Person)

    async def unblock(self, name: str) -> Person:
        """Let somebody in again."""
        return await self._peer.call("POST", of("people", name, "unblock"), type=Person)

    async def set_password(self, name: str, password: str | None = None) -> NewPerson:
        """Give somebody a new password."""
        return await self._peer.call(
            "POST", of("people", name, "password"), type=NewPerson, json={"password": password}
        )

    async def audit(
        self, filter_: AuditFilter = EVERY_LINE, *, before: int | None = None, limit: int = 100
    ) -> AuditPage:
        """One page of the audit log, newest first."""
        params = {
            "who": filter_.who,
            "target": filter_.target,
            "action": [action.value for action in filter_.actions],
            "since": filter_.since and filter_.since.isoformat(),
            "until": filter_.until and filter_.until.isoformat(),
            "before": before,
            "limit": limit,
        }
        return await self._peer.call("GET", f"{HERE}/audit", type=AuditPage, params=params)

    async def sign_in(self, name: str, password: str) -> Tokens:
        """Begin a session."""
        given = {"name": name, "password": password}
        return await self._peer.call("POST", f"{HERE}/sign-in", type=Tokens, json=given)

    async def refresh(self, refresh_token: str) -> Tokens:
        """The next two tokens of a session."""
        given = {"refresh_token": refresh_token}
        return await self._peer.call("POST", f"{HERE}/refresh", type=Tokens, json=given)

    async def sign_out(self, refresh_token: str) -> None:
        """End the session of this refresh token."""
        given = {"refresh_token": refresh_token}
        await self._peer.call("POST", f"{HERE}/sign-out", type=type(None), json=given)

    async def sign_out_everywhere(self, name: str) -> int:
        """End all sessions of somebody; how many."""
        ended = await self._peer.call(
            "POST", of("people", name, "sign-out-everywhere"), type=dict[str, int]
        )
        return ended["sessions"]

    async def change_password(self, name: str, old: str, new: str) -> None:
        """Change a password, given the old one."""
        given = {"old": old, "new": new}
        await self._peer.call(
            "POST", of("people", name, "password-change"), type=type(None), json=given
        )

    async def create_key(
        self,
        person: str,
        name: str,
        scopes: tuple[Scope, ...],
        *,
        expires_at: datetime | None = None,
    ) -> NewKey:
        """Make a key."""
        wanted = {"name": name, "scopes": scopes, "expires_at": expires_at}
        return await self._peer.call("POST", of("people", person, "keys"), type=NewKey, json=wanted)

    async def keys(self, person: str) -> tuple[Key, ...]:
        """All keys of a person, oldest first."""
        return await self._peer.call("GET", of("people", person, "keys"), type=tuple[Key, ...])

    async def revoke_key(self, person: str, key_id: str) -> Key:
        """End a key for good."""
        return await self._peer.call("DELETE", of("people", person, "keys", key_id), type=Key)

    async def caller_by_key(self, digest: str) -> Caller | None:
        """Who is behind the key of this SHA-256 (in hex)."""
        with acting_as(SYSTEM):
            found: Caller | None = await self._peer.call(
                "GET", of("system", "callers", "keys", digest), type=_PERHAPS
            )
        return found

    async def caller_by_session(self, session: str) -> Caller | None:
        """Who is behind a session."""
        with acting_as(SYSTEM):
            found: Caller | None = await self._peer.call(
                "GET", of("system", "callers", "sessions", session), type=_PERHAPS
            )
        return found

    async def changes(self, after: int) -> Changes:
        """Whose rights, keys or sessions have changed since a revision."""
        with acting_as(SYSTEM):
            return await self._peer.call(
                "GET", system("changes"), type=Changes, params={"after": after}
            )

    async def keys_used(self, uses: tuple[KeyUse, ...]) -> None:
        """Write down when keys were last used."""
        with acting_as(SYSTEM):
            await self._peer.call("POST", system("keys-used"), type=type(None), json=uses)

    async def token_keys(self) -> tuple[TokenKey, ...]:
        """The public keys of access tokens that are valid now."""
        with acting_as(SYSTEM):
            return await self._peer.call("GET", system("token-keys"), type=tuple[TokenKey, ...])

    async def tell_refused(self, person: str, what: str, about: str = "") -> None:
        """Write that somebody was refused something."""
        refusal = {"person": person, "what": what, "about": about}
        with acting_as(SYSTEM):
            await self._peer.call("POST", system("refusals"), type=type(None), json=refusal)
