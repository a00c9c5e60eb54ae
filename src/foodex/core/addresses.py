"""Where a request came from, through proxies that are believed and no others."""

from collections.abc import Iterable, Mapping
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, Final

_MOST_KNOWN: Final = 1_000


class Addresses:
    """Finds the address of callers behind `trusted` proxies (addresses or networks)."""

    __slots__ = ("_known", "_trusted")

    def __init__(self, trusted: Iterable[str] = ()) -> None:
        self._trusted = tuple(ip_network(one, strict=False) for one in trusted)
        self._known: dict[str, bool] = {}

    def of(self, scope: Mapping[str, Any], headers: Mapping[str, str]) -> str:
        """The nearest address that is not a trusted proxy's.

        `x-forwarded-for` grows to the right, each proxy adding whom it heard: it is read from the
        right and only as far as trusted proxies wrote it, since the rest is the caller's to forge.
        """
        client = scope.get("client")
        nearest: str = client[0] if client else ""
        if not self._trusted or not self._trusts(nearest):
            return nearest
        for told in reversed(headers.get("x-forwarded-for", "").split(",")):
            given = _plain(told)
            if given is None:
                break
            nearest = given
            if not self._trusts(given):
                break
        return nearest

    def _trusts(self, address: str) -> bool:
        known = self._known.get(address)
        if known is None:
            known = _within(address, self._trusted)
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            self._known[address] = known
        return known


def network_of(address: str) -> str:
    """What is counted as one address: an IPv4 address, or the /64 that an IPv6 caller is given."""
    if ":" not in address:
        return address
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address):
        return address
    if parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return str(IPv6Network((int(parsed) >> 64 << 64, 64)))


def _within(address: str, networks: Iterable[IPv4Network | IPv6Network]) -> bool:
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    return any(parsed in network for network in networks)


def _plain(told: str) -> str | None:
    # Some proxies tell a port too: `192.0.2.1:4711`, `[2001:db8::1]:4711`.
    text = told.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return str(ip_address(text))
    except ValueError:
        return None
