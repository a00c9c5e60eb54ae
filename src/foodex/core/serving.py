"""Serving an ASGI app on a port of this process."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from fastapi import FastAPI
from granian.constants import Interfaces
from granian.log import LogLevels
from granian.server.embed import Server

from foodex.core.errors import Conflict, InternalError

# The server's own handlers would write to standard output; its errors join our logs instead.
_LOGS: Final[dict[str, Any]] = {
    "formatters": {},
    "handlers": {},
    "loggers": {"_granian": {"propagate": True}, "granian.access": {"propagate": True}},
}


@asynccontextmanager
async def serve(app: FastAPI, *, host: str, port: int) -> AsyncIterator[str]:
    """Start the app and serve it within the block; gives its address, e.g. `http://127.0.0.1:8080`.

    Port 0 takes a free one. The app's lifespan is entered here, so whatever fails while starting
    is raised here. Raises `Conflict` when the port is taken.
    """
    port = _claim(host, port)
    async with app.router.lifespan_context(app):
        server = Server(
            app,
            address=host,
            port=port,
            interface=Interfaces.ASGINL,
            log_access=False,
            websockets=False,
            log_level=LogLevels.error,
            log_dictconfig=_LOGS,
        )
        serving = asyncio.create_task(server.serve(), name=f"serve {host}:{port}")
        try:
            await _until_open(host, port, serving)
            yield f"http://{host}:{port}"
        finally:
            server.stop()  # type: ignore[no-untyped-call]
            await asyncio.wait([serving], timeout=10)
            if not serving.done():
                serving.cancel()
            elif not serving.cancelled() and (error := serving.exception()):
                raise error
    logging.getLogger("foodex.http").debug("stopped %s:%s", host, port)


def _claim(host: str, port: int) -> int:
    # The server itself shares ports between processes (SO_REUSEPORT), so a left-over process
    # would silently take half of the requests: a plain bind finds it out first.
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise Conflict(
                f"Port {port} on {host} is not free ({error.strerror}); choose another with --port"
            ) from None
        taken: int = probe.getsockname()[1]
    return taken


async def _until_open(host: str, port: int, serving: "asyncio.Task[Any]") -> None:
    target = "127.0.0.1" if host in ("0.0.0.0", "") else host
    for _ in range(500):
        if serving.done():
            break
        try:
            _, writer = await asyncio.open_connection(target, port)
        except OSError:
            await asyncio.sleep(0.01)
        else:
            writer.close()
            await writer.wait_closed()
            return
    raise InternalError(f"The server on {host}:{port} did not open its port")
