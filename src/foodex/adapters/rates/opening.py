"""Counts that processes share, behind a URL."""

from foodex.core.errors import FieldProblem, InvalidInput
from foodex.ports.rates import SharedCounts


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
