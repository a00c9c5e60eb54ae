"""Counts of requests with the `limits` library: in memory, or in Redis among processes.

Windows are fixed: one counter per caller, at most twice the rate across the edge of two windows.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from limits import RateLimitItemPerSecond
from limits.aio.storage import RedisStorage, Storage
from limits.errors import StorageError

from foodex.core.errors import Unavailable
from foodex.ports.rates import Allowance, Rate


class LimitsRates:
    """Implements `ports.rates.Rates`."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    async def take(self, rate: Rate, *whose: str) -> Allowance:
        """Count one more of this caller's. What is refused is counted too."""
        key = _key(rate, whose)
        with _translated():
            count = await self._storage.incr(key, rate.seconds)
            until = await self._storage.get_expiry(key)
        return Allowance(
            allowed=count <= rate.amount,
            left=max(0, rate.amount - count),
            reset_seconds=min(max(0.0, until - time.time()), float(rate.seconds)),
        )

    async def give_back(self, rate: Rate, *whose: str) -> None:
        """Take one count back, of something that need not have counted."""
        with _translated():
            await self._storage.incr(_key(rate, whose), rate.seconds, amount=-1)

    async def clear(self, rate: Rate, *whose: str) -> None:
        """Forget this caller's count."""
        with _translated():
            await self._storage.clear(_key(rate, whose))

    async def close(self) -> None:
        """Let go of the connections to Redis, if there are any."""
        if isinstance(self._storage, RedisStorage):
            bridge: Any = self._storage.bridge
            await bridge.storage.aclose()


def _key(rate: Rate, whose: tuple[str, ...]) -> str:
    return RateLimitItemPerSecond(rate.amount, rate.seconds, namespace=rate.name).key_for(*whose)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except StorageError as error:
        raise Unavailable("Requests cannot be counted now; try again later") from error
