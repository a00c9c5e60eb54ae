"""A job as the one who does it sees it."""

import re
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from foodex.core.errors import FieldProblem, FoodexError, InvalidInput, NotFound
from foodex.core.settings import JobsSettings
from foodex.domain.jobs import Job, JobFile
from foodex.ports.objects import Objects
from foodex.ports.work import Work
from foodex.services.jobs.job_rows import Row
from foodex.services.jobs.notices import Notices, Told
from foodex.services.jobs.processes import run_work

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_LEAST_TOLD: Final = 0.01
_LEAST_SECONDS: Final = 1.0


FILES: Final = "jobs/"
"""Where the files of all jobs lie among the objects."""


def folder_key(job_id: str) -> str:
    """Where the files of all attempts at a job lie."""
    return f"{FILES}{job_id}/"


def job_of(key: str) -> str:
    """The job whose file lies there."""
    return key.removeprefix(FILES).partition("/")[0]


def file_key(job_id: str, lease: int, name: str) -> str:
    """Where a file lies: apart for each attempt, so that a late one overwrites nothing."""
    return f"{folder_key(job_id)}{lease}/{name}"


class Attempt:
    """Implements `ports.jobs.JobContext` for one attempt at a job."""

    def __init__(
        self, row: Row, *, objects: Objects, folder: Path, notices: Notices, settings: JobsSettings
    ) -> None:
        self.row, self._objects, self._folder = row, objects, folder
        self._notices, self._settings = notices, settings
        self.files: dict[str, JobFile] = {}
        self.units = row.job.price.quantity if row.job.price else 0
        self.stopped = False
        self.told = Told(0.0, "starting", None)
        self._began = time.monotonic()

    @property
    def job(self) -> Job:
        """The job as it was begun."""
        return self.row.job

    @property
    def objects(self) -> Objects:
        """The store of objects, to read from."""
        return self._objects

    @property
    def folder(self) -> Path:
        """A folder of this attempt's own, gone with it."""
        return self._folder

    def report(self, progress: float, message: str = "") -> None:
        """Say how far the job is, from 0 to 1, and what it does now."""
        share = min(max(progress, 0.0), 1.0)
        passed = time.monotonic() - self._began
        left = None
        if share >= _LEAST_TOLD and passed >= _LEAST_SECONDS:
            left = round(passed * (1 - share) / share, 1)
        self.told = Told(share, (message or self.told.message)[:200], left)
        self._notices.tell(self.job.id, self.told)

    def cancelled(self) -> bool:
        """Whether to stop."""
        return self.stopped

    async def put_file(self, name: str, body: bytes | AsyncIterator[bytes] | Path) -> None:
        """Leave a file."""
        if not _NAME.fullmatch(name):
            why = "must be letters, digits and ._-, at most 100, the first a letter or digit"
            raise InvalidInput("A file cannot be called so", problems=[FieldProblem("name", why)])
        key = file_key(self.job.id, self.row.lease, name)
        if isinstance(body, Path):
            stored = await self._objects.put_file(key, body)
        else:
            stored = await self._objects.put(key, body)
        self.files[name] = JobFile(name=name, size_bytes=stored.size_bytes)

    def charge(self, units: int) -> None:
        """Say that so many units (in all) succeeded."""
        most = self.job.price.quantity if self.job.price else units
        if not 0 <= units <= most:
            raise ValueError(f"{units} units cannot have succeeded of {most}")
        self.units = units

    async def compute(self, work: Work, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Do heavy work in a process of its own."""
        return await run_work(
            work,
            arguments,
            self._folder,
            tell=self.report,
            nice=self._settings.child_nice,
            log_bytes=self._settings.child_log_bytes,
        )

    async def remove_files(self, *, keep: bool) -> None:
        """Remove what this attempt left, or, to `keep` it, what earlier ones left."""
        mine = file_key(self.job.id, self.row.lease, "")
        with suppress(FoodexError):
            page = await self._objects.list(folder_key(self.job.id) if keep else mine)
            for stored in page.objects:
                if keep != stored.key.startswith(mine):
                    with suppress(NotFound):
                        await self._objects.delete(stored.key)
