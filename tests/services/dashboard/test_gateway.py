"""How pages reach the gateway, in this process and over HTTP: whole, streamed, broken off."""

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from foodex.core.access import EVERY_ROLE, Access, Principal, public
from foodex.core.context import address, set_address
from foodex.core.errors import FoodexError, InternalError, NotFound, TooLarge, Unavailable
from foodex.core.http import STREAMED, create_app
from foodex.core.settings import HttpSettings
from foodex.services.dashboard import gateway as module
from foodex.services.dashboard.gateway import AppWire, Gateway, HttpWire, part, token
from tests.support.serving import serve

PIECE = bytes(range(256)) * 256
PIECES = 400
TRUSTING = HttpSettings(trusted_proxies=("127.0.0.1",))


class Anybody(Access):
    async def authenticate(self, headers: Any) -> Principal | None:
        return Principal(headers.get("authorization", "nobody"), EVERY_ROLE)


class Far:
    """The app behind the wires, and what it saw."""

    def __init__(self) -> None:
        self.given = 0
        self.left = asyncio.Event()
        self.seen: dict[str, Any] = {}
        routes = APIRouter(prefix="/api/v1", dependencies=[public])
        routes.get("/file")(self.file)
        routes.get("/broken")(self.broken)
        routes.get("/fails")(self.fails)
        routes.get("/missing")(self.missing)
        routes.get("/compressed")(self.compressed)
        routes.get("/endless")(self.endless)
        routes.put("/file", max_body_size=STREAMED)(self.take)
        routes.get("/who")(self.who)
        routes.get("/called/{name}")(self.called)
        self.app: FastAPI = create_app(
            "gateway", router=routes, access=Anybody(), settings=TRUSTING
        )

    async def file(self) -> StreamingResponse:
        return StreamingResponse(self._pieces(), headers={"content-disposition": "attachment"})

    async def broken(self) -> StreamingResponse:
        return StreamingResponse(self._pieces(fail_after=3))

    async def endless(self) -> Response:
        return Endless(self)

    async def fails(self) -> Response:
        raise RuntimeError("on purpose")

    async def missing(self) -> Response:
        raise NotFound("There is no such thing")

    async def compressed(self, request: Request) -> dict[str, str]:
        return {"asked": request.headers.get("accept-encoding", "")}

    async def take(self, request: Request) -> dict[str, int]:
        size = pieces = 0
        async for piece in request.stream():
            size, pieces = size + len(piece), pieces + 1
        return {"size": size, "pieces": pieces}

    async def who(self, request: Request) -> dict[str, str]:
        return {
            "address": address(),
            "authorization": request.headers.get("authorization", ""),
            "query": request.url.query,
        }

    async def called(self, name: str) -> dict[str, str]:
        return {"name": name}

    async def _pieces(self, fail_after: int | None = None) -> AsyncIterator[bytes]:
        for number in range(PIECES):
            if number == fail_after:
                raise RuntimeError("on purpose")
            yield PIECE


class Endless(Response):
    """A body without end, that notes when nobody wants more of it."""

    def __init__(self, far: Far) -> None:
        super().__init__()
        self._far = far

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            while True:
                self._far.given += 1
                await send({"type": "http.response.body", "body": PIECE, "more_body": True})
        finally:
            self._far.left.set()


@asynccontextmanager
async def within(far: Far) -> AsyncIterator[Gateway]:
    yield Gateway(AppWire(far.app))


@asynccontextmanager
async def over_http(far: Far) -> AsyncIterator[Gateway]:
    async with serve(far.app) as url, HttpWire(url) as wire:
        yield Gateway(wire)


@pytest.fixture(params=[within, over_http], ids=["here", "apart"])
async def wired(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Gateway, Far]]:
    far = Far()
    async with request.param(far) as gateway:
        yield gateway, far


@pytest.fixture
async def here() -> AsyncIterator[tuple[Gateway, Far]]:
    far = Far()
    async with within(far) as gateway:
        yield gateway, far


