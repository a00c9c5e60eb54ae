"""Background jobs: what is asked for, how far it is, and what came of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from foodex.core.errors import FieldProblem, InvalidInput
from foodex.domain.ledger import Price

LOWEST: Final = 0
NORMAL: Final = 5
HIGHEST: Final = 9
"""Jobs of a higher priority begin first; those of one priority in the order of their coming."""

KEY_LIMIT: Final = 200


class JobState(StrEnum):
    """`waiting` and `running` are unfinished and taken up again after a restart.

    `failed` is the fault of what was asked for, and says so. `dead` is a fault of ours: the job
    was tried as often as it may be; an admin can have it tried again.
    """

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    DEAD = "dead"


UNFINISHED: Final = (JobState.WAITING, JobState.RUNNING)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRequest:
    """What is to be done.

    The same `key` from the same caller gives the job that there is already. `timeout_seconds` and
    `max_attempts` are the kind's own where they are not given.
    """

    kind: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    priority: int = NORMAL
    key: str | None = None
    timeout_seconds: float | None = None
    max_attempts: int | None = None

    def __post_init__(self) -> None:
        problems = []
        if not LOWEST <= self.priority <= HIGHEST:
            problems.append(FieldProblem("priority", f"must be {LOWEST} to {HIGHEST}"))
        if self.key is not None and not (
            1 <= len(self.key) <= KEY_LIMIT and self.key.isascii() and self.key.isprintable()
        ):
            why = f"must be 1 to {KEY_LIMIT} printable ASCII characters"
            problems.append(FieldProblem("key", why))
        if self.timeout_seconds is not None and not 0 < self.timeout_seconds < float("inf"):
            problems.append(FieldProblem("timeout_seconds", "must be above 0"))
        if self.max_attempts is not None and not 1 <= self.max_attempts <= 100:
            problems.append(FieldProblem("max_attempts", "must be 1 to 100"))
        if problems:
            raise InvalidInput("The job cannot be accepted", problems=problems)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobQuote:
    """What a job would be: how many units, where its kind counts them, and its price.

    The price is that for whoever asks; None where they pay nothing.
    """

    units: int | None = None
    price: Price | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFile:
    """A file that a job left."""

    name: str
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job as it stands.

    `progress` is a share from 0 to 1, `seconds_left` an estimate while it runs. `attempts` is how
    often it was begun. `account` pays `price` for each of the `units_done` and no more; the money
    lies in the `reservation` until the job has ended and is `settled`. `error_type` is the `type`
    of the error that ended it, e.g. `invalid-input`, or `internal` for a fault of ours.
    """

    id: str
    kind: str
    parameters: Mapping[str, Any]
    state: JobState
    priority: int
    attempts: int
    max_attempts: int
    timeout_seconds: float
    progress: float
    message: str
    who: str
    created_at: datetime
    due_at: datetime
    seconds_left: float | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    account: str | None = None
    price: Price | None = None
    reservation: str | None = None
    units_done: int = 0
    settled: bool = True
    result: Mapping[str, Any] | None = None
    files: tuple[JobFile, ...] = ()
    error: str | None = None
    error_type: str | None = None
    problems: tuple[FieldProblem, ...] = ()

    @property
    def ended(self) -> bool:
        """Whether nothing more happens by itself."""
        return self.state not in UNFINISHED


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFilter:
    """Which jobs: of these states and kinds (all, if none), of this caller or account."""

    states: tuple[JobState, ...] = ()
    kinds: tuple[str, ...] = ()
    who: str | None = None
    account: str | None = None


EVERY_JOB: Final = JobFilter()


@dataclass(frozen=True, slots=True, kw_only=True)
class JobsPage:
    """Some jobs, newest first; `next_before` is the cursor of the next page, if any."""

    jobs: tuple[Job, ...]
    next_before: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobCounts:
    """How many jobs wait, run and lie dead, and how many messages are in the queue."""

    waiting: int
    running: int
    dead: int
    queued: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FileLink:
    """A path under which anybody who has it may fetch a file until `expires_at`."""

    path: str
    expires_at: datetime
