"""Who is behind credentials, for gateways that keep the answer until they are told of a change."""

from collections.abc import Callable

from foodex.core.clock import Clock
from foodex.core.sql import Database
from foodex.domain.people import Caller, Changes, KeyUse, TokenKey
from foodex.services.accounts import key_rows, people_rows, session_rows
from foodex.services.accounts.tokens import SigningKeys


class Callers:
    """Implements `ports.accounts.Callers`."""

    def __init__(self, *, database: Database, signing: SigningKeys, clock: Clock) -> None:
        self._database, self._signing, self._clock = database, signing, clock
        self._listeners: list[Callable[[str], None]] = []

    def listen(self, listener: Callable[[str], None]) -> None:
        """Have this called with the name of each person who was changed in this process."""
        self._listeners.append(listener)

    def tell(self, person: str) -> None:
        """Tell the listeners of a change, once it is committed."""
        for listener in self._listeners:
            listener(person)

    async def caller_by_key(self, digest: str) -> Caller | None:
        """Who is behind the key of this SHA-256 (in hex); None where it opens nothing."""
        async with self._database.connect() as connection:
            found = await key_rows.by_digest(connection, digest)
        if found is None:
            return None
        key, row = found
        person = people_rows.stored(row).person
        over = key.expires_at is not None and key.expires_at <= self._clock.now()
        if over or person.blocked_at is not None:
            return None
        return Caller(
            person=person.name,
            roles=person.roles,
            account=person.account,
            key_id=key.id,
            scopes=key.scopes,
            expires_at=key.expires_at,
        )

    async def caller_by_session(self, session: str) -> Caller | None:
        """Who is behind a session; None where it has ended."""
        async with self._database.connect() as connection:
            row = await session_rows.open_session(connection, session)
        if row is None or row.until <= self._clock.now():
            return None
        person = people_rows.stored(row).person
        if person.blocked_at is not None:
            return None
        return Caller(
            person=person.name, roles=person.roles, account=person.account, expires_at=row.until
        )

    async def changes(self, after: int) -> Changes:
        """Whose rights, keys or sessions have changed since a revision."""
        async with self._database.connect() as connection:
            return await people_rows.changes(connection, after)

    async def keys_used(self, uses: tuple[KeyUse, ...]) -> None:
        """Write down when keys were last used."""
        if uses:
            async with self._database.transaction() as connection:
                await key_rows.used(connection, uses)

    async def token_keys(self) -> tuple[TokenKey, ...]:
        """The public keys of access tokens that are valid now."""
        return self._signing.public()
