"""Calls from one service to another over HTTP."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Self, TypeVar

import aiohttp
import msgspec

from foodex.core.access import current_principal, write_principal
from foodex.core.context import HEADER, address, request_id
from foodex.core.errors import InternalError, Unavailable
from foodex.core.http import raise_problem

T = TypeVar("T")
Body = bytes | AsyncIterator[bytes]


class Peer:
    """One service as seen from another: an async context manager that keeps connections open.

    Every call carries the request's id and for whom it is made. A problem document comes back as
    the error it tells of; a peer out of reach is `Unavailable`.
    """

    def __init__(self, url: str, key: str, *, timeout_seconds: float = 60.0) -> None:
        self._url = url.rstrip("/")
        self._key = key
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=timeout_seconds)
        self._session: aiohttp.ClientSession | None = None

    def __repr__(self) -> str:
        return f"Peer({self._url!r})"

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(timeout=self._timeout)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session:
            await self._session.close()

    async def ping(self) -> None:
        """Return when the service says that it can do its work; `Unavailable` otherwise."""
        try:
            await self.call("GET", "/health/ready", type=dict[str, Any])
        except InternalError as error:
            raise Unavailable(f"The service at {self._url} is not ready") from error

    async def version(self) -> str:
        """The version of FoodEx that answers there."""
        told = await self.call("GET", "/health/live", type=dict[str, Any])
        return str(told.get("version", ""))

    async def call(
        self,
        method: str,
        path: str,
        *,
        type: type[T],
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        body: Body | None = None,
        content_type: str = "application/octet-stream",
        headers: Mapping[str, str] | None = None,
    ) -> T:
        """Call and read the answer as `type`; None for an answer without a body."""
        async with self._request(
            method, path, params, json, body, content_type, headers
        ) as response:
            answer = await response.read()
        return msgspec.json.decode(answer or b"null", type=type)

    async def stream(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
    ) -> AsyncIterator[bytes]:
        """Call and give the answer's body piece by piece."""
        async with self._request(method, path, params, json, None, "") as response:
            async for piece in response.content.iter_chunked(1 << 18):
                yield piece

    @asynccontextmanager
    async def _request(
        self,
        method: str,
        path: str,
        params: Mapping[str, Any] | None,
        json: Any,
        body: Body | None,
        content_type: str,
        more_headers: Mapping[str, str] | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        if self._session is None:
            raise RuntimeError(f"{self!r} is used before it is entered")
        headers = {
            **(more_headers or {}),
            "authorization": f"Bearer {self._key}",
            "foodex-principal": write_principal(current_principal()),
            HEADER: request_id(),
        }
        if came_from := address():
            headers["foodex-address"] = came_from
        if json is not None:
            body, content_type = msgspec.json.encode(json), "application/json"
        if body is not None:
            headers["content-type"] = content_type
        try:
            async with self._session.request(
                method, self._url + path, params=_plain(params), data=body, headers=headers
            ) as response:
                if response.status >= 400:
                    told = response.headers.get("retry-after")
                    raise_problem(response.status, await response.read(), retry_after=told)
                yield response
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise Unavailable(
                f"The service at {self._url} does not answer ({type(error).__name__})",
                retry_after_seconds=1,
            ) from error


def _plain(params: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    return [
        (name, str(one).lower() if isinstance(one, bool) else str(one))
        for name, value in (params or {}).items()
        if value is not None
        for one in (value if isinstance(value, (list, tuple)) else (value,))
    ]
