"""The HTTP server: what it bears, how it stops, and what it says of broken requests."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from fastapi import FastAPI
from starlette.responses import StreamingResponse

from foodex.core import connection
from foodex.core.errors import Conflict
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
