"""What the jobs service does for the others, and what a kind of job is made of."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from foodex.core.access import Role
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
from foodex.domain.ledger import Price
from foodex.ports.objects import Objects
from foodex.ports.work import Work


class Jobs(Protocol):
    """Background jobs. Who is a client sees and stops their own only; others are `NotFound`."""

    async def accept(self, request: JobRequest) -> Job:
        """Take a job on: on return it will be done, whatever is killed, and its price is set aside.

        Raises `InvalidInput`, `PaymentRequired` where the account does not cover the price,
        `Conflict` for a key that was used for something else, and `Forbidden`.
        """
        ...

    async def quote(self, request: JobRequest) -> JobQuote:
        """What a job would cost whoever asks; nothing is begun, nothing set aside.

        Raises what stands against the job, but not that the account does not cover its price.
        """
        ...

    async def job(self, job_id: str) -> Job:
        """One job, as far as it is; `NotFound`."""
        ...

    async def jobs(
        self, filter_: JobFilter = EVERY_JOB, *, before: str | None = None, limit: int = 100
    ) -> JobsPage:
        """One page of jobs, newest first."""
        ...

    async def wait_for_job(self, job_id: str, *, seen: float, timeout_seconds: float) -> Job:
        """The job once its progress has passed `seen` or it ended, at most after the timeout."""
        ...

    async def cancel_job(self, job_id: str) -> Job:
        """End an unfinished job, and stop it where it runs; `Conflict` if it has ended."""
        ...

    async def dead_letters(self, *, before: str | None = None, limit: int = 100) -> JobsPage:
        """One page of the jobs that were tried as often as they may be, newest first."""
        ...

    async def replay(self, job_id: str) -> Job:
        """Have a dead job tried anew, its price set aside again; `Conflict` if it is not dead."""
        ...

    async def job_counts(self) -> JobCounts:
        """How much there is to do."""
        ...

    def file(self, job_id: str, name: str) -> AsyncIterator[bytes]:
        """A file of a job that is done, in pieces; `NotFound`."""
        ...

    async def link(self, job_id: str, name: str) -> FileLink:
        """A link to a file of a job that is done; it needs no sign-in and expires."""
        ...

    def linked_file(self, token: str) -> AsyncIterator[bytes]:
        """The file that a link's token leads to; `NotFound` for one expired or made up."""
        ...


# --- Kinds ---------------------------------------------------------------------------------------


class JobContext(Protocol):
    """A job as the one who does it sees it.

    Nothing it leaves is seen by others before the job is done: the result, its files and the
    units to be paid become visible together, once. Effects elsewhere must be harmless to repeat;
    the job's id is their reference.
    """

    @property
    def job(self) -> Job:
        """The job as it was begun."""
        ...

    @property
    def objects(self) -> Objects:
        """The store of objects, to read from."""
        ...

    @property
    def folder(self) -> Path:
        """A folder of this attempt's own, gone with it."""
        ...

    def report(self, progress: float, message: str = "") -> None:
        """Say how far the job is, from 0 to 1, and what it does now."""
        ...

    def cancelled(self) -> bool:
        """Whether to stop: the job was cancelled, or is done by somebody else by now."""
        ...

    async def put_file(self, name: str, body: bytes | AsyncIterator[bytes] | Path) -> None:
        """Leave a file; one that is on this machine is moved."""
        ...

    def charge(self, units: int) -> None:
        """Say that so many units (in all) succeeded; without it, all that were priced."""
        ...

    async def compute(self, work: Work, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Do heavy work in a process of its own, which ends with the job, whatever happens.

        What it raises of our errors is raised here.
        """
        ...


Run = Callable[[JobContext], Awaitable[Mapping[str, Any] | None]]
"""Does a job and returns its result, plain values of JSON.

`Unavailable` is tried again later, other errors of the family end the job with their reason, and
anything else is a fault of ours: tried once more, then dead.
"""

Check = Callable[[Mapping[str, Any]], Mapping[str, Any]]
"""Gives back parameters as they are to be kept; `InvalidInput` for those that cannot be used."""

Quote = Callable[[Mapping[str, Any]], Awaitable[Price | None]]
"""The price of a job with these parameters, if it has one, for those who pay.

Asked for whoever wants the job; raises what stands against taking it on.
"""

StopElsewhere = Callable[[Job], Awaitable[None]]
"""Ends what an attempt at a job has begun in other services and nobody follows any more.

Called for a job that was cancelled, maybe several times, and maybe though there is nothing to end.
"""

STAFF: Final = frozenset({Role.OPERATOR, Role.ANALYST, Role.ADMIN})


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of job: who may ask for it, what it costs, and what does it."""

    name: str
    run: Run
    roles: frozenset[Role] = STAFF
    check: Check | None = None
    quote: Quote | None = None
    stop_elsewhere: StopElsewhere | None = None
    timeout_seconds: float = 3600.0
    max_attempts: int = 5
