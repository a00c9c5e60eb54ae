"""Files that jobs left long ago: removed, while the jobs themselves stay listed."""

from contextlib import AbstractAsyncContextManager, suppress
from datetime import timedelta
from typing import Final

import structlog

from foodex.core.clock import Clock
from foodex.core.errors import NotFound
from foodex.core.periodic import periodic
from foodex.core.settings import JobsSettings
from foodex.core.sql import Database
from foodex.ports.objects import Objects
from foodex.services.jobs import sweep_rows
from foodex.services.jobs.context import FILES, job_of

log = structlog.get_logger("foodex.jobs")

_SWEEP_SECONDS: Final = 3600.0
_PAGE: Final = 500


class OldFiles:
    """Looks at the files themselves, so that those are found as well that no job knows of."""

    def __init__(
        self, *, database: Database, objects: Objects, settings: JobsSettings, clock: Clock
    ) -> None:
        self._database, self._objects, self._clock = database, objects, clock
        self._kept = timedelta(days=settings.file_days)

    async def sweep(self) -> int:
        """Remove what is older than it is kept; how many files."""
        before = self._clock.now() - self._kept
        after, removed = None, 0
        while True:
            page = await self._objects.list(FILES, after=after, limit=_PAGE)
            old = [stored.key for stored in page.objects if stored.changed_at < before]
            for key in old:
                with suppress(NotFound):
                    await self._objects.delete(key)
            if old:
                # Cut off before this, the files are named and not there, which readers are told.
                async with self._database.transaction() as connection:
                    await sweep_rows.files_are_gone(connection, sorted({job_of(k) for k in old}))
            removed += len(old)
            if page.next_after is None:
                if removed:
                    log.info("old files of jobs removed", files=removed)
                return removed
            after = page.next_after

    def sweeping(self) -> AbstractAsyncContextManager[None]:
        """Within the block, sweep once an hour."""
        return periodic(self.sweep, seconds=_SWEEP_SECONDS, name="sweep of old files of jobs")
