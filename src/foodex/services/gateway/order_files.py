"""Files of orders that were sent to be forecast: kept as objects for some days, then removed."""

import asyncio
import hashlib
import re
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import structlog

from foodex.core.access import SYSTEM, acting_as, current_principal
from foodex.core.clock import Clock
from foodex.core.errors import (
    FieldProblem,
    InvalidInput,
    NotFound,
    TooLarge,
)
from foodex.core.periodic import periodic
from foodex.core.settings import BatchesSettings
from foodex.ports.storage import Storage

log = structlog.get_logger("foodex.gateway")

PREFIX: Final = "predictions/files/"
_ID: Final = re.compile(r"[0-9a-f]{16}-[A-Za-z0-9._-]{1,80}")
_SWEEP_SECONDS: Final = 3600.0
_PAGE: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderFile:
    """A file of orders as it is kept; `file` is what a batch prediction calls it."""

    file: str
    size_bytes: int
    kept_until: datetime


def key_of(file: str) -> str:
    """Where a file of whoever acts lies among the objects.

    Files are their account's, or theirs who have none; nobody can name another's.

    Raises:
        InvalidInput: no file is called so.
    """
    if not _ID.fullmatch(file):
        problem = FieldProblem("file", "must be the `file` that its upload was answered with")
        raise InvalidInput("There is no such file", problems=[problem])
    principal = current_principal()
    owner = f"account {principal.account}" if principal.account else f"person {principal.name}"
    return f"{PREFIX}{hashlib.sha256(owner.encode()).hexdigest()[:24]}/{file}"


def shown_name(file: str) -> str:
    """What its sender called it."""
    return file.partition("-")[2]


class OrderFiles:
    """Keeps what is sent, and removes what was sent long ago."""

    def __init__(self, storage: Storage, settings: BatchesSettings, clock: Clock) -> None:
        self._storage, self._clock = storage, clock
        self._most_bytes = settings.max_file_bytes
        self._kept = timedelta(days=settings.file_days)

    async def put(self, name: str, body: AsyncIterator[bytes]) -> OrderFile:
        """Keep a file for whoever acts. Raises `TooLarge`, and `InvalidInput` for nothing."""
        shown = re.sub(r"[^A-Za-z0-9._-]+", "_", Path(name).name).strip("._-")[-80:] or "orders"
        file = f"{secrets.token_hex(8)}-{shown}"
        key = key_of(file)
        # Whose file it is stands in its key; the store itself is not for clients.
        with acting_as(SYSTEM):
            stored = await self._storage.put_object(key, _bounded(body, self._most_bytes))
        return OrderFile(
            file=file,
            size_bytes=stored.size_bytes,
            kept_until=(self._clock.now() + self._kept).replace(microsecond=0),
        )

    async def sweep(self) -> int:
        """Remove what is older than it is kept; how many files."""
        before = self._clock.now() - self._kept
        after, removed = None, 0
        while True:
            page = await self._storage.list_objects(PREFIX, after=after, limit=_PAGE)
            for found in page.objects:
                if found.changed_at < before:
                    await self._storage.delete_object(found.key)
                    removed += 1
            if page.next_after is None:
                if removed:
                    log.info("old files of orders removed", files=removed)
                return removed
            after = page.next_after

    def sweeping(self) -> AbstractAsyncContextManager[None]:
        """Within the block, sweep once an hour."""
        return periodic(self.sweep, seconds=_SWEEP_SECONDS, name="sweep of files of orders")


async def fetch(pieces: AsyncIterator[bytes], file: str, folder: Path) -> Path:
    """A file of orders on this machine, under the name that its sender knows.

    Raises:
        InvalidInput: there is no such file, or no more.
    """
    path = folder / shown_name(file)
    target = await asyncio.to_thread(path.open, "wb")
    try:
        with saying_that_it_is_gone():
            async for piece in pieces:
                await asyncio.to_thread(target.write, piece)
    finally:
        await asyncio.to_thread(target.close)
    return path


@contextmanager
def saying_that_it_is_gone() -> Iterator[None]:
    """Within the block `NotFound` is about a file of orders, and told as `InvalidInput`."""
    try:
        yield
    except NotFound:
        problem = FieldProblem("file", "is not there, or was removed after its days; send it again")
        raise InvalidInput("There is no such file", problems=[problem]) from None


async def _bounded(body: AsyncIterator[bytes], most: int) -> AsyncIterator[bytes]:
    size = 0
    async for piece in body:
        size += len(piece)
        if size > most:
            raise TooLarge(f"The file has more than {most} bytes")
        yield piece
    if size == 0:
        raise InvalidInput("The file that was sent is empty")
