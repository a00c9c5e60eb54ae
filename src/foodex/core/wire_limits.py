"""What one connection may ask of the HTTP server before a request is whole."""

import asyncio
from typing import Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from foodex.core.errors import BadRequest
from foodex.core.http import problem_response

HEAD_BYTES: Final = 64 << 10
"""The most that the first line and the headers of a request may take."""
HEADERS: Final = 128
"""The most headers of a request."""
HEAD_SECONDS: Final = 30.0
"""How long they may take to come, and how long a connection may wait with its first request."""


class LimitedProtocol(HttpToolsProtocol):
    """Uvicorn's HTTP/1.1, which by itself would wait for the end of a head for ever."""

    _head_bytes = 0
    _head_done = False
    _giving_up: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._giving_up = self.loop.call_later(HEAD_SECONDS, transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any more."""
        self._whole()
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

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header more; the parser takes what is raised here for a request that is none."""
        if len(self.headers) == HEADERS:
            raise ValueError("too many headers")
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Its head is whole."""
        self._head_done = True
        super().on_headers_complete()

    def _whole(self) -> None:
        self._head_bytes = 0
        if self._giving_up is not None:
            self._giving_up.cancel()
            self._giving_up = None
