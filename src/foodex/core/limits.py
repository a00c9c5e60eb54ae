"""How many requests a caller may send: what the edge asks before it lets one in."""

from collections.abc import Mapping
from typing import Final, Protocol

from foodex.core.access import Access, Principal
from foodex.core.context import address
from foodex.core.errors import NotAuthenticated, TooManyRequests

RawHeaders = tuple[tuple[bytes, bytes], ...]


class OverLimit(TooManyRequests):
    """Too many requests; try again later."""

    def __init__(self, message: str, *, retry_after_seconds: float, headers: RawHeaders) -> None:
        super().__init__(message, retry_after_seconds=retry_after_seconds)
        self.headers = headers


class Limiter(Protocol):
    """Counts requests; quick, since it is asked for every one."""

    def take(self, principal: Principal | None, address: str) -> RawHeaders:
        """Count a request of `principal`, or of an address for nobody in particular.

        Gives headers that tell how many are left; raises `OverLimit` where none is.
        """
        ...


class _Unlimited:
    def take(self, principal: Principal | None, address: str) -> RawHeaders:
        return ()


UNLIMITED: Final[Limiter] = _Unlimited()


async def admit(
    access: Access, limiter: Limiter, headers: Mapping[str, str]
) -> tuple[Principal | None, RawHeaders]:
    """Who sent these headers, counted: a wrong key counts for its address, as no key does.

    Raises `NotAuthenticated` and `OverLimit`.
    """
    try:
        principal = await access.authenticate(headers)
    except NotAuthenticated:
        limiter.take(None, address())
        raise
    return principal, limiter.take(principal, address())
