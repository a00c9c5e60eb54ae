"""Guessing is held off, for names that there are and for names that there are not alike.

A wrong password counts three times: for the name from its address, which soon holds off a guesser
and nobody else; for the name from anywhere; and for the address. A right one is given back.
"""

import hashlib
import ipaddress
import math
from typing import Final

from foodex.core.context import address
from foodex.core.errors import TooManyRequests
from foodex.core.settings import AccountsSettings
from foodex.ports.rates import Rate, Rates

_MINUTE: Final = 60
_HOUR: Final = 3_600


class Guessing:
    """Counts guesses in `rates`, which is this process's or all processes'."""

    def __init__(self, *, rates: Rates, settings: AccountsSettings) -> None:
        window = settings.guess_window_seconds
        self._rates = rates
        self._pair = Rate(
            name="guess-pair", amount=settings.guesses_per_name_and_address, seconds=window
        )
        self._name = Rate(name="guess-name", amount=settings.guesses_per_name, seconds=window)
        self._address = Rate(
            name="guess-address", amount=settings.guesses_per_address, seconds=window
        )
        self._registrations = Rate(
            name="register", amount=settings.registrations_per_address, seconds=_HOUR
        )
        self._failures = Rate(
            name="audit-failures", amount=settings.audit_failures_per_minute, seconds=_MINUTE
        )
        self._held = Rate(name="audit-held", amount=1, seconds=_MINUTE)
        self._refusal = Rate(name="audit-refusal", amount=1, seconds=_MINUTE)
        self._refusals = Rate(
            name="audit-refusals", amount=settings.audit_failures_per_minute, seconds=_MINUTE
        )

    async def take(self, name: str) -> None:
        """Count a guess before it is looked at; `TooManyRequests` for one too many.

        What an address may not do any more does not count against the names it tries.
        """
        for rate, *whose in self._counts(name):
            await self._take(rate, *whose)

    async def give_back(self, name: str, *, right: bool) -> None:
        """Take back the count of what was `right`, or was not looked at after all."""
        for rate, *whose in self._counts(name):
            if right and rate is self._pair:
                await self._rates.clear(rate, *whose)
            else:
                await self._rates.give_back(rate, *whose)

    async def register(self) -> None:
        """Count a registration; `TooManyRequests` for one too many from this address."""
        if source():
            await self._take(self._registrations, source())

    async def tell_failure(self) -> bool:
        """Whether one more failure fits into the audit log, which an attacker cannot flood."""
        return (await self._rates.take(self._failures)).allowed

    async def tell_held(self, name: str) -> bool:
        """Whether it is time to write again that this guesser is held off."""
        return (await self._rates.take(self._held, _hidden(name), source())).allowed

    async def tell_refusal(self, kind: str, *whose: str) -> bool:
        """Whether it is time to write again that somebody was refused something."""
        again = await self._rates.take(self._refusal, kind, *whose)
        return again.allowed and (await self._rates.take(self._refusals, kind)).allowed

    def _counts(self, name: str) -> tuple[tuple[Rate, *tuple[str, ...]], ...]:
        hidden, where = _hidden(name), source()
        counts: tuple[tuple[Rate, *tuple[str, ...]], ...] = (
            (self._pair, hidden, where),
            (self._name, hidden),
        )
        # Without an address all would share the one count of nowhere.
        return ((self._address, where), *counts) if where else counts

    async def _take(self, rate: Rate, *whose: str) -> None:
        allowance = await self._rates.take(rate, *whose)
        if not allowance.allowed:
            raise TooManyRequests(
                "Too many attempts; try again later",
                retry_after_seconds=max(1, math.ceil(allowance.reset_seconds)),
            )


def source() -> str:
    """Where the request came from, as it counts: an IPv6 address by its network, which is one's."""
    try:
        parsed = ipaddress.ip_address(address())
    except ValueError:
        return address()
    if parsed.version == 4:
        return str(parsed)
    mapped = parsed.ipv4_mapped
    return str(mapped or ipaddress.ip_network((parsed, 64), strict=False))


def _hidden(name: str) -> str:
    # People type their password where their name belongs; it is not for Redis to keep.
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:32]
