"""API keys: made, shown once, listed, revoked.

A key reads `fdx_<id>_<secret><checksum>`: the prefix lets scanners of leaked secrets find it, the
checksum lets a mistyped one be refused without a look into the database, and 256 random bits make
a plain SHA-256 of it safe to keep, where a password needs a slow hash.
"""

import hashlib
import re
import secrets
import string
import zlib
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Final

from foodex.core.clock import Clock
from foodex.core.errors import Conflict, FieldProblem, InvalidInput, NotFound
from foodex.core.settings import AccountsSettings
from foodex.core.sql import Database
from foodex.domain.people import (
    Action,
    Key,
    NewKey,
    Scope,
    checked_key_name,
    checked_scopes,
)
from foodex.services.accounts import audit_log, key_rows, people_rows
from foodex.services.accounts.people_rows import Stored

PREFIX: Final = "fdx_"
_SIGNS: Final = string.digits + string.ascii_letters
_ID: Final = 10
_SECRET: Final = 43
"""Characters of 62: just over 256 bits."""
_CHECKSUM: Final = 6
_FORM: Final = re.compile(rf"fdx_[0-9A-Za-z]{{{_ID}}}_[0-9A-Za-z]{{{_SECRET + _CHECKSUM}}}")


class Keys:
    """Implements `ports.accounts.Keys`; `tell` learns whose keys have changed."""

    def __init__(
        self,
        *,
        database: Database,
        settings: AccountsSettings,
        clock: Clock,
        tell: Callable[[str], None],
    ) -> None:
        self._database, self._settings, self._clock = database, settings, clock
        self._tell = tell

    async def create_key(
        self,
        person: str,
        name: str,
        scopes: tuple[Scope, ...],
        *,
        expires_at: datetime | None = None,
    ) -> NewKey:
        """Make a key; its secret is in the answer and nowhere else."""
        name, scopes, now = checked_key_name(name), checked_scopes(scopes), self._clock.now()
        if expires_at is not None and (expires_at.tzinfo is None or expires_at <= now):
            problem = FieldProblem("expires_at", "must be in the future, with its zone")
            raise InvalidInput("The request cannot be used", problems=[problem])
        id_, secret = new_secret()
        key = Key(
            id=id_,
            person=person,
            name=name,
            scopes=scopes,
            created_at=now,
            expires_at=expires_at,
        )
        async with self._database.transaction() as connection:
            there(await people_rows.locked(connection, person))
            held = [
                one for one in await key_rows.of_person(connection, person) if not one.revoked_at
            ]
            if any(one.name == name for one in held):
                raise Conflict(f"There is a key '{name}' already; revoke it first")
            if len(held) >= (most := self._settings.keys_per_person):
                raise Conflict(f"There are {most} keys already; revoke one first")
            await key_rows.add(connection, key, digest(secret))
            detail = f"{key.id} '{name}' {' '.join(scopes)}"
            await audit_log.tell(connection, Action.KEY_CREATED, person, now, detail=detail)
        return NewKey(key=key, secret=secret)

    async def keys(self, person: str) -> tuple[Key, ...]:
        """All keys of a person, revoked ones too, oldest first."""
        async with self._database.connect() as connection:
            there(await people_rows.find(connection, person))
            return await key_rows.of_person(connection, person)

    async def revoke_key(self, person: str, key_id: str) -> Key:
        """End a key for good, within a second everywhere. Safe to repeat."""
        now = self._clock.now()
        async with self._database.transaction() as connection:
            there(await people_rows.locked(connection, person))
            key = await key_rows.find(connection, person, key_id)
            if key is None:
                raise NotFound("There is no such key")
            if key.revoked_at is not None:
                return key
            await key_rows.revoke(connection, key_id, now)
            detail = f"{key.id} '{key.name}'"
            await audit_log.tell(connection, Action.KEY_REVOKED, person, now, detail=detail)
            await people_rows.mark_changed(connection, person)
        self._tell(person)
        return replace(key, revoked_at=now)


def there(found: Stored | None) -> Stored:
    """Somebody who was looked for; `NotFound`."""
    if found is None:
        raise NotFound("There is nobody of that name")
    return found


def new_secret() -> tuple[str, str]:
    """A new key's id and the key."""
    id_ = _random(_ID)
    stem = f"{PREFIX}{id_}_{_random(_SECRET)}"
    return id_, stem + _checksum(stem)


def well_formed(text: str) -> bool:
    """Whether this can be a key at all: its form and its checksum are right."""
    return _FORM.fullmatch(text) is not None and _checksum(text[:-_CHECKSUM]) == text[-_CHECKSUM:]


def digest(secret: str) -> str:
    """What is kept of a key: its SHA-256, in hex."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _random(length: int) -> str:
    return "".join(secrets.choice(_SIGNS) for _ in range(length))


def _checksum(stem: str) -> str:
    rest, signs = zlib.crc32(stem.encode()), ""
    for _ in range(_CHECKSUM):
        rest, sign = divmod(rest, len(_SIGNS))
        signs += _SIGNS[sign]
    return signs
