"""Where a request came from: what proxies tell is believed only of those that are trusted."""

import pytest

from foodex.core.addresses import Addresses, network_of

TRUSTED = ("10.0.0.0/8", "2001:db8:1::/48")


@pytest.mark.parametrize(
    ("trusted", "client", "told", "found"),
    [
        ((), "10.0.0.1", "203.0.113.9", "10.0.0.1"),
        (TRUSTED, "198.51.100.7", "203.0.113.9", "198.51.100.7"),
        (TRUSTED, "10.0.0.1", "203.0.113.9", "203.0.113.9"),
        (TRUSTED, "10.0.0.1", "1.1.1.1, 203.0.113.9", "203.0.113.9"),
        (TRUSTED, "10.0.0.1", "1.1.1.1, 203.0.113.9, 10.2.3.4", "203.0.113.9"),
        (TRUSTED, "10.0.0.1", "10.5.5.5, 10.2.3.4", "10.5.5.5"),
        (TRUSTED, "10.0.0.1", None, "10.0.0.1"),
        (TRUSTED, "10.0.0.1", "", "10.0.0.1"),
        (TRUSTED, "10.0.0.1", "unknown", "10.0.0.1"),
        (TRUSTED, "10.0.0.1", "203.0.113.9, nonsense, 10.2.3.4", "10.2.3.4"),
        (TRUSTED, "10.0.0.1", "203.0.113.9:4711", "203.0.113.9"),
        (TRUSTED, "10.0.0.1", "[2001:db8::9]:4711", "2001:db8::9"),
        (TRUSTED, "2001:db8:1::1", "2001:db8::9", "2001:db8::9"),
        (TRUSTED, None, "203.0.113.9", ""),
    ],
)
def test_the_nearest_that_is_no_trusted_proxy(
    trusted: tuple[str, ...], client: str | None, told: str | None, found: str
) -> None:
    addresses = Addresses(trusted)
    scope = {"client": (client, 4711) if client else None}
    headers = {} if told is None else {"x-forwarded-for": told}
    assert addresses.of(scope, headers) == found
    assert addresses.of(scope, headers) == found, "what is remembered says the same"


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:0:7:1:2:3:4", "2001:db8:0:7::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("::1", "::/64"),
        ("", ""),
        ("a:b", "a:b"),
    ],
)
def test_an_ipv6_caller_counts_with_its_whole_network(address: str, network: str) -> None:
    assert network_of(address) == network
