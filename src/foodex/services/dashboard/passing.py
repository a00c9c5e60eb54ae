"""Files of the API handed on to the browser, piece by piece."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from typing import Final

from fastapi.responses import StreamingResponse

from foodex.services.dashboard.gateway import Gateway, Query

_KEPT: Final = (
    *("content-type", "content-disposition", "content-length"),
    *("content-encoding", "etag", "vary"),
)


async def passed_on(
    gateway: Gateway,
    path: str,
    query: Query | None = None,
    *,
    sent: Mapping[str, str] | None = None,
    cache_control: str = "no-store",
) -> StreamingResponse:
    """The file at a path of the API; what is wrong is said before the answer begins.

    `sent` are headers to ask with, `cache_control` says how long browsers may keep it.
    """
    async with AsyncExitStack() as stack:
        opened = await stack.enter_async_context(
            gateway.open("GET", path, query=query, headers=sent)
        )
        headers = {name: opened.headers[name] for name in _KEPT if name in opened.headers}
        kept = stack.pop_all()

    async def pieces() -> AsyncIterator[bytes]:
        async with kept:
            async for piece in opened.pieces:
                yield piece

    said = {**headers, "cache-control": cache_control}
    return StreamingResponse(pieces(), opened.status, said)
