"""Requests that are wrong to the byte: refused with the right status, and nothing is charged."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest

from foodex.adapters.payments.local import LocalPayments
from foodex.adapters.payments.signing import HEADER, sign
from foodex.core.clock import SystemClock
from foodex.domain.money import Money
from tests.support.lives import Nursery
from tests.support.paid import ETA, Shop
from tests.support.raw_http import Lost, Told, Wire, written

pytestmark = [pytest.mark.xdist_group("paid")]

NESTED = b"[" * 10_000 + b"]" * 10_000
ACCOUNTS = "/api/v1/accounts"


@pytest.fixture(scope="module")
def running(lives: Nursery, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """One that is shared: tests add, and never take away."""
    shop = Shop(lives, tmp_path_factory.mktemp("paid") / "state")
    shop.begin().wait()
    yield shop
    assert shop.life is not None
    shop.life.kill()


@pytest.fixture
async def shop(running: Shop) -> AsyncIterator[Shop]:
    """At the end the ledger holds, and whoever is asked answers still."""
    yield running
    await running.holds()
    assert (await running.ask("POST", ETA, {"items": 2})).status == 200


def _is_a_problem(told: Told, status: int) -> None:
    assert told.status == status, (told.status, told.body)
    assert told.headers["content-type"] == "application/problem+json"
    assert told.json["status"] == status
    assert told.json["request_id"] == told.headers["x-request-id"]
    for trace in (b"Traceback", b"sqlalchemy", b"sqlite", b".py", b"Error("):
        assert trace not in told.body


_ORDERS: list[tuple[bytes, int]] = [
    (b"", 400),
    (b"{", 400),
    (b"\xff\xfe", 400),
    (b'{"items":2}}', 400),
    (b'{"items":2', 400),
    (NESTED, 422),
    (b'{"x":' + NESTED + b"}", 400),
    (b'{"items":NaN}', 400),
    (b'{"items":Infinity}', 400),
    (b'{"distance_km":-Infinity}', 400),
    (b'{"distance_km":1e999}', 422),
    (b'{"store_id":"\\ud800"}', 400),
    (b"[]", 422),
    (b"null", 422),
    (b"NaN", 400),
    (b'{"items":-1}', 422),
    (b'{"items":1' + b"0" * 400 + b"}", 422),
    (b'{"items":1e300}', 422),
    (b'{"distance_km":-2}', 422),
    (b'{"subtotal_minor":-1}', 422),
    (b'{"placed_at":"yesterday"}', 422),
    (b'{"placed_at":"9999-12-31T23:59:59-14:00"}', 422),
    (b'{"store_lat":91}', 422),
    (b'{"items":{"a":1}}', 422),
    (b'{"items":[2]}', 422),
    (b'{"note":"' + b"x" * 70_000 + b'"}', 413),
]


async def test_orders_that_are_none(shop: Shop) -> None:
    key = await shop.client("orders", 100)
    wire = Wire(shop.port)
    answers = [await wire.ask(written("POST", ETA, body, key=key)) for body, _ in _ORDERS]
    wire.close()
    # Short, since a test runner that looks into ten thousand brackets is lost in them.
    told = [(body[:30], one.status) for (body, _), one in zip(_ORDERS, answers, strict=True)]
    assert told == [(body[:30], status) for body, status in _ORDERS]
    for one in answers:
        _is_a_problem(one, one.status)
    assert await shop.left("orders") == 100


@pytest.mark.parametrize("name", ["x" * 256, "é", "a\tb"], ids=["long", "accent", "tab"])
async def test_an_idempotency_key_is_plain_and_short(shop: Shop, name: str) -> None:
    key = await shop.client(f"plain-{len(name)}", 100)
    wire = Wire(shop.port)
    request = written("POST", ETA, b"{}", key=key, headers={"idempotency-key": name})
    _is_a_problem(await wire.ask(request), 422)
    wire.close()
    assert await shop.left(f"plain-{len(name)}") == 100


_AMOUNTS = (
    b"-5", b"0", b"1.5", b"1.0", b"1e30", b"1e999", b"1" + b"0" * 40, b"9" * 5_000, b"NaN",
    b"Infinity", b"-Infinity", b'"5"', b"true", b"null", b"[5]", b"{}", NESTED,
)  # fmt: skip


async def test_amounts_that_are_none(shop: Shop) -> None:
    await shop.client("amounts", 100)
    wire = Wire(shop.port)
    assert shop.life is not None
    for path in ("/top-ups", "/refunds", "/corrections", "/payments"):
        for amount in _AMOUNTS:
            if (path, amount) in (("/refunds", b"null"), ("/corrections", b"-5")):
                continue
            body = b'{"account":"amounts","charge":"x","note":"n","amount_minor":%b}' % amount
            told = await wire.ask(written("POST", ACCOUNTS + path, body, key=shop.life.key))
            assert told.status in (400, 422), (path, amount[:20], told)
            _is_a_problem(told, told.status)
    wire.close()
    assert await shop.left("amounts") == 100


async def test_a_notice_is_taken_once_and_only_when_it_is_new(shop: Shop) -> None:
    person = {"name": "payer", "password": "correct horse battery"}
    await shop.ok("POST", "/register", person)
    token = (await shop.ok("POST", "/sign-in", person))["access_token"]
    asked = await shop.ok("POST", "/payments", {"amount_minor": 500}, key=token)
    secret = (shop.state / "webhook-secret").read_text().strip()
    provider = LocalPayments(secret=secret, tolerance_seconds=300, clock=SystemClock())
    body, signed = provider.pay(asked["provider_id"], Money(amount_minor=500, currency="EUR"))
    now, place = datetime.now(UTC), f"{ACCOUNTS}/payments/notices"
    wire = Wire(shop.port)
    for at, signed_with, sent in (
        (now - timedelta(seconds=302), secret, body),
        (now + timedelta(seconds=360), secret, body),
        (now, "another-secret", body),
        (now, secret, body.replace(b"500", b"900")),
    ):
        headers = {HEADER: sign(signed_with, body, at)}
        _is_a_problem(await wire.ask(written("POST", place, sent, headers=headers)), 401)
    _is_a_problem(await wire.ask(written("POST", place, body)), 401)
    assert await shop.left("payer") == 0
    for _ in range(3):
        assert (await wire.ask(written("POST", place, body, headers=signed))).status == 204
    wire.close()
    assert await shop.left("payer") == 500


_LARGE = "x-padding: " + "x" * 600_000
_FRAMES: list[tuple[str, list[str], str]] = [
    ("two lengths", ["content-length: 2", "content-length: 11"], '{"items":2}'),
    ("a length below zero", ["content-length: -1"], "{}"),
    ("no number", ["content-length: two"], "{}"),
    ("a length and chunks", ["content-length: 2", "transfer-encoding: chunked"], "{}"),
    ("chunks that are none", ["transfer-encoding: chunked"], "zz\r\n{}\r\n0\r\n\r\n"),
    ("unknown coding", ["transfer-encoding: gzip"], "{}"),
    ("a large header", [_LARGE, "content-length: 2"], "{}"),
    ("many headers", [*(f"x-{n}: 1" for n in range(2_000)), "content-length: 2"], "{}"),
    ("no name", [": 1", "content-length: 2"], "{}"),
    ("a space in a name", ["x y: 1", "content-length: 2"], "{}"),
    ("a nul", ["x-nul: a\0b", "content-length: 2"], "{}"),
]


@pytest.mark.parametrize(("headers", "body"), [f[1:] for f in _FRAMES], ids=[f[0] for f in _FRAMES])
async def test_requests_that_are_framed_wrongly(shop: Shop, headers: list[str], body: str) -> None:
    name = f"framed-{[frame[1] for frame in _FRAMES].index(headers)}"
    key = await shop.client(name, 100)
    lines = [f"POST {ETA} HTTP/1.1", "host: x", f"authorization: Bearer {key}", *headers, "", ""]
    wire = Wire(shop.port)
    told: list[int] = []
    # Refused by the server itself, which says little or closes.
    with suppress(Lost):
        await wire.send("\r\n".join(lines).encode("latin-1") + body.encode())
        async with asyncio.timeout(10):
            told.append((await wire.answer()).status)
    wire.close(abort=True)
    assert not told or told[0] in (400, 413, 431), told
    assert await shop.left(name) == 100


async def test_lines_that_are_no_request(shop: Shop) -> None:
    for sent in (
        b"\0" * 1_000 + b"\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"POST /api/v1/eta\r\n\r\n",
        b"POST /api/v1/eta HTTP/9.9\r\nhost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"x" * 500_000,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 100,
    ):
        wire = Wire(shop.port)
        with suppress(Lost):
            await wire.send(sent)
            async with asyncio.timeout(10):
                told = await wire.answer()
                assert 400 <= told.status < 500 or told.status == 505, told
        wire.close(abort=True)
