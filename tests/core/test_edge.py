"""The edge: whence, how many, and what browsers may do with the answer."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from fastapi import APIRouter, Response

from foodex.core.access import KeyAccess, Principal, Role, acting_as, allow, public
from foodex.core.context import address, set_address
from foodex.core.errors import InvalidInput
from foodex.core.http import create_app, open_to_origins
from foodex.core.limits import UNLIMITED, Limiter, OverLimit, RawHeaders
from foodex.core.peer import Peer
from foodex.core.settings import HttpSettings, load_settings
from tests.support.serving import serve

KEY = "a-key-for-tests"
router = APIRouter()


@router.get("/whence", dependencies=[allow(Role.ADMIN)])
async def whence() -> str:
    return address()


@router.get("/page", dependencies=[public])
async def page() -> Response:
    own = {"content-security-policy": "default-src 'self'", "cache-control": "max-age=60"}
    return Response("<p>", headers=own, media_type="text/html")


@router.post("/api/list", dependencies=[allow(Role.ADMIN)])
async def take_list(items: list[int]) -> int:
    return len(items)


@router.post("/api/nothing", dependencies=[allow(Role.ADMIN)])
async def take_nothing() -> None:
    return None


class Few:
    """Lets a caller in twice."""

    def __init__(self) -> None:
        self.seen: list[tuple[str | None, str]] = []

    def take(self, principal: Principal | None, address: str) -> RawHeaders:
        self.seen.append((principal.name if principal else None, address))
        if len(self.seen) > 2:
            headers = ((b"ratelimit", b'"key";r=0;t=7'),)
            raise OverLimit("Too many", retry_after_seconds=7, headers=headers)
        return ((b"ratelimit", b'"key";r=%d;t=7' % (2 - len(self.seen))),)


@asynccontextmanager
async def probe(limiter: Limiter = UNLIMITED, **settings: Any) -> AsyncIterator[str]:
    chosen = HttpSettings(max_body_bytes=50_000, **settings)
    app = create_app(
        "probe", router=router, access=KeyAccess(KEY), settings=chosen, limiter=limiter
    )
    open_to_origins(app, chosen)
    async with serve(app) as url:
        yield url


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(headers={"authorization": f"Bearer {KEY}"}) as session:
        yield session


USUAL = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "cache-control": "no-store",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


@pytest.mark.parametrize("path", ["/whence", "/nowhere", "/health/live", "/metrics", "/page"])
async def test_every_answer_says_what_browsers_may_do(
    http: aiohttp.ClientSession, path: str
) -> None:
    async with probe() as url, http.get(url + path) as answer:
        own = {"content-security-policy": "default-src 'self'", "cache-control": "max-age=60"}
        expected = USUAL | own if path == "/page" else USUAL
        assert {name: answer.headers.getall(name) for name in expected} == {
            name: [value] for name, value in expected.items()
        }
        assert "strict-transport-security" not in answer.headers
        assert "access-control-allow-origin" not in answer.headers


async def test_errors_of_the_edge_say_it_too(http: aiohttp.ClientSession) -> None:
    wrong = {"authorization": "Bearer wrong"}
    async with probe() as url, http.get(url + "/whence", headers=wrong) as answer:
        assert answer.status == 401
        assert USUAL.items() <= {k.lower(): v for k, v in answer.headers.items()}.items()


async def test_only_behind_tls_browsers_are_bound_to_it(http: aiohttp.ClientSession) -> None:
    async with probe(behind_tls=True) as url, http.get(url + "/whence") as answer:
        assert answer.headers["strict-transport-security"] == "max-age=31536000"


async def test_callers_are_let_in_while_the_limiter_says_so(http: aiohttp.ClientSession) -> None:
    few = Few()
    async with probe(few) as url:
        async with http.get(url + "/whence") as answer:
            assert (answer.status, answer.headers["ratelimit"]) == (200, '"key";r=1;t=7')
        async with http.get(url + "/whence", headers={"authorization": "Bearer wrong"}) as answer:
            assert answer.status == 401
        async with http.get(url + "/whence", headers={"authorization": "Bearer wrong"}) as answer:
            assert answer.status == 429
        async with http.get(url + "/whence") as answer:
            assert answer.status == 429
            assert answer.content_type == "application/problem+json"
            assert (await answer.json(content_type=None))["type"].endswith(":too-many-requests")
            assert answer.headers["retry-after"] == "7"
            assert answer.headers.getall("ratelimit") == ['"key";r=0;t=7']
        for path in ("/health/live", "/metrics"):
            async with http.get(url + path) as answer:
                assert answer.status == 200, "machines that watch are not counted"
    here = "127.0.0.1"
    assert few.seen == [("owner", here), (None, here), (None, here), ("owner", here)]


@pytest.mark.parametrize(
    ("proxies", "found"), [((), "127.0.0.1"), (("127.0.0.0/8",), "203.0.113.9")]
)
async def test_a_trusted_proxy_is_believed(
    http: aiohttp.ClientSession, proxies: tuple[str, ...], found: str
) -> None:
    headers = {"x-forwarded-for": "1.1.1.1, 203.0.113.9", "foodex-address": ""}
    async with (
        probe(trusted_proxies=proxies) as url,
        http.get(url + "/whence", headers=headers) as answer,
    ):
        assert await answer.json() == found


async def test_a_service_tells_another_whence_its_caller_is() -> None:
    async with probe() as url, Peer(url, KEY) as peer:
        set_address("203.0.113.9")
        with acting_as(Principal("ann", frozenset({Role.ADMIN}))):
            assert await peer.call("GET", "/whence", type=str) == "203.0.113.9"
        set_address("")
        assert await peer.call("GET", "/whence", type=str) == "127.0.0.1"


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [("https://shop.example", True), ("https://shop.example.evil", False), ("null", False)],
)
async def test_pages_of_listed_origins_may_call(
    http: aiohttp.ClientSession, origin: str, allowed: bool
) -> None:
    async with probe(cors_origins=("https://shop.example",)) as url:
        asks = {"origin": origin, "access-control-request-method": "POST"}
        asks["access-control-request-headers"] = "authorization,idempotency-key"
        async with http.options(url + "/api/list", headers=asks) as answer:
            assert (answer.status == 200) is allowed
            assert (answer.headers.get("access-control-allow-origin") == origin) is allowed
        for key in (KEY, "wrong"):
            sent = {"origin": origin, "authorization": f"Bearer {key}"}
            async with http.get(url + "/whence", headers=sent) as answer:
                assert (answer.headers.get("access-control-allow-origin") == origin) is allowed
                assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize(
    ("body", "kind", "status", "says"),
    [
        (b"[" * 10_000, "application/json", 400, "body"),
        (b"[" * 10_000 + b"]" * 10_000, "application/json", 400, "body"),
        (b'{"a":' * 5_000 + b"1" + b"}" * 5_000, "application/json", 400, "body"),
        (b"\xff\xfe", "application/json", 400, "body"),
        (b"[1]", "text/plain", 400, "send application/json"),
        (b"[1]", "multipart/form-data", 400, "send application/json"),
        (b"[1]", "application/json; charset=utf-8", 200, ""),
        (b"[1]", "application/vnd.shop+json", 200, ""),
        (b"[" + b"1," * 50_000 + b"1]", "application/json", 413, ""),
    ],
    ids=["open", "closed", "objects", "no-text", "text", "form", "json", "kind-of-json", "large"],
)
async def test_bodies_that_cannot_be_read(
    http: aiohttp.ClientSession, body: bytes, kind: str, status: int, says: str
) -> None:
    async with probe() as url:
        headers = {"content-type": kind}
        async with http.post(url + "/api/list", data=body, headers=headers) as answer:
            assert answer.status == status
            assert says in await answer.text()


async def test_a_body_that_nobody_reads_is_too_large_all_the_same(
    caplog: pytest.LogCaptureFixture,
) -> None:
    headers = {"authorization": f"Bearer {KEY}"}
    with caplog.at_level(logging.ERROR):
        async with (
            probe() as url,
            aiohttp.ClientSession(headers=headers) as session,
            session.post(url + "/api/nothing", data=b"x" * 60_000) as answer,
        ):
            assert (answer.status, answer.content_type) == (413, "application/problem+json")
            assert (await answer.json(content_type=None))["type"].endswith(":too-large")
            assert answer.headers["x-frame-options"] == "DENY"
    assert caplog.records == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("trusted_proxies", "10.0.0.0/33"),
        ("trusted_proxies", "proxy.example"),
        ("cors_origins", "*"),
        ("cors_origins", "shop.example"),
        ("cors_origins", "https://shop.example/"),
        ("cors_origins", "https://*.shop.example"),
    ],
)
def test_settings_that_open_too_much_are_refused(name: str, value: str) -> None:
    with pytest.raises(InvalidInput, match=name):
        load_settings(overrides={"http": {name: [value]}})
