"""Objects: named bytes."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol

from foodex.domain.datasets import ObjectsPage, StoredObject


class Objects(Protocol):
    """Named bytes of any size. A key is a relative path; `NotFound` for one that is not there."""

    async def put(self, key: str, body: bytes | AsyncIterator[bytes]) -> StoredObject:
        """Store the bytes whole or not at all; what was there under the key is replaced."""
        ...

    async def put_file(self, key: str, path: Path) -> StoredObject:
        """As `put`, with the bytes of a file, which is gone afterwards."""
        ...

    async def get(self, key: str) -> bytes:
        """All the bytes."""
        ...

    def stream(self, key: str) -> AsyncIterator[bytes]:
        """The bytes in pieces."""
        ...

    async def get_file(self, key: str, path: Path) -> None:
        """The bytes as a new file; it may share them with the object, so it is only to be read."""
        ...

    async def head(self, key: str) -> StoredObject:
        """The object's facts."""
        ...

    async def list(
        self, prefix: str = "", *, after: str | None = None, limit: int = 1000
    ) -> ObjectsPage:
        """Objects whose key starts with the prefix (on a path boundary or not), by key."""
        ...

    async def delete(self, key: str) -> None:
        """Remove the object. Safe to repeat."""
        ...

    async def ping(self) -> None:
        """Return when the store answers."""
        ...
