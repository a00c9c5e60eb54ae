"""A TCP proxy on loopback whose connections a test can cut, refuse, and hold still."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress


class Proxy:
    """Passes bytes on while it is `up`."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._serving: set[asyncio.Future[None]] = set()
        self._server: asyncio.Server | None = None
        self._flowing = asyncio.Event()
        self._flowing.set()
        self.port = 0
        self.accepted = 0

    async def up(self) -> None:
        """Listen, on the same port each time."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def down(self) -> None:
        """Cut all connections and refuse new ones."""
        if self._server is not None:
            self._server.close()
            self._server = None
        await self.cut()

    async def cut(self) -> None:
        """Cut all connections that there are."""
        cut = list(self._serving)
        for task in cut:
            task.cancel()
        if cut:
            await asyncio.wait(cut)

    def hold(self) -> None:
        """Let nothing through and cut nothing, as a network that swallows packets."""
        self._flowing.clear()

    def flow(self) -> None:
        """Let everything through again, what was held first."""
        self._flowing.set()

    def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Not a coroutine: asyncio complains of one that it was handed and that is cancelled.
        task = asyncio.ensure_future(self._pass(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        back: asyncio.StreamWriter | None = None
        try:
            there, back = await asyncio.open_connection(*self._target)
            await asyncio.gather(
                _pass_on(reader, back, self._flowing), _pass_on(there, writer, self._flowing)
            )
        except OSError:
            return
        finally:
            for one in (writer, back):
                if one is not None:
                    one.transport.abort()


async def _pass_on(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, flowing: asyncio.Event
) -> None:
    with suppress(OSError):
        while piece := await reader.read(1 << 16):
            await flowing.wait()
            writer.write(piece)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def proxy_to(host: str, port: int) -> AsyncIterator[Proxy]:
    proxy = Proxy(host, port)
    await proxy.up()
    try:
        yield proxy
    finally:
        await proxy.down()