async def test_answers_and_errors(wired: tuple[Gateway, Far]) -> None:
    gateway, _ = wired
    set_address("192.0.2.7")
    told = await gateway.get("/who", {"a": True, "b": ["x", "y&z"], "c": None, "d": ""})
    assert told == {"address": "192.0.2.7", "authorization": "", "query": "a=true&b=x&b=y%26z"}
    kept = token.set("the token")
    assert (await gateway.get("/who"))["authorization"] == "Bearer the token"
    token.reset(kept)
    with pytest.raises(NotFound, match="There is no such thing"):
        await gateway.get("/missing")
    with pytest.raises(InternalError):
        await gateway.get("/fails")
    with pytest.raises(NotFound):
        await gateway.post("/nowhere", {"a": 1})


async def test_a_name_stays_one_part_of_a_path(wired: tuple[Gateway, Far]) -> None:
    gateway, _ = wired
    for name in ("ada@x.example", "a b", "a?b=c#d", "заказы", "50%", "a%2Fb"):
        assert await gateway.get(f"/called/{part(name)}") == {"name": name}
    for name in ("", ".", "..", "../who"):
        with pytest.raises(NotFound):
            part(name)


async def test_large_bodies_stream_both_ways(wired: tuple[Gateway, Far]) -> None:
    gateway, _ = wired
    size = 0
    async with gateway.open("GET", "/file") as opened:
        assert opened.headers["content-disposition"] == "attachment"
        async for piece in opened.pieces:
            size += len(piece)
    assert size == PIECES * len(PIECE)

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(PIECES):
            yield PIECE

    told = await gateway.ask("PUT", "/file", body=pieces())
    assert told["size"] == PIECES * len(PIECE)
    assert told["pieces"] > 1


async def test_an_answer_too_large_to_show_is_not_kept(
    here: tuple[Gateway, Far], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_BYTES", 10 * len(PIECE))
    gateway, far = here
    with pytest.raises(TooLarge):
        await gateway.get("/endless")
    await far.left.wait()


async def test_an_answer_that_breaks_off_is_not_taken_for_whole(
    wired: tuple[Gateway, Far],
) -> None:
    gateway, _ = wired
    with pytest.raises((InternalError, Unavailable)):
        await gateway.get("/broken")


async def test_a_reader_who_leaves_ends_the_sending(here: tuple[Gateway, Far]) -> None:
    gateway, far = here
    async with gateway.open("GET", "/endless") as opened:
        await anext(opened.pieces)
    await far.left.wait()
    assert far.given < 10_000


async def test_a_slow_reader_holds_the_sender_back() -> None:
    far = Far()
    async with within(far) as gateway, gateway.open("GET", "/endless") as opened:
        await anext(opened.pieces)
        for _ in range(100):
            await asyncio.sleep(0)
        assert far.given < 20


async def test_a_caller_who_is_cancelled_leaves_nothing_behind(
    here: tuple[Gateway, Far],
) -> None:
    gateway, far = here
    reading = asyncio.Event()

    async def read() -> None:
        async with gateway.open("GET", "/endless") as opened:
            await anext(opened.pieces)
            reading.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(read())
    await reading.wait()
    task.cancel()
    await asyncio.wait([task])
    await far.left.wait()


async def test_an_upload_that_fails_is_told_to_who_sends_it(wired: tuple[Gateway, Far]) -> None:
    """The browser went away in the middle of a file."""
    gateway, _ = wired

    async def pieces() -> AsyncIterator[bytes]:
        yield PIECE
        raise ConnectionResetError("the browser is gone")

    with pytest.raises((FoodexError, ConnectionResetError)):
        await gateway.ask("PUT", "/file", body=pieces())


async def test_a_raw_app_that_raises_is_an_internal_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise RuntimeError("on purpose")

    with pytest.raises(InternalError):
        await Gateway(AppWire(app)).get("/any")
    gc.collect()
    assert "never retrieved" not in caplog.text


async def test_what_passes_between_is_not_compressed_and_sets_no_cookies() -> None:
    far = Far()
    async with over_http(far) as gateway:
        assert (await gateway.get("/compressed"))["asked"] == "identity"


async def test_a_gateway_out_of_reach_is_unavailable() -> None:
    far = Far()
    async with serve(far.app) as url:
        pass
    async with HttpWire(url) as wire:
        with pytest.raises(Unavailable):
            await Gateway(wire).get("/who")
