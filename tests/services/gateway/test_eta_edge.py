"""The fast lane stands behind the same door: limits, scopes, headers, origins, bodies."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import aiohttp
import pytest

from foodex.core.access import KeyAccess, Principal, Role
from foodex.core.clock import SystemClock
from foodex.core.context import address
from foodex.core.errors import NotAuthenticated
from foodex.core.settings import HttpSettings, LimitsSettings
from foodex.domain.forecasts import Answered, Ask, Forecast, Source
from foodex.services.gateway.app import create_gateway
from foodex.services.gateway.limiter import GatewayLimiter
from tests.support.serving import serve

PATH = "/api/v1/eta"


class Keys(KeyAccess):
    """A key is told by its scope."""

    __slots__ = ("addresses",)

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.addresses: list[str] = []

    async def authenticate(self, headers: Mapping[str, str]) -> Principal | None:
        self.addresses.append(address())
        key = headers.get("x-api-key")
        if key == "wrong":
            raise NotAuthenticated
        if key is None:
            return None
        scopes = frozenset({key})
        return Principal("ada", frozenset({Role.CLIENT}), "ada", f"id-of-{key}", scopes)


class MlDouble:
    async def answers(self, asks: Sequence[Ask]) -> list[Answered]:
        told = Forecast(quantiles_minutes=(9.0,) * 7, source=Source.MODEL, degraded=False)
        return [Answered(forecast=told, features=None, inputs=b"{}")] * len(asks)


@pytest.fixture
def access() -> Keys:
    return Keys("")


@pytest.fixture
async def url(access: Keys) -> AsyncIterator[str]:
    limits = LimitsSettings(key_per_minute=4, address_per_minute=2)
    ml: Any = MlDouble()
    app = create_gateway(
        routers={},
        ml=ml,
        access=access,
        settings=HttpSettings(
            trusted_proxies=("127.0.0.1",), cors_origins=("https://shop.example",), behind_tls=True
        ),
        limiter=GatewayLimiter(limits, clock=SystemClock()),
    )
    async with serve(app) as address:
        yield address + PATH


async def ask(url: str, key: str | None, **headers: str) -> aiohttp.ClientResponse:
    given = headers | ({"x-api-key": key} if key else {})
    async with aiohttp.ClientSession() as session:
        answer = await session.post(url, data=b"{}", headers=given)
        await answer.read()
        return answer


async def test_a_key_with_the_scope_is_let_in_until_its_limit(url: str) -> None:
    for _ in range(4):
        answer = await ask(url, "eta")
        assert answer.status == 200
        assert answer.headers["ratelimit-policy"] == '"key";q=4;w=60'
        assert answer.headers["ratelimit"].startswith('"key";r=')
    # A minute may begin in between; eight more in a row reach the limit of either.
    refused = [await ask(url, "eta") for _ in range(8)]
    last = refused[-1]
    assert last.status == 429
    assert last.content_type == "application/problem+json"
    assert 1 <= int(last.headers["retry-after"]) <= 60
    assert last.headers["ratelimit"].startswith('"key";r=0;t=')
    assert last.headers["x-frame-options"] == "DENY"


async def test_a_key_without_the_scope_and_nobody_are_refused(url: str) -> None:
    assert (await ask(url, "balance:read")).status == 403
    assert (await ask(url, None)).status == 401
    assert {(await ask(url, "wrong")).status for _ in range(4)} == {401, 429}


async def test_the_edge_is_all_there(url: str, access: Keys) -> None:
    answer = await ask(
        url, "eta", **{"x-forwarded-for": "203.0.113.9", "origin": "https://shop.example"}
    )
    assert (await answer.json())["median_minutes"] == 9
    assert access.addresses == ["203.0.113.9"]
    for name, value in {
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
        "cache-control": "no-store",
        "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
        "strict-transport-security": "max-age=31536000",
        "access-control-allow-origin": "https://shop.example",
    }.items():
        assert answer.headers.getall(name) == [value]


@pytest.mark.parametrize(
    "body", ['{"a":' * 10_000, '{"a":' + "[" * 10_000 + "]" * 10_000 + "}"], ids=["open", "closed"]
)
async def test_an_order_nested_too_deep_cannot_be_read(url: str, body: str) -> None:
    async with (
        aiohttp.ClientSession(headers={"x-api-key": "eta"}) as session,
        session.post(url, data=body.encode()) as answer,
    ):
        assert answer.status == 400
        assert "nested too deep" in await answer.text()
