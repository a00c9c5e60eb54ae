"""Scenarios: the things people want done, their runs, and what comes of one."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from foodex.core.access import Role
from foodex.core.errors import FieldProblem
from foodex.domain.jobs import JobFile, JobState
from foodex.domain.reports import Figure, Table


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioDescription:
    """A scenario as those see it who may run it.

    `parameters` is the JSON Schema of what it takes. A `reproducible` one gives the same again
    from the same data; one that is a `report` leaves documents.
    """

    name: str
    title: str
    purpose: str
    roles: tuple[Role, ...]
    parameters: Mapping[str, Any]
    reproducible: bool
    report: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a run, so told that any page can show it without knowing the scenario.

    `summary` are sentences. `exact` are the parameters with every choice made that the run made
    itself (the version that was in production, the period): with them it is the same again.
    `facts` are the same things for programs, by the scenario's own names.
    """

    summary: tuple[str, ...]
    figures: tuple[Figure, ...] = ()
    tables: tuple[Table, ...] = ()
    exact: Mapping[str, Any] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run of a scenario as it stands: a background job, by its scenario's words.

    `progress` is a share from 0 to 1, `seconds` how long it took, `paid_minor` what it cost in
    minor units of `currency` where it was paid as a job.
    """

    id: str
    scenario: str
    title: str
    state: JobState
    progress: float
    message: str
    who: str
    parameters: Mapping[str, Any]
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    seconds: float | None = None
    seconds_left: float | None = None
    outcome: Outcome | None = None
    files: tuple[JobFile, ...] = ()
    error: str | None = None
    error_type: str | None = None
    problems: tuple[FieldProblem, ...] = ()
    paid_minor: int | None = None
    currency: str | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing more happens by itself."""
        return self.state not in (JobState.WAITING, JobState.RUNNING)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFilter:
    """Which runs: of these scenarios and states (all, if none), of this caller."""

    scenarios: tuple[str, ...] = ()
    states: tuple[JobState, ...] = ()
    who: str | None = None


EVERY_RUN = RunFilter()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunsPage:
    """Some runs, newest first; `next_before` is the cursor of the next page, if any."""

    runs: tuple[Run, ...]
    next_before: str | None = None
