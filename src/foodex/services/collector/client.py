"""The collector over HTTP, as its port."""

from collections.abc import AsyncIterator
from typing import Final
from urllib.parse import quote

from foodex.core.peer import Peer
from foodex.domain.loads import Load, Rejection, Source, SourceBatch
from foodex.domain.mappings import Suggestion, Trial

_HERE: Final = "/api/v1/collector"


class CollectorClient:
    """Implements the port `Collector` by calling the service, or the gateway in front of it."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer

    async def sources(self) -> tuple[Source, ...]:
        """All sources, by name."""
        return await self._peer.call("GET", f"{_HERE}/sources", type=tuple[Source, ...])

    async def put_source(self, source: Source) -> Source:
        """Declare a source, or change it."""
        return await self._peer.call("PUT", _source(source.name), type=Source, json=source)

    async def delete_source(self, name: str) -> None:
        """Forget a source."""
        await self._peer.call("DELETE", _source(name), type=type(None))

    async def next_batch(
        self, source: str, *, cursor: str | None = None, size: int = 100
    ) -> SourceBatch:
        """The source's next rows as they came."""
        params = {"cursor": cursor, "size": size}
        return await self._peer.call(
            "GET", f"{_source(source)}/batch", type=SourceBatch, params=params
        )

    async def upload(self, name: str, body: AsyncIterator[bytes]) -> Source:
        """Send a file."""
        return await self._peer.call(
            "POST", f"{_HERE}/uploads", type=Source, params={"name": name}, body=body
        )

    async def suggest_mapping(self, source: Source) -> Suggestion:
        """A first mapping for a source."""
        return await self._peer.call(
            "POST", f"{_HERE}/mappings/suggest", type=Suggestion, json=source
        )

    async def try_mapping(self, source: Source, toml: str) -> Trial:
        """What a mapping makes of a source's first rows."""
        return await self._peer.call(
            "POST", f"{_HERE}/mappings/try", type=Trial, json={"source": source, "toml": toml}
        )

    async def mappings(self) -> tuple[str, ...]:
        """The names of the mappings kept."""
        return await self._peer.call("GET", f"{_HERE}/mappings", type=tuple[str, ...])

    async def mapping(self, name: str) -> str:
        """A mapping's TOML."""
        found = await self._peer.call("GET", _mapping(name), type=dict[str, str])
        return found["toml"]

    async def put_mapping(self, name: str, toml: str) -> None:
        """Keep a mapping."""
        await self._peer.call("PUT", _mapping(name), type=type(None), json={"toml": toml})

    async def delete_mapping(self, name: str) -> None:
        """Forget a mapping."""
        await self._peer.call("DELETE", _mapping(name), type=type(None))

    async def start_load(
        self, source: Source | str, *, mapping: str, dataset: str, reference: str | None = None
    ) -> Load:
        """Begin to bring a source's rows into a data set."""
        new = {"source": source, "mapping": mapping, "dataset": dataset, "reference": reference}
        return await self._peer.call("POST", f"{_HERE}/loads", type=Load, json=new)

    async def load(self, load_id: int) -> Load:
        """One load, as far as it is."""
        return await self._peer.call("GET", _load(load_id), type=Load)

    async def wait_for_load(self, load_id: int, *, seen: float, timeout_seconds: float) -> Load:
        """The load once its progress has passed `seen` or it ended."""
        params = {"seen": seen, "wait": min(max(timeout_seconds, 0.001), 60.0)}
        return await self._peer.call("GET", _load(load_id), type=Load, params=params)

    async def loads(
        self, *, dataset: str | None = None, before: int | None = None, limit: int = 100
    ) -> tuple[Load, ...]:
        """The log of loads, newest first."""
        params = {"dataset": dataset, "before": before, "limit": limit}
        return await self._peer.call("GET", f"{_HERE}/loads", type=tuple[Load, ...], params=params)

    async def cancel_load(self, load_id: int) -> Load:
        """Stop a load."""
        return await self._peer.call("POST", f"{_load(load_id)}/cancel", type=Load)

    async def rejections(
        self, load_id: int, *, after: int = 0, limit: int = 100
    ) -> tuple[Rejection, ...]:
        """Rejected rows of a load by row number."""
        params = {"after": after, "limit": limit}
        return await self._peer.call(
            "GET", f"{_load(load_id)}/rejections", type=tuple[Rejection, ...], params=params
        )

    async def rejections_csv(self, load_id: int) -> AsyncIterator[bytes]:
        """All rejected rows of a load as CSV."""
        async for piece in self._peer.stream("GET", f"{_load(load_id)}/rejections.csv"):
            yield piece


def _source(name: str) -> str:
    return f"{_HERE}/sources/{quote(name, safe='')}"


def _mapping(name: str) -> str:
    return f"{_HERE}/mappings/{quote(name, safe='')}"


def _load(load_id: int) -> str:
    return f"{_HERE}/loads/{load_id}"
