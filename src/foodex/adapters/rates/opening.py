"""The counts behind a URL."""

from limits.aio.storage import MemoryStorage, RedisStorage

from foodex.adapters.rates.limits import LimitsRates
from foodex.core.errors import FieldProblem, InvalidInput
from foodex.ports.rates import SharedCounts


def open_rates(url: str, *, prefix: str = "foodex") -> LimitsRates:
    """Counts in this process for `memory://`, among processes for `redis://HOST:PORT/NUMBER`."""
    scheme = url.partition("://")[0]
    if scheme == "memory":
        return LimitsRates(MemoryStorage(wrap_exceptions=True))
    if scheme in ("redis", "rediss", "unix"):
        storage = RedisStorage(
            f"async+{url}",
            wrap_exceptions=True,
            implementation="redispy",
            key_prefix=prefix,
            socket_timeout=2.0,
            socket_connect_timeout=2.0,
        )
        return LimitsRates(storage)
    problem = FieldProblem("cache.url", f"'{scheme}' is neither memory nor redis")
    raise InvalidInput("The settings cannot be used", problems=[problem])


def open_shared_counts(url: str) -> SharedCounts | None:
    """Sums in Redis for `redis://HOST:PORT/NUMBER`; None for `memory://`, where nothing is shared.

    Raises `InvalidInput` for another scheme.
    """
    scheme = url.partition("://")[0]
    if scheme == "memory":
        return None
    if scheme in ("redis", "rediss", "unix"):
        # Late: whoever has no such server need not hold its client in memory.
        from foodex.adapters.rates.shared import RedisCounts

        return RedisCounts(url)
    problem = FieldProblem("limits.url", f"'{scheme}' is neither memory nor redis")
    raise InvalidInput("The settings cannot be used", problems=[problem])
