"""HTTP/1.1 to the byte over kept connections: as much of it as tests need, and as wrong."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

_GONE: Final = (ConnectionError, asyncio.IncompleteReadError)


class Lost(Exception):
    """The connection ended before the answer did."""


@dataclass(frozen=True, slots=True)
class Told:
    """An answer; names of headers in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


def written(
    method: str, path: str, body: bytes = b"", *, key: str = "", headers: Mapping[str, str] = {}
) -> bytes:
    """A request as it goes over the wire; headers that are given win."""
    usual = {"host": "127.0.0.1", "content-type": "application/json"}
    if key:
        usual["authorization"] = f"Bearer {key}"
    usual["content-length"] = str(len(body))
    lines = [f"{name}: {value}" for name, value in {**usual, **headers}.items()]
    return "\r\n".join([f"{method} {path} HTTP/1.1", *lines, "", ""]).encode("latin-1") + body


class Wire:
    """A connection that is opened when it is needed, and kept."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Both ends; raises `Lost` where nobody listens."""
        if self._streams is None:
            try:
                self._streams = await asyncio.open_connection("127.0.0.1", self.port)
            except OSError as error:
                raise Lost from error
        return self._streams

    async def ask(self, request: bytes) -> Told:
        """Send and read the answer; raises `Lost`."""
        await self.send(request)
        return await self.answer()

    async def send(self, data: bytes) -> None:
        """Send these bytes; raises `Lost`."""
        _, writer = await self.open()
        try:
            writer.write(data)
            await writer.drain()
        except _GONE as error:
            self.close()
            raise Lost from error

    async def answer(self) -> Told:
        """Read one answer; raises `Lost`."""
        reader, _ = await self.open()
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            first, *lines = head.rstrip("\r\n").split("\r\n")
            headers = {
                n.strip().lower(): v.strip() for n, _, v in (x.partition(":") for x in lines)
            }
            body = await _body(reader, headers)
        except _GONE as error:
            self.close()
            raise Lost from error
        if headers.get("connection", "").lower() == "close":
            self.close()
        return Told(int(first.split()[1]), headers, body)

    def close(self, *, abort: bool = False) -> None:
        """Close it; `abort` drops what was not sent yet and resets the connection."""
        if self._streams is not None:
            _, writer = self._streams
            self._streams = None
            writer.transport.abort() if abort else writer.close()


async def _body(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes:
    if "chunked" not in headers.get("transfer-encoding", ""):
        return await reader.readexactly(int(headers.get("content-length", "0")))
    pieces = []
    while size := int(await reader.readuntil(b"\r\n"), 16):
        pieces.append(await reader.readexactly(size))
        await reader.readexactly(2)
    await reader.readexactly(2)
    return b"".join(pieces)
