"""Fetching over HTTP what strangers serve: bounded, patient, and never from inside our network."""

import asyncio
import ipaddress
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final, TypeVar

import aiohttp
import stamina
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver
from yarl import URL

from foodex.core.errors import InvalidInput, TooLarge, Unavailable
from foodex.core.settings import CollectorSettings

T = TypeVar("T")

_REDIRECTS: Final = 5
_LONGEST_WAIT_SECONDS: Final = 120.0
_PASSING: Final = frozenset({408, 425, 429, 500, 502, 503, 504})


class _ComesBack(Exception):
    """An answer that another try may better; `wait_seconds` is what the server asked for."""

    def __init__(self, message: str, wait_seconds: float | None = None) -> None:
        super().__init__(message)
        self.wait_seconds = wait_seconds


def _forbidden(address: str) -> bool:
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(ip, "ipv4_mapped", None) or ip
    return not mapped.is_global or mapped.is_multicast


class _PublicResolver(AbstractResolver):
    """Names to addresses, leaving out those inside: checked on what is connected to."""

    def __init__(self) -> None:
        self._resolver = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._resolver.resolve(host, port, family)
        allowed = [result for result in found if not _forbidden(result["host"])]
        if not allowed:
            raise _inside(host)
        return allowed

    async def close(self) -> None:
        await self._resolver.close()


def _inside(host: str) -> InvalidInput:
    return InvalidInput(
        f"{host} is on a private network; the setting collector.http_allow_private permits that"
    )


class Web:
    """Gets bodies over HTTP(S); an async context manager."""

    def __init__(self, settings: CollectorSettings) -> None:
        self._settings = settings
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> "Web":
        private = self._settings.http_allow_private
        connector = aiohttp.TCPConnector(resolver=None if private else _PublicResolver(), limit=8)
        silence = self._settings.http_timeout_seconds
        self._session = aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=silence),
            headers={"user-agent": "foodex-collector", "accept": "*/*"},
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session:
            await self._session.close()

    async def get(self, url: str, headers: Mapping[str, str], limit: int) -> "Answer":
        """A whole body of at most `limit` bytes, trying again where that may help.

        Raises:
            InvalidInput: an address that may not be fetched, or an answer of 4xx.
            TooLarge: more than `limit` bytes.
            Unavailable: no good answer after all tries.
        """

        async def whole(response: aiohttp.ClientResponse) -> Answer:
            body = b"".join([piece async for piece in _pieces(response, limit)])
            link = response.links.get("next")
            address = link.get("url") if link else None
            return Answer(body, str(address) if address else None)

        return await self._patiently(url, headers, whole)

    async def download(self, url: str, headers: Mapping[str, str], limit: int, path: Path) -> None:
        """A body of at most `limit` bytes into a file, as `get` does."""

        async def into_file(response: aiohttp.ClientResponse) -> None:
            file = await asyncio.to_thread(path.open, "wb")
            try:
                async for piece in _pieces(response, limit):
                    await asyncio.to_thread(file.write, piece)
            finally:
                await asyncio.to_thread(file.close)

        await self._patiently(url, headers, into_file)

    async def _patiently(
        self,
        url: str,
        headers: Mapping[str, str],
        use: Callable[[aiohttp.ClientResponse], Awaitable[T]],
    ) -> T:
        try:
            async for attempt in stamina.retry_context(
                on=_again, attempts=self._settings.http_tries, timeout=None
            ):
                with attempt:
                    async with self._open(url, headers) as response:
                        return await use(response)
        except _ComesBack as error:
            raise Unavailable(str(error), retry_after_seconds=error.wait_seconds) from None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            what = str(error) or type(error).__name__
            raise Unavailable(f"{_shown(url)} cannot be reached: {what}") from error
        raise AssertionError("unreachable")

    @asynccontextmanager
    async def _open(
        self, url: str, headers: Mapping[str, str]
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        if self._session is None:
            raise RuntimeError("Web is used before it is entered")
        here = URL(url)
        for _ in range(_REDIRECTS + 1):
            self._check(here)
            # A secret meant for one host is not told to another.
            told = headers if here.host == URL(url).host else {}
            async with self._session.get(here, headers=told, allow_redirects=False) as response:
                place = response.headers.get("location")
                if response.status in (301, 302, 303, 307, 308) and place:
                    here = here.join(URL(place))
                    continue
                if response.status in _PASSING:
                    raise _ComesBack(
                        f"{_shown(url)} answers {response.status}", _wait_seconds(response)
                    )
                if response.status != 200:
                    raise InvalidInput(f"{_shown(url)} answers {response.status}")
                yield response
                return
        raise InvalidInput(f"{_shown(url)} redirects more than {_REDIRECTS} times")

    def _check(self, url: URL) -> None:
        if url.scheme not in ("http", "https") or not url.host:
            raise InvalidInput(f"{_shown(str(url))} is no http:// or https:// address")
        if not self._settings.http_allow_private and _forbidden(url.host):
            raise _inside(url.host)


class Answer:
    """A body with what its headers said of it."""

    def __init__(self, body: bytes, next_link: str | None) -> None:
        self.body = body
        self.next_link = next_link


def _again(error: Exception) -> bool | float:
    """Whether to try again, or after how many seconds."""
    if isinstance(error, _ComesBack):
        asked = error.wait_seconds
        return True if asked is None else asked if asked <= _LONGEST_WAIT_SECONDS else False
    return isinstance(error, aiohttp.ClientError | TimeoutError) and not isinstance(
        error, aiohttp.InvalidURL
    )


async def _pieces(response: aiohttp.ClientResponse, limit: int) -> AsyncIterator[bytes]:
    size = 0
    async for piece in response.content.iter_chunked(1 << 18):
        size += len(piece)
        if size > limit:
            raise TooLarge(f"{_shown(str(response.url))} sends more than {limit} bytes")
        yield piece


def _wait_seconds(response: aiohttp.ClientResponse) -> float | None:
    """What the server asked for, in seconds or as a date."""
    given = response.headers.get("retry-after", "")
    if given.isdigit():
        return float(given)
    try:
        until = parsedate_to_datetime(given)
    except ValueError:
        return None
    until = until if until.tzinfo else until.replace(tzinfo=UTC)
    return max(0.0, (until - datetime.now(UTC)).total_seconds())


def _shown(url: str) -> str:
    """An address without its query, which may hold a key."""
    return url.partition("?")[0]
