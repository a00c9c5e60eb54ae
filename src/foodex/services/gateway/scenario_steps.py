"""What several scenarios do: have other kinds of job done, name versions and periods, report."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from foodex.core.errors import FieldProblem, InvalidInput
from foodex.domain.datasets import Dataset
from foodex.domain.jobs import Job
from foodex.domain.models import EvaluationRequest, Version
from foodex.domain.reports import Report
from foodex.ports.jobs import JobContext
from foodex.ports.ml import Ml
from foodex.ports.objects import Objects
from foodex.ports.work import Work
from foodex.services.gateway.reports.html import render_html
from foodex.services.gateway.reports.pdf import render_pdf
from foodex.services.gateway.scenario import Context, Parameters


class Part:
    """Implements `ports.jobs.JobContext` for a part of a run: its own parameters, and a share of
    the run's progress; all else is the run's."""

    def __init__(self, whole: JobContext, job: Job, *, from_: float, to: float, what: str) -> None:
        self._whole, self._job = whole, job
        self._from, self._to, self._what = from_, to, what

    @property
    def job(self) -> Job:
        """The run's job, with the part's own id and parameters."""
        return self._job

    @property
    def objects(self) -> Objects:
        """The store of objects, to read from."""
        return self._whole.objects

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return self._whole.folder

    def report(self, progress: float, message: str = "") -> None:
        """Say how far the part is."""
        share = self._from + (self._to - self._from) * progress
        self._whole.report(share, f"{self._what}{message}" if message else "")

    def cancelled(self) -> bool:
        """Whether to stop."""
        return self._whole.cancelled()

    async def put_file(self, name: str, body: bytes | AsyncIterator[bytes] | Path) -> None:
        """Leave a file."""
        await self._whole.put_file(name, body)

    def charge(self, units: int) -> None:
        """Say that so many units succeeded."""
        self._whole.charge(units)

    async def compute(self, work: Work, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Do heavy work in a process of its own."""
        return await self._whole.compute(work, arguments)


async def have_done(
    context: Context[Any],
    kind: str,
    parameters: Mapping[str, Any],
    *,
    part: str = "",
    from_: float = 0.0,
    to: float = 1.0,
    what: str = "",
) -> Mapping[str, Any]:
    """The result of another kind of job, done within this run.

    What it begins elsewhere has the run's id, and the name of the `part` where there are several,
    as its reference: an attempt after a crash finds what the last one began.
    """
    whole = context.job
    done_by = context.ports.kinds[kind]
    id_ = f"{whole.job.id}-{part}" if part else whole.job.id
    plain = msgspec.to_builtins(parameters)
    checked = done_by.check(plain) if done_by.check else plain
    job = replace(whole.job, id=id_, kind=kind, parameters=checked)
    found = await done_by.run(Part(whole, job, from_=from_, to=to, what=what))
    return found or {}


async def evaluation(
    context: Context[Any],
    request: EvaluationRequest,
    *,
    part: str = "",
    from_: float = 0.0,
    to: float = 1.0,
    what: str = "",
) -> Mapping[str, Any]:
    """An evaluation done within this run."""
    asked = msgspec.to_builtins(request)
    return await have_done(context, "evaluate", asked, part=part, from_=from_, to=to, what=what)


async def version_of(ml: Ml, text: str, field: str = "model") -> Version:
    """The version that `model` (the one in production) or `model:version` names."""
    name, found, number = text.partition(":")
    if found and not number.isdigit():
        problem = FieldProblem(field, f"'{text}' is no model:version, e.g. {name}:3")
        raise InvalidInput("There is no such version", problems=[problem])
    return await ml.version(name, int(number) if found else None)


def name_of(version: Version) -> str:
    """As `version_of` reads it."""
    return f"{version.model}:{version.version}"


@dataclass(frozen=True, slots=True)
class Span:
    """From `since` on, before `until`, both zone-aware."""

    since: datetime
    until: datetime

    def exact(self) -> dict[str, str]:
        """As parameters."""
        return {"since": self.since.isoformat(), "until": self.until.isoformat()}


def span_of(dataset: Dataset, since: datetime | None, until: datetime | None, days: int) -> Span:
    """The period that is meant: as given, or else the last `days` whole days of the data set.

    Days are those of the data set's time zone. Raises InvalidInput for a data set whose orders
    have no times, and for a period that is none.
    """
    if until is None:
        if dataset.last_at is None:
            problem = FieldProblem("dataset", f"the orders of '{dataset.name}' have no `placed_at`")
            raise InvalidInput("There is no period to look at", problems=[problem])
        until = midnight(dataset.last_at, dataset.time_zone, 1)
    if since is None:
        since = midnight(until - timedelta(microseconds=1), dataset.time_zone, 1 - days)
    if since >= until:
        problem = FieldProblem("until", "is not after `since`")
        raise InvalidInput("There is no period to look at", problems=[problem])
    return Span(since, until)


def trimmed(span: Span, dataset: Dataset) -> Span:
    """The part of a period that a run chose itself in which the data set has orders."""
    if dataset.first_at is None or span.since > dataset.first_at:
        return span
    return Span(dataset.first_at + timedelta(microseconds=1), span.until)


def midnight(moment: datetime, time_zone: str, days_on: int = 0) -> datetime:
    """The start of the moment's local day, or of one so many days later."""
    day = moment.astimezone(ZoneInfo(time_zone)).date()
    return start_of(day + timedelta(days=days_on), time_zone)


def start_of(day: date, time_zone: str) -> datetime:
    """The start of a local day."""
    return datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(time_zone))


def learned_from(version: Version, dataset: str, since: datetime) -> bool:
    """Whether the version learned from orders of this data set placed from `since` on."""
    if version.dataset != dataset:
        return False
    period = version.summary.get("period")
    return not period or datetime.fromisoformat(period[1]) >= since


async def leave_report(context: Context[Any], report: Report, *, from_: float = 0.9) -> None:
    """Leave a report as a page, as PDF, and as a value."""
    job = context.job
    job.report(from_, "writing the report")
    await job.put_file("report.html", await asyncio.to_thread(render_html, report))
    await job.put_file("report.pdf", await render_pdf(report))
    value = msgspec.json.format(msgspec.json.encode(report), indent=2)
    await job.put_file("report.json", value)


def counted(count: int, what: str) -> str:
    """1 row, 2 rows."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def exact_of(parameters: Parameters, **chosen: Any) -> dict[str, Any]:
    """The parameters with what the run chose itself."""
    return {**parameters.model_dump(mode="json"), **chosen}
