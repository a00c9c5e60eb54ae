"""The jobs service as another process sees it."""

from collections.abc import AsyncIterator
from typing import Final
from urllib.parse import quote

import msgspec

from foodex.core.peer import Peer
from foodex.domain.jobs import (
    EVERY_JOB,
    FileLink,
    Job,
    JobCounts,
    JobFilter,
    JobQuote,
    JobRequest,
    JobsPage,
)

_HERE: Final = "/api/v1/jobs"


class JobsClient:
    """Implements `ports.jobs.Jobs` over HTTP."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer

    async def accept(self, request: JobRequest) -> Job:
        """Take a job on."""
        body = msgspec.to_builtins(request)
        return await self._peer.call("POST", _HERE, type=Job, json=body)

    async def quote(self, request: JobRequest) -> JobQuote:
        """What a job would cost whoever asks."""
        body = msgspec.to_builtins(request)
        return await self._peer.call("POST", f"{_HERE}/quote", type=JobQuote, json=body)

    async def job(self, job_id: str) -> Job:
        """One job, as far as it is."""
        return await self._peer.call("GET", _path(job_id), type=Job)

    async def jobs(
        self, filter_: JobFilter = EVERY_JOB, *, before: str | None = None, limit: int = 100
    ) -> JobsPage:
        """One page of jobs, newest first."""
        params = {
            "state": [state.value for state in filter_.states],
            "kind": filter_.kinds,
            "who": filter_.who,
            "account": filter_.account,
            "before": before,
            "limit": limit,
        }
        return await self._peer.call("GET", _HERE, type=JobsPage, params=params)

    async def wait_for_job(self, job_id: str, *, seen: float, timeout_seconds: float) -> Job:
        """The job once its progress has passed `seen` or it ended, at most after the timeout."""
        # Below the peer's own patience, and below what the route allows.
        params = {"wait": min(timeout_seconds, 30.0), "seen": seen}
        return await self._peer.call("GET", _path(job_id), type=Job, params=params)

    async def cancel_job(self, job_id: str) -> Job:
        """End an unfinished job, and stop it where it runs."""
        return await self._peer.call("POST", _path(job_id, "cancel"), type=Job)

    async def dead_letters(self, *, before: str | None = None, limit: int = 100) -> JobsPage:
        """One page of the jobs that were tried as often as they may be, newest first."""
        params = {"before": before, "limit": limit}
        return await self._peer.call("GET", f"{_HERE}/dead/letters", type=JobsPage, params=params)

    async def replay(self, job_id: str) -> Job:
        """Have a dead job tried anew."""
        return await self._peer.call("POST", _path(job_id, "replay"), type=Job)

    async def job_counts(self) -> JobCounts:
        """How much there is to do."""
        return await self._peer.call("GET", f"{_HERE}/counts", type=JobCounts)

    async def file(self, job_id: str, name: str) -> AsyncIterator[bytes]:
        """A file of a job that is done, in pieces."""
        async for piece in self._peer.stream("GET", _path(job_id, "files", name)):
            yield piece

    async def link(self, job_id: str, name: str) -> FileLink:
        """A link to a file of a job that is done."""
        return await self._peer.call("POST", _path(job_id, "files", name, "link"), type=FileLink)

    async def linked_file(self, token: str) -> AsyncIterator[bytes]:
        """The file that a link's token leads to."""
        async for piece in self._peer.stream("GET", f"{_HERE}/linked/{quote(token, safe='')}"):
            yield piece


def _path(*parts: str) -> str:
    return "/".join([_HERE, *(quote(part, safe="") for part in parts)])
