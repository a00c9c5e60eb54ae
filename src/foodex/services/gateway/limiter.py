"""How many requests each caller may send through the public door in a minute."""

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final

import structlog

from foodex.core.access import Principal
from foodex.core.addresses import network_of
from foodex.core.clock import Clock
from foodex.core.errors import FoodexError
from foodex.core.limits import OverLimit, RawHeaders
from foodex.core.settings import LimitsSettings
from foodex.ports.rates import SharedCounts

WINDOW_SECONDS: Final = 60
MOST_ADDRESSES: Final = 100_000
"""Addresses counted one by one in a window; what comes beyond shares one count."""

log = structlog.get_logger("foodex.limits")


class _Count:
    """The requests of one caller in this window: here, told to the others, and theirs."""

    __slots__ = ("elsewhere", "here", "told")

    def __init__(self) -> None:
        self.here = self.told = self.elsewhere = 0


class GatewayLimiter:
    """Implements `core.limits.Limiter` with a counter per caller and minute.

    A caller is an API key, else a person, else an address. With `shared` counts, several processes
    add up what they counted every so often, so that together they let in a little more than the
    limit, and each the whole limit while the shared counts are away. The system's own key, whose
    principals have no account, is not limited.
    """

    def __init__(
        self, settings: LimitsSettings, *, clock: Clock, shared: SharedCounts | None = None
    ) -> None:
        self._key_limit, self._address_limit = settings.key_per_minute, settings.address_per_minute
        self._settle_seconds = settings.settle_seconds
        self._now: Callable[[], float] = lambda: clock.now().timestamp()
        self._shared = shared
        self._window = self._ends = 0
        self._counts: dict[str, _Count] = {}
        self._addresses = 0
        self._key_policy = _policy(b"key", self._key_limit)
        self._address_policy = _policy(b"address", self._address_limit)

    def take(self, principal: Principal | None, address: str) -> RawHeaders:
        """Count a request; headers that tell what is left, `OverLimit` where nothing is."""
        if principal is None:
            limit, policy, name = self._address_limit, self._address_policy, b"address"
            whose = "a " + network_of(address)
        elif principal.account is None:
            return ()
        else:
            limit, policy, name = self._key_limit, self._key_policy, b"key"
            whose = f"k {principal.key_id}" if principal.key_id else "p " + principal.name
        if not limit:
            return ()
        now = self._now()
        if not 0 < self._ends - now <= WINDOW_SECONDS:
            self._begin(now)
        count = self._counts.get(whose) or self._new(whose)
        left = limit - count.here - count.elsewhere - 1
        seconds = math.ceil(self._ends - now)
        if left < 0:
            raise self._refused(count, limit, policy, name, seconds)
        count.here += 1
        return (policy, (b"ratelimit", b'"%b";r=%d;t=%d' % (name, left, seconds)))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Adds up the counts of several processes while the block lasts."""
        if self._shared is None:
            yield
            return
        task = asyncio.create_task(self._keep_settling(self._shared))
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def settle(self) -> None:
        """Tell the others what was counted here since the last time, and hear of theirs."""
        if self._shared is None:
            return
        window, counts = self._window, self._counts
        news = {whose: c.here - c.told for whose, c in counts.items() if c.here != c.told}
        if not news:
            return
        sums = await self._shared.add(str(window), news, keep_seconds=2 * WINDOW_SECONDS)
        for whose, new in news.items():
            count = counts[whose]
            count.told += new
            count.elsewhere = sums[whose] - count.told

    def _begin(self, now: float) -> None:
        self._window = int(now // WINDOW_SECONDS)
        self._ends = (self._window + 1) * WINDOW_SECONDS
        self._counts, self._addresses = {}, 0

    def _new(self, whose: str) -> _Count:
        if whose.startswith("a "):
            self._addresses += 1
            if self._addresses > MOST_ADDRESSES:
                return self._counts.setdefault("a others", _Count())
        count = self._counts[whose] = _Count()
        return count

    def _refused(
        self, count: _Count, limit: int, policy: tuple[bytes, bytes], name: bytes, seconds: int
    ) -> OverLimit:
        return OverLimit(
            f"More than {limit} requests in a minute; the next minute begins in {seconds} s",
            retry_after_seconds=seconds,
            headers=(policy, (b"ratelimit", b'"%b";r=0;t=%d' % (name, seconds))),
        )

    async def _keep_settling(self, shared: SharedCounts) -> None:
        away = False
        while True:
            await asyncio.sleep(self._settle_seconds)
            try:
                await self.settle()
            except FoodexError as error:
                if not away:
                    log.warning("requests are counted by each process alone", error=str(error))
                away = True
            else:
                if away:
                    log.info("requests are counted together again")
                away = False


def _policy(name: bytes, limit: int) -> tuple[bytes, bytes]:
    return b"ratelimit-policy", b'"%b";q=%d;w=%d' % (name, limit, WINDOW_SECONDS)
