"""What the collector service does for the others."""

from collections.abc import AsyncIterator
from typing import Protocol

from foodex.domain.loads import Load, Rejection, Source, SourceBatch
from foodex.domain.mappings import Suggestion, Trial


class Collector(Protocol):
    """Sources, mappings and loads. Who acts is in the context."""

    async def sources(self) -> tuple[Source, ...]:
        """All sources, from the configuration and from the API, by name."""
        ...

    async def put_source(self, source: Source) -> Source:
        """Declare a source, or change it."""
        ...

    async def delete_source(self, name: str) -> None:
        """Forget a source; what was loaded from it stays."""
        ...

    async def next_batch(
        self, source: str, *, cursor: str | None = None, size: int = 100
    ) -> SourceBatch:
        """The source's next rows as they came, from a cursor that an earlier batch gave."""
        ...

    async def upload(self, name: str, body: AsyncIterator[bytes]) -> Source:
        """Keep a file that was sent as an object; gives the source to load it from."""
        ...

    async def suggest_mapping(self, source: Source) -> Suggestion:
        """A first mapping for a source, with its doubts and what only a person can tell."""
        ...

    async def try_mapping(self, source: Source, toml: str) -> Trial:
        """What a mapping makes of a source's first rows; nothing is kept."""
        ...

    async def mappings(self) -> tuple[str, ...]:
        """The names of the mappings kept."""
        ...

    async def mapping(self, name: str) -> str:
        """A mapping's TOML."""
        ...

    async def put_mapping(self, name: str, toml: str) -> None:
        """Keep a mapping after checking it; `InvalidInput` names each wrong key."""
        ...

    async def delete_mapping(self, name: str) -> None:
        """Forget a mapping."""
        ...

    async def start_load(
        self, source: Source | str, *, mapping: str, dataset: str, reference: str | None = None
    ) -> Load:
        """Begin to bring a source's rows into a data set; `mapping` is a name or TOML.

        A `reference` makes this harmless to repeat: used again, it gives the load that there is.
        """
        ...

    async def load(self, load_id: int) -> Load:
        """One load, as far as it is."""
        ...

    async def wait_for_load(self, load_id: int, *, seen: float, timeout_seconds: float) -> Load:
        """The load once its progress has passed `seen` or it ended, at most after the timeout."""
        ...

    async def loads(
        self, *, dataset: str | None = None, before: int | None = None, limit: int = 100
    ) -> tuple[Load, ...]:
        """The log of loads, newest first."""
        ...

    async def cancel_load(self, load_id: int) -> Load:
        """Stop a load; nothing of it stays."""
        ...

    async def rejections(
        self, load_id: int, *, after: int = 0, limit: int = 100
    ) -> tuple[Rejection, ...]:
        """Rejected rows of a load by row number."""
        ...

    def rejections_csv(self, load_id: int) -> AsyncIterator[bytes]:
        """All rejected rows of a load as CSV: row, rule, field, reason and the row as it came."""
        ...
