"""A connection to the HTTP server: what it may ask, and answers that go out in one piece."""

import asyncio
from collections.abc import Iterable
from typing import Any, Final, Protocol

from starlette.types import Send
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from foodex.core.errors import BadRequest, InternalError
from foodex.core.http import problem_response
from foodex.core.limits import RawHeaders

ANSWER: Final = "foodex.answer"
"""The ASGI extension under which a request's scope offers `AnswerWhole`."""

HEAD_BYTES: Final = 64 << 10
"""The most that the first line and the headers of a request may take."""
HEADERS: Final = 128
"""The most headers of a request."""
HEAD_SECONDS: Final = 30.0
"""How long they may take to come, and how long a connection may wait with its first request."""


class AnswerWhole(Protocol):
    """Sends a whole answer at once, instead of the two messages of ASGI.

    `headers` are names in lower case and values; `fixed` are further lines that `header_lines`
    wrote before. Writing and checking the usual dozen for each answer anew costs a fifth of what
    a busy route has to do.
    """

    async def __call__(
        self, send: Send, status: int, headers: RawHeaders, fixed: bytes, body: bytes
    ) -> bool:
        """Whether it was sent; if not, nothing was, and the usual way remains."""
        ...


def header_lines(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Headers as they go over the wire."""
    return b"".join(b"%b: %b\r\n" % header for header in headers)


class Connection(HttpToolsProtocol):
    """Uvicorn's HTTP/1.1, which by itself would wait for the end of a head for ever."""

    _offered: dict[str, Any]
    _head_bytes = 0
    _head_done = False
    _giving_up: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        # Made once: with one of its own each request would have to be found by garbage collection.
        self._offered = {ANSWER: self._answer}
        self._giving_up = self.loop.call_later(HEAD_SECONDS, transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any more."""
        self._whole()
        self._offered = {}
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on, as long as the head is not too large."""
        if self._head_bytes > HEAD_BYTES:
            self.send_400_response("The request's headers are too large")
            return
        super().data_received(data)
        if self._head_done:
            self._whole()
            return
        # Usually a head comes in one piece, so neither counting nor the clock costs anything.
        self._head_bytes += len(data)
        if self._giving_up is None:
            self._giving_up = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no request, in the shape of all our errors, and hang up."""
        told = problem_response(BadRequest(msg.rstrip(".")))
        lines = [STATUS_LINE[told.status_code].rstrip()]
        lines += [name + b": " + value for name, value in told.raw_headers]
        lines += [b"connection: close", b"", bytes(told.body)]
        self.transport.write(b"\r\n".join(lines))
        self.transport.close()

    def on_message_begin(self) -> None:
        """A request begins."""
        self._head_done = False
        super().on_message_begin()
        self.scope["extensions"] = self._offered

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header more; the parser takes what is raised here for a request that is none."""
        if len(self.headers) == HEADERS:
            raise ValueError("too many headers")
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Its head is whole."""
        self._head_done = True
        super().on_headers_complete()

    async def _answer(
        self,
        send: Send,
        status: int,
        headers: RawHeaders,
        fixed: bytes,
        body: bytes,
    ) -> bool:
        cycle = self.cycle
        # Another request of this connection may be read by now, and layers in between that add
        # to what is sent must hear of it.
        if send != cycle.send or cycle.flow.write_paused or cycle.disconnected:
            return False
        lines = header_lines((*cycle.default_headers, *headers))
        if lines.count(b"\n") != len(headers) + len(cycle.default_headers):
            # A value that ends its line could pass off what follows as headers of ours.
            raise InternalError
        cycle.response_started = cycle.response_complete = True
        cycle.message_event.set()
        close = b"" if cycle.keep_alive else b"connection: close\r\n"
        self.transport.write(
            b"%b%b%bcontent-length: %d\r\n%b\r\n%b"
            % (STATUS_LINE[status], lines, fixed, len(body), close, body)
        )
        if not cycle.keep_alive:
            self.transport.close()
        cycle.on_response()
        return True

    def _whole(self) -> None:
        self._head_bytes = 0
        if self._giving_up is not None:
            self._giving_up.cancel()
            self._giving_up = None
