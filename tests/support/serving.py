"""Serve an app over real HTTP on loopback."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from foodex.core.serving import serve as serve_on


@asynccontextmanager
async def serve(app: FastAPI) -> AsyncIterator[str]:
    async with serve_on(app, host="127.0.0.1", port=0) as url:
        yield url
