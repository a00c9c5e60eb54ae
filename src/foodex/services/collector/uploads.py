"""Files that were sent to be loaded: kept as objects for some days, then removed."""

import asyncio
import re
import secrets
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Final

import structlog

from foodex.core.clock import Clock
from foodex.core.errors import FoodexError, InvalidInput, TooLarge
from foodex.core.settings import CollectorSettings
from foodex.domain.loads import Source, SourceKind
from foodex.ports.storage import Storage
from foodex.services.collector.columns import plain_name
from foodex.services.collector.fetching import UPLOADS
from foodex.services.collector.repository import Repository

log = structlog.get_logger("foodex.collector")

_SWEEP_SECONDS: Final = 3600.0
_PAGE: Final = 1000


class Uploads:
    """Keeps what is sent. A file stays after its load, since it may be loaded again otherwise."""

    def __init__(
        self, storage: Storage, repository: Repository, settings: CollectorSettings, clock: Clock
    ) -> None:
        self._storage, self._repository, self._clock = storage, repository, clock
        self._most_bytes = settings.max_file_bytes
        self._kept = timedelta(days=settings.upload_days)

    async def put(self, name: str, body: AsyncIterator[bytes]) -> Source:
        """Keep a file; gives the source to load it from. Raises `TooLarge`."""
        plain = plain_name(Path(name).name.partition(".")[0] or "upload")
        shown = re.sub(r"[^A-Za-z0-9._-]+", "_", Path(name).name).strip("._")[-80:] or "upload"
        key = f"{UPLOADS}{secrets.token_hex(8)}/{shown}"
        await self._storage.put_object(key, _bounded(body, self._most_bytes))
        return Source(name=plain, kind=SourceKind.UPLOAD, location=key)

    async def sweep(self) -> int:
        """Remove what was sent long ago and no running load reads; how many files."""
        before = self._clock.now() - self._kept
        after, removed = None, 0
        while True:
            page = await self._storage.list_objects(UPLOADS, after=after, limit=_PAGE)
            old = [found.key for found in page.objects if found.changed_at < before]
            # Asked after listing: a load that begins later finds its file gone and says so.
            read = await self._repository.being_read() if old else frozenset()
            for key in old:
                if key not in read:
                    await self._storage.delete_object(key)
                    removed += 1
            if page.next_after is None:
                return removed
            after = page.next_after

    async def keep_sweeping(self) -> None:
        """Sweep for ever, once an hour."""
        while True:
            try:
                if removed := await self.sweep():
                    log.info("old uploads removed", files=removed)
            except FoodexError as error:
                log.warning("old uploads stay for now", detail=str(error))
            await asyncio.sleep(_SWEEP_SECONDS)


async def _bounded(body: AsyncIterator[bytes], most: int) -> AsyncIterator[bytes]:
    size = 0
    async for piece in body:
        size += len(piece)
        if size > most:
            raise TooLarge(f"The file has more than {most} bytes")
        yield piece
    if size == 0:
        raise InvalidInput("The file that was sent is empty")
