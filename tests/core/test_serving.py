"""The HTTP server: what it bears, how it stops, and what it says of broken requests."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import unquote

import pytest
from fastapi import FastAPI
from starlette.responses import StreamingResponse

from foodex.core import connection
from foodex.core.errors import Conflict
from foodex.core.http import App
from foodex.core.serving import serve

HOST = "127.0.0.1"
ASKED = b"GET /ask HTTP/1.1\r\nhost: here\r\n"


def app() -> FastAPI:
    """Answers, and tells without end."""
    found = FastAPI()

    @found.get("/ask")
    async def ask() -> dict[str, str]:
        return {"said": "yes"}

    @found.get("/endless")
    async def endless() -> StreamingResponse:
        async def pieces() -> AsyncIterator[bytes]:
            yield b"first"
            await asyncio.Event().wait()

        return StreamingResponse(pieces())

    return found


async def opened(url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A bare connection."""
    return await asyncio.open_connection(HOST, int(url.rsplit(":", 1)[1]))


async def said(url: str, request: bytes) -> tuple[int, bytes]:
    """Status and body of what is answered before the server hangs up."""
    reader, writer = await opened(url)
    writer.write(request)
    async with asyncio.timeout(10):
        whole = await reader.read()
    writer.close()
    head, _, body = whole.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


async def test_it_answers_one_request_after_another() -> None:
    async with serve(app(), host=HOST, port=0) as url:
        reader, writer = await opened(url)
        for _ in range(3):
            writer.write(ASKED + b"\r\n")
            assert b"200" in await reader.readline()
            await reader.readuntil(b'{"said":"yes"}')
        writer.close()


class Whole:
    """An app that answers in one piece; the path says with what value of a header."""

    def __init__(self) -> None:
        self.sent: list[bool] = []
        self.wait = asyncio.Event()
        self.wait.set()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        value = unquote(scope["path"].removeprefix("/")).encode()
        if value == b"slow":
            await self.wait.wait()
        answer = scope["extensions"][connection.ANSWER]
        fixed = connection.header_lines([(b"x-usual", b"yes")])
        done = await answer(send, 200, ((b"x-value", value),), fixed, b"said " + value)
        self.sent.append(done)
        if not done:
            headers = [(b"content-length", b"6")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": b"usual!"})


@asynccontextmanager
async def whole() -> AsyncIterator[tuple[str, Whole]]:
    found = Whole()
    outer = App()
    outer.outermost = found
    async with serve(outer, host=HOST, port=0) as url:
        yield url, found


async def test_an_answer_in_one_piece() -> None:
    async with whole() as (url, app_):
        reader, writer = await opened(url)
        for _ in range(2):
            writer.write(b"GET /a HTTP/1.1\r\nhost: here\r\n\r\n")
            head = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
            assert head[0] == b"HTTP/1.1 200 OK"
            assert {b"x-value: a", b"x-usual: yes", b"content-length: 6"} < set(head)
            assert any(line.startswith(b"date: ") for line in head)
            assert await reader.readexactly(6) == b"said a"
        writer.close()
        for last in (b"GET /a HTTP/1.1\r\nconnection: close\r\n\r\n", b"GET /a HTTP/1.0\r\n\r\n"):
            reader, writer = await opened(url)
            writer.write(last)
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
            assert b"connection: close" in head.split(b"\r\n")
            assert body == b"said a"
            writer.close()
        assert app_.sent == [True] * 4


async def test_a_value_that_ends_its_line_is_not_sent() -> None:
    async with whole() as (url, app_):
        request = b"GET /a%0d%0ax-admin:%20yes HTTP/1.1\r\nconnection: close\r\n\r\n"
        status, body = await said(url, request)
        assert (status, app_.sent) == (500, [])
        assert b"admin" not in body


async def test_requests_that_come_before_the_last_is_answered_keep_their_order() -> None:
    async with whole() as (url, app_):
        app_.wait.clear()
        reader, writer = await opened(url)
        writer.write(b"GET /slow HTTP/1.1\r\nhost: h\r\n\r\nGET /a HTTP/1.1\r\nhost: h\r\n\r\n")
        await asyncio.sleep(0.05)
        app_.wait.set()
        first = await reader.readuntil(b"usual!")
        second = await reader.readuntil(b"said a")
        assert b"said a" not in first
        assert b"x-value: a" in second
        writer.close()
        # The server reads the second while the first is worked on, so that goes the usual way.
        assert app_.sent == [False, True]


async def test_what_is_no_request_is_refused_with_a_problem() -> None:
    async with serve(app(), host=HOST, port=0) as url:
        status, body = await said(url, b"\x16\x03\x01 this is no HTTP\r\n\r\n")
    problem = json.loads(body)
    assert status == problem["status"] == 400
    assert problem["type"]


async def test_a_head_without_end_is_not_read_on() -> None:
    sent = 0

    async def pour(writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        while True:
            writer.write(b"a" * 16_384)
            await writer.drain()
            # Lets the server read, or hang up.
            await asyncio.sleep(0.001)
            sent += 16_384

    async with serve(app(), host=HOST, port=0) as url:
        _, writer = await opened(url)
        writer.write(ASKED + b"x-long: ")
        with pytest.raises(ConnectionError):
            await asyncio.wait_for(pour(writer), 20)
        writer.close()
    assert sent < 100 * connection.HEAD_BYTES


async def test_there_may_be_as_many_headers_as_anybody_needs_and_no_more() -> None:
    async with serve(app(), host=HOST, port=0) as url:
        for many, expected in ((126, 200), (127, 400)):
            headers = b"".join(b"x-%d: 1\r\n" % number for number in range(many))
            status, _ = await said(url, ASKED + b"connection: close\r\n" + headers + b"\r\n")
            assert status == expected


async def test_a_head_in_pieces_is_read() -> None:
    async with serve(app(), host=HOST, port=0) as url:
        reader, writer = await opened(url)
        for piece in (ASKED[:9], ASKED[9:], b"connection: close\r\n", b"\r\n"):
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        assert (await reader.read()).endswith(b'{"said":"yes"}')
        writer.close()


@pytest.mark.parametrize("sent", [b"", ASKED, ASKED + b"\r\n" + ASKED])
async def test_who_does_not_go_on_is_hung_up_on(
    monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(connection, "HEAD_SECONDS", 0.2)
    async with serve(app(), host=HOST, port=0) as url:
        reader, writer = await opened(url)
        writer.write(sent)
        async with asyncio.timeout(10):
            await reader.read()
        writer.close()


async def test_stopping_does_not_wait_for_endless_answers() -> None:
    async with asyncio.timeout(10):
        async with serve(app(), host=HOST, port=0) as url:
            reader, writer = await opened(url)
            writer.write(b"GET /endless HTTP/1.1\r\nhost: here\r\n\r\n")
            await reader.readuntil(b"first")
        writer.close()


async def test_a_port_that_is_taken_is_told() -> None:
    async with serve(app(), host=HOST, port=0) as url:
        port = int(url.rsplit(":", 1)[1])
        with pytest.raises(Conflict, match=f"Port {port}"):
            async with serve(app(), host=HOST, port=port):
                pass


async def test_what_fails_while_starting_is_raised() -> None:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        raise Conflict("not today")
        yield

    with pytest.raises(Conflict, match="not today"):
        async with serve(FastAPI(lifespan=lifespan), host=HOST, port=0):
            pass
