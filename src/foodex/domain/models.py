"""Models, their versions, and the jobs that make and judge them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from foodex.domain.promises import PolicyChange


class JobKind(StrEnum):
    """What a background job does."""

    TRAIN = "train"
    EVALUATE = "evaluate"


class JobState(StrEnum):
    """`waiting` and `running` are unfinished and taken up again after a restart."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRequest:
    """What to train on what.

    `until` (zone-aware) or `split_column` (rows whose value is `train` are fitted) keeps rows for
    judging; `without` names fields the model must not see. `promote` puts the version into
    production when done; the first version of a model always goes there.
    """

    dataset: str
    model: str
    algorithm: str = "gradient_boosting"
    until: datetime | None = None
    split_column: str | None = None
    without: tuple[str, ...] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    promote: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationRequest:
    """What to judge on what; no `version` means the one in production.

    `since` (zone-aware) judges the orders placed from then on; without it, a model trained
    `until` a time is judged from that time on, and one trained on a split is judged on the rows
    whose `split_column` is not `train`. `until` leaves out the orders placed from then on. With a
    `change`, the promises that policy would have made are told beside those of the policy in
    force.
    """

    model: str
    dataset: str
    version: int | None = None
    since: datetime | None = None
    until: datetime | None = None
    change: PolicyChange | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A training or an evaluation: how far it is (`progress` from 0 to 1) and what came of it.

    `error_type` is the `type` of the error that ended it, e.g. `invalid-input`, or `internal` for
    a fault of ours.
    """

    id: str
    kind: JobKind
    state: JobState
    progress: float
    message: str
    request: Mapping[str, Any]
    who: str
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    error: str | None = None
    error_type: str | None = None
    result: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One trained version of a model and all that is known of it.

    `summary` holds metrics, features, importance, the data's period, rows and hash, seconds taken
    and the options used.
    """

    model: str
    version: int
    algorithm: str
    dataset: str
    created_at: datetime
    who: str
    size_bytes: int
    in_production: bool
    summary: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredModel:
    """A name under which versions are kept; `production` is the version that answers."""

    name: str
    description: str
    created_at: datetime
    versions: int
    latest: int | None
    production: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductionChange:
    """One line of the append-only log of what was in production when."""

    id: int
    at: datetime
    model: str
    version: int | None
    previous: int | None
    action: str
    who: str
