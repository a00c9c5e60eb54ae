"""The gateway's API as pages see it: asked in the name of whoever looks at the page."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final, Protocol, Self
from urllib.parse import quote, unquote, urlencode

import aiohttp
import msgspec
from starlette.types import ASGIApp, Message, Scope

from foodex.core.context import HEADER, address, request_id
from foodex.core.errors import InternalError, NotFound, TooLarge, Unavailable
from foodex.core.http import raise_problem

Query = Mapping[str, Any]
Body = bytes | AsyncIterator[bytes]

MOST_BYTES: Final = 64 << 20
"""Largest answer that is read whole; larger ones are streamed."""
_PREFIX: Final = "/api/v1"
_AHEAD: Final = 8

token: ContextVar[str] = ContextVar("foodex_dashboard_token", default="")
"""The access token of whoever is served; set by the session."""


@dataclass(frozen=True, slots=True)
class Opened:
    """An answer that has begun: its status, its headers (names in lower case), its body."""

    status: int
    headers: Mapping[str, str]
    pieces: AsyncIterator[bytes]


class Wire(Protocol):
    """Carries one request to the gateway; `Unavailable` where it is out of reach."""

    def send(
        self, method: str, target: str, headers: Mapping[str, str], body: Body
    ) -> AbstractAsyncContextManager[Opened]: ...


class Gateway:
    """Asks the API; whatever it answers with a problem is raised as the error it tells of."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def get(self, path: str, query: Query | None = None) -> Any:
        """The JSON at a path below `/api/v1`."""
        return await self.ask("GET", path, query=query)

    async def post(self, path: str, json: Any = None, *, query: Query | None = None) -> Any:
        """Send JSON; the JSON of the answer, or None where it has no body."""
        return await self.ask("POST", path, query=query, json=json)

    async def ask(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        json: Any = None,
        body: Body | None = None,
        headers: Mapping[str, str] | None = None,
        access_token: str | None = None,
    ) -> Any:
        """Ask and read the whole answer."""
        if json is not None:
            body = msgspec.json.encode(json)
        async with self.open(
            method, path, query=query, body=body, headers=headers, access_token=access_token
        ) as opened:
            told = await _whole(opened.pieces)
        return msgspec.json.decode(told) if told else None

    @asynccontextmanager
    async def open(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        body: Body | None = None,
        headers: Mapping[str, str] | None = None,
        access_token: str | None = None,
    ) -> AsyncIterator[Opened]:
        """Ask, and have the answer piece by piece within the block: for files."""
        sent = {"accept": "application/json", "content-type": "application/json", HEADER: ""}
        sent |= headers or {}
        sent[HEADER] = request_id()
        known = token.get() if access_token is None else access_token
        if known:
            sent["authorization"] = f"Bearer {known}"
        async with self._wire.send(
            method, _PREFIX + path + _encoded(query), sent, b"" if body is None else body
        ) as opened:
            if opened.status >= 400:
                later = opened.headers.get("retry-after")
                raise_problem(opened.status, await _whole(opened.pieces), retry_after=later)
            yield opened


