"""Passwords: hashed with argon2id in threads, a few at a time, and never on the event loop."""

import asyncio
import base64
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

from foodex.core.errors import Overloaded
from foodex.core.settings import AccountsSettings
from foodex.domain.people import PASSWORD_LIMIT, normal_password

_SALT_BYTES: Final = 16
_HASH_BYTES: Final = 32
_MOST_BYTES: Final = 4 * PASSWORD_LIMIT

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a password was right, and its hash at today's cost where the old one is cheaper."""

    right: bool
    new_hash: str | None = None


class Passwords:
    """Hashes and verifies. Raises `Overloaded` where too many passwords wait already."""

    def __init__(self, settings: AccountsSettings) -> None:
        memory, passes = settings.argon2_memory_kib, settings.argon2_passes
        self._hasher = PasswordHash(
            (
                Argon2Hasher(
                    time_cost=passes,
                    memory_cost=memory,
                    parallelism=1,
                    hash_len=_HASH_BYTES,
                    salt_len=_SALT_BYTES,
                ),
            )
        )
        # No password has this hash, and to find that out takes as long as with any other.
        self._nobodys = (
            f"$argon2id$v=19$m={memory},t={passes},p=1"
            f"${_base64(secrets.token_bytes(_SALT_BYTES))}${_base64(secrets.token_bytes(_HASH_BYTES))}"
        )
        self._turns = asyncio.Semaphore(settings.argon2_at_once)
        self._most = settings.argon2_at_once + settings.argon2_waiting
        self._inside = 0

    async def hash(self, password: str) -> str:
        """The hash to keep of a password that was checked."""
        return await self._in_turn(self._hasher.hash, password)

    async def verify(self, password: str, hashed: str | None) -> Verdict:
        """Whether a password has this hash; with None it has not, found out in the same time."""
        return await self._in_turn(self._verify, password, hashed)

    def _verify(self, password: str, hashed: str | None) -> Verdict:
        given = normal_password(password[:_MOST_BYTES]).encode("utf-8", "surrogatepass")
        possible = hashed is not None and max(len(given), len(password)) <= _MOST_BYTES
        right, new_hash = self._hasher.verify_and_update(
            given[:_MOST_BYTES], hashed or self._nobodys
        )
        return Verdict(True, new_hash) if right and possible else Verdict(False)

    async def _in_turn(self, function: Callable[..., T], *values: object) -> T:
        if self._inside >= self._most:
            raise Overloaded("Too many people sign in at once", retry_after_seconds=1)
        self._inside += 1
        try:
            async with self._turns:
                return await asyncio.to_thread(function, *values)
        finally:
            self._inside -= 1


def _base64(value: bytes) -> str:
    return base64.b64encode(value).rstrip(b"=").decode()
