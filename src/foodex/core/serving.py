"""Serving an ASGI app on a port of this process."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from typing import Final

from fastapi import FastAPI
from uvicorn import Config, Server

from foodex.core.connection import Connection
from foodex.core.errors import Conflict

GOODBYE_SECONDS: Final = 2
"""How long requests that run may take to end once the server stops; then they are cut off."""
IDLE_SECONDS: Final = 75
"""How long a connection may stay open without a request; proxies in front keep theirs a minute."""
_WAITING: Final = 1024


@asynccontextmanager
async def serve(app: FastAPI, *, host: str, port: int) -> AsyncIterator[str]:
    """Start the app and serve it within the block; gives its address, e.g. `http://127.0.0.1:8080`.

    Port 0 takes a free one. The app's lifespan is entered here, so whatever fails while starting
    is raised here. Raises `Conflict` when the port is taken.
    """
    listener = _claim(host, port)
    port = listener.getsockname()[1]
    try:
        async with app.router.lifespan_context(app):
            server = _Server(_config(app))
            serving = asyncio.create_task(server.serve([listener]), name=f"serve {host}:{port}")
            try:
                await server.opened(serving)
                yield f"http://{f'[{host}]' if ':' in host else host}:{port}"
            finally:
                server.should_exit = True
                await serving
    finally:
        listener.close()
    logging.getLogger("foodex.http").debug("stopped %s:%s", host, port)


class _Server(Server):
    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._open = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._open.set()

    async def opened(self, serving: asyncio.Task[None]) -> None:
        """Wait until it answers; what hinders it is raised."""
        waiting = asyncio.create_task(self._open.wait())
        await asyncio.wait([waiting, serving], return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if serving.done():
            serving.result()

    def capture_signals(self) -> AbstractContextManager[None]:  # type: ignore[override]
        # Who runs us hears the signals, and lets go of more than this server.
        return nullcontext()


def _config(app: FastAPI) -> Config:
    # Its own remarks on broken requests are of no use to anybody; its errors join our logs.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    return Config(
        app,
        http=Connection,
        ws="none",
        lifespan="off",
        loop="none",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=_WAITING,
        timeout_keep_alive=IDLE_SECONDS,
        timeout_graceful_shutdown=GOODBYE_SECONDS,
    )


def _claim(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise Conflict(
            f"Port {port} on {host} is not free ({error.strerror}); choose another with --port"
        ) from None
    listener.setblocking(False)
    return listener