class AppWire:
    """To a gateway in this process: its app is called, nothing goes over a socket."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    @asynccontextmanager
    async def send(
        self, method: str, target: str, headers: Mapping[str, str], body: Body
    ) -> AsyncIterator[Opened]:
        """See `Wire`."""
        call = _Call(body)
        # A task has a context of its own: who acts there is not who acts here.
        task = asyncio.create_task(self._run(_scope(method, target, headers), call))
        try:
            yield await call.opened()
        finally:
            task.cancel()
            await asyncio.wait([task])
            if not task.cancelled():
                # The app's own edge has logged it; asked for here, it is not logged as unseen.
                task.exception()

    async def _run(self, scope: Scope, call: "_Call") -> None:
        whole = False
        try:
            await self._app(scope, call.receive, call.send)
            whole = True
        finally:
            call.end(whole=whole)


class HttpWire:
    """To a gateway elsewhere, which must believe this one's `x-forwarded-for`."""

    def __init__(self, url: str, *, timeout_seconds: float = 60.0) -> None:
        self._url = url.rstrip("/")
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=timeout_seconds)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        # Cookies that something on the way sets are nobody's here: one session serves all viewers.
        self._session = aiohttp.ClientSession(
            timeout=self._timeout, auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session:
            await self._session.close()

    @asynccontextmanager
    async def send(
        self, method: str, target: str, headers: Mapping[str, str], body: Body
    ) -> AsyncIterator[Opened]:
        """See `Wire`."""
        if self._session is None:
            raise RuntimeError("HttpWire is used before it is entered")
        sent = {**headers, "x-forwarded-for": address(), "accept-encoding": "identity"}
        try:
            async with self._session.request(
                method, self._url + target, data=body, headers=sent, allow_redirects=False
            ) as answer:
                told = {name.lower(): value for name, value in answer.headers.items()}
                yield Opened(answer.status, told, answer.content.iter_chunked(1 << 16))
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise Unavailable("The gateway does not answer", retry_after_seconds=1) from error


class _Call:
    """One ASGI call, seen from outside."""

    def __init__(self, body: Body) -> None:
        self._sent = body
        self._done = False
        self._start: asyncio.Future[tuple[int, dict[str, str]]] = (
            asyncio.get_running_loop().create_future()
        )
        self._pieces: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._room = asyncio.Semaphore(_AHEAD)
        self._whole = False

    async def receive(self) -> Message:
        if isinstance(self._sent, bytes):
            if not self._done:
                self._done = True
                return {"type": "http.request", "body": self._sent, "more_body": False}
        elif not self._done:
            async for piece in self._sent:
                return {"type": "http.request", "body": piece, "more_body": True}
            self._done = True
            return {"type": "http.request", "body": b"", "more_body": False}
        # Nobody hangs up on it but by cancelling.
        await asyncio.Event().wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = {n.decode("latin-1"): v.decode("latin-1") for n, v in message["headers"]}
            if not self._start.done():
                self._start.set_result((message["status"], headers))
        elif message["type"] == "http.response.body" and (piece := message.get("body", b"")):
            await self._room.acquire()
            self._pieces.put_nowait(piece)

    def end(self, *, whole: bool) -> None:
        """Nothing more comes. Never waits: whoever read may be gone."""
        self._whole = whole
        if not self._start.done():
            self._start.set_exception(InternalError())
        self._pieces.put_nowait(None)

    async def opened(self) -> Opened:
        status, headers = await self._start
        return Opened(status, headers, self._read())

    async def _read(self) -> AsyncIterator[bytes]:
        while (piece := await self._pieces.get()) is not None:
            self._room.release()
            yield piece
        if not self._whole:
            raise InternalError("The answer broke off")


def part(text: str) -> str:
    """Anybody's words as one part of a path; `NotFound` for what would lead elsewhere."""
    if text in ("", ".", "..") or "/" in text:
        raise NotFound("There is nothing of that name")
    return quote(text, safe="")


def _scope(method: str, target: str, headers: Mapping[str, str]) -> Scope:
    path, _, query = target.partition("?")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(path),
        "raw_path": quote(path, safe="/%").encode(),
        "query_string": query.encode("ascii"),
        "root_path": "",
        "headers": [(n.encode("latin-1"), v.encode("latin-1")) for n, v in headers.items()],
        "client": (address(), 0),
        "server": ("gateway", 80),
        "state": {},
    }


async def _whole(pieces: AsyncIterator[bytes]) -> bytes:
    told = bytearray()
    async for piece in pieces:
        told += piece
        if len(told) > MOST_BYTES:
            raise TooLarge("The answer is too large to be shown")
    return bytes(told)


def _encoded(query: Query | None) -> str:
    pairs = [
        (name, str(one).lower() if isinstance(one, bool) else str(one))
        for name, value in (query or {}).items()
        if value is not None and value != ""
        for one in (value if isinstance(value, (list, tuple)) else (value,))
    ]
    return "?" + urlencode(pairs) if pairs else ""
