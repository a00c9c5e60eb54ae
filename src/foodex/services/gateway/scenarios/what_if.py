"""What if we had promised otherwise?"""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import date
from typing import Any, Final

from pydantic import Field, model_validator

from foodex.core.errors import FieldProblem, InvalidInput
from foodex.domain.datasets import Dataset
from foodex.domain.ledger import Price
from foodex.domain.models import EvaluationRequest, Version
from foodex.domain.promises import PolicyChange, PromisePolicy
from foodex.domain.reports import (
    Better,
    Chart,
    ChartKind,
    Column,
    Figure,
    Origin,
    Period,
    Report,
    Section,
    Series,
    Table,
    Unit,
    of_hundred,
    shown,
)
from foodex.domain.scenarios import Outcome
from foodex.services.gateway.scenario import Context, Parameters, Ports, Scenario, one_of
from foodex.services.gateway.scenario_steps import (
    Span,
    evaluation,
    exact_of,
    learned_from,
    leave_report,
    midnight,
    name_of,
    start_of,
    version_of,
)

Facts = Mapping[str, Any]

NOT_KNOWN: Final = (
    "The orders are those that were placed then, under the promises made then. How many more or "
    "fewer customers would have ordered or waited under other promises is not known here."
)
_METHOD: Final = (
    "Each order was forecast as at its placing, from what had been delivered by then. The same "
    "forecast was turned into a promise twice: by the policy in force now, and by the other.",
    "An order is on time that came no later than promised. Lateness is 0 for an order on time.",
    "That the kitchen and the couriers would have been as fast under other promises is assumed.",
)
_ROWS: Final = (
    ("Promised, mean", "promised_minutes", Unit.MINUTES, Better.NEITHER),
    ("On time", "on_time_share", Unit.SHARE, Better.HIGHER),
    ("More than 10 min late", "late_10_share", Unit.SHARE, Better.LOWER),
    ("Lateness, half below", "late_p50_minutes", Unit.MINUTES, Better.LOWER),
    ("Lateness, nine in ten below", "late_p90_minutes", Unit.MINUTES, Better.LOWER),
    ("Of the late ones, half below", "late_half_minutes", Unit.MINUTES, Better.LOWER),
)


class WhatIf(Parameters):
    dataset: str = Field(
        description="The data set of past orders.",
        examples=["orders"],
        json_schema_extra=one_of("datasets"),
    )
    day: date | None = Field(
        None,
        description="The first day to replay, in the data set's time zone; without it, the last.",
        examples=["2026-03-06"],
    )
    days: int = Field(1, ge=1, le=92, description="How many days, from that day on.")
    model: str | None = Field(
        None,
        description="The model that forecasts (its version in production) or model:version; "
        "without it, the one that learned from this data set and is in production.",
        examples=["eta:3"],
        json_schema_extra=one_of("versions"),
    )
    quantile: float | None = Field(
        None, ge=0.05, le=0.95, description="Quantile of the forecast that is promised."
    )
    buffer_minutes: float | None = Field(
        None, ge=-120, le=120, description="Minutes added to the quantile."
    )
    round_to_minutes: int | None = Field(
        None, ge=1, le=60, description="The promise is rounded up to a multiple of this."
    )
    floor_minutes: int | None = Field(None, ge=0, le=600, description="Shortest promise.")
    ceiling_minutes: int | None = Field(None, ge=1, le=600, description="Longest promise.")

    @model_validator(mode="after")
    def _something_differs(self) -> "WhatIf":
        if self.change() == PolicyChange():
            raise ValueError(
                "nothing is changed: give quantile, buffer_minutes, round_to_minutes, "
                "floor_minutes or ceiling_minutes"
            )
        return self

    def change(self) -> PolicyChange:
        """How the other policy differs."""
        return PolicyChange(
            quantile=self.quantile,
            buffer_minutes=self.buffer_minutes,
            round_to_minutes=self.round_to_minutes,
            floor_minutes=self.floor_minutes,
            ceiling_minutes=self.ceiling_minutes,
        )


async def quote(ports: Ports, asked: WhatIf) -> Price | None:
    """It costs nothing; a policy that makes no sense is refused before anything begins."""
    _policies(ports, asked)
    return None


def _policies(ports: Ports, asked: WhatIf) -> tuple[PromisePolicy, PromisePolicy]:
    present = PromisePolicy(**ports.settings.promise.model_dump())
    return present, asked.change().of(present)


async def run(context: Context[WhatIf]) -> Outcome:
    """Replay the days, and hold both sets of promises against what happened."""
    asked, ports = context.parameters, context.ports
    present, changed = _policies(ports, asked)
    dataset = await ports.storage.dataset(asked.dataset)
    version = await _version(context)
    span = _span(dataset, asked)
    found = await evaluation(
        context,
        EvaluationRequest(
            model=version.model,
            version=version.version,
            dataset=asked.dataset,
            since=span.since,
            until=span.until,
            change=asked.change(),
        ),
        to=0.85,
    )
    replay = found["replay"]
    summary = tuple(_sentences(replay, learned_from(version, asked.dataset, span.since)))
    figures, tables = _figures(replay), _tables(replay, present, changed)
    report = Report(
        title="What if we had promised otherwise?",
        subtitle=f"{replay['present']['orders']:,} orders of {asked.dataset}, replayed",
        period=Period(since=span.since, until=span.until, time_zone=dataset.time_zone),
        made_at=ports.clock.now(),
        made_from=(
            Origin(name="Model", value=f"{name_of(version)}, {version.algorithm}"),
            Origin(name="Orders", value=asked.dataset),
        ),
        summary=summary,
        figures=figures,
        sections=(
            Section(title="By hour of placing", charts=_charts(replay), tables=tables[2:]),
            Section(title="Both policies", tables=tables[:2]),
        ),
        method=_METHOD,
    )
    await leave_report(context, report)
    day = span.since.date().isoformat()
    return Outcome(
        summary=summary,
        figures=figures,
        tables=tables,
        exact=exact_of(asked, day=day, model=name_of(version)),
        facts={
            **replay,
            "present_policy": asdict(present),
            "changed_policy": asdict(changed),
            "model": name_of(version),
            "period": span.exact(),
        },
    )


async def _version(context: Context[WhatIf]) -> Version:
    asked, ml = context.parameters, context.ports.ml
    if asked.model is not None:
        return await version_of(ml, asked.model)
    for model in await ml.models():
        if model.production is not None:
            version = await ml.version(model.name)
            if version.dataset == asked.dataset:
                return version
    problem = FieldProblem(
        "model", f"is needed: no model in production learned from '{asked.dataset}'"
    )
    raise InvalidInput("The day cannot be replayed", problems=[problem])


def _span(dataset: Dataset, asked: WhatIf) -> Span:
    if dataset.last_at is None:
        problem = FieldProblem("dataset", f"the orders of '{dataset.name}' have no `placed_at`")
        raise InvalidInput("There is no day to replay", problems=[problem])
    if asked.day is None:
        since = midnight(dataset.last_at, dataset.time_zone, 1 - asked.days)
    else:
        since = start_of(asked.day, dataset.time_zone)
    return Span(since, midnight(since, dataset.time_zone, asked.days))


def _sentences(replay: Facts, knew: bool) -> list[str]:
    now, then = replay["present"], replay["changed"]
    said = [
        f"Of {now['orders']:,} orders, {of_hundred(then['on_time_share'])} would have been on time "
        f"under the other policy; under the present one, {of_hundred(now['on_time_share'])}."
    ]
    more = then["promised_minutes"] - now["promised_minutes"]
    if abs(more) < 0.05:
        said.append("Customers would have been promised the same minutes on average.")
    else:
        word = "more" if more > 0 else "fewer"
        said.append(
            f"Customers would have been promised {abs(more):.1f} minutes {word} on average "
            f"({then['promised_minutes']:.1f}, not {now['promised_minutes']:.1f}); the promise "
            f"differs for {of_hundred(replay['differing_share'])}."
        )
    ends = replay["intervals"].get("on_time_gain")
    if ends:
        said.append(
            f"The share on time changes by {shown(ends[0], Unit.POINTS)} to "
            f"{shown(ends[1], Unit.POINTS)} (95 % sure, as such days come)."
        )
    else:
        said.append("This is one day; another may come out otherwise.")
    if knew:
        said.append(
            "The model had learned from these very orders, so both policies look better here than "
            "on the day; the difference between them is less affected."
        )
    said.append(NOT_KNOWN)
    return said


def _figures(replay: Facts) -> tuple[Figure, ...]:
    return tuple(
        Figure(
            name=name,
            value=replay["changed"][key],
            unit=unit,
            other=replay["present"][key],
            versus="present policy",
            better=better,
        )
        for name, key, unit, better in _ROWS
        if replay["changed"][key] is not None
    )


def _tables(replay: Facts, present: PromisePolicy, changed: PromisePolicy) -> tuple[Table, ...]:
    now, then = replay["present"], replay["changed"]
    policies = Table(
        title="The policies",
        columns=(Column(title=""), Column(title="Present"), Column(title="Other")),
        rows=tuple(
            (name, f"{getattr(present, field):g}", f"{getattr(changed, field):g}")
            for name, field in (
                ("Quantile promised", "quantile"),
                ("Buffer, minutes", "buffer_minutes"),
                ("Rounded up to, minutes", "round_to_minutes"),
                ("Shortest, minutes", "floor_minutes"),
                ("Longest, minutes", "ceiling_minutes"),
            )
        ),
        note="Cities with a policy of their own keep what the change does not name.",
    )
    kept = Table(
        title="What came of them",
        columns=(Column(title=""), Column(title="Present"), Column(title="Other")),
        rows=tuple(
            (name, shown(now[key], unit), shown(then[key], unit)) for name, key, unit, _ in _ROWS
        ),
    )
    hours = Table(
        title="By hour",
        columns=(
            Column(title="Hour"),
            Column(title="Orders", unit=Unit.COUNT),
            Column(title="On time, present", unit=Unit.SHARE),
            Column(title="On time, other", unit=Unit.SHARE),
            Column(title="Promised, present", unit=Unit.MINUTES),
            Column(title="Promised, other", unit=Unit.MINUTES),
            Column(title="Late p90, present", unit=Unit.MINUTES),
            Column(title="Late p90, other", unit=Unit.MINUTES),
        ),
        rows=tuple(
            (
                hour,
                both["present"]["orders"],
                *(
                    both[which][key]
                    for key in ("on_time_share", "promised_minutes", "late_p90_minutes")
                    for which in ("present", "changed")
                ),
            )
            for hour, both in replay["hours"].items()
        ),
    )
    return policies, kept, hours


def _charts(replay: Facts) -> tuple[Chart, ...]:
    hours = replay["hours"]
    if len(hours) < 2:
        return ()

    def series(key: str) -> tuple[Series, ...]:
        return tuple(
            Series(name=name, values=tuple(both[which][key] for both in hours.values()))
            for name, which in (("Other policy", "changed"), ("Present policy", "present"))
        )

    return (
        Chart(
            kind=ChartKind.BARS,
            title="On time, by hour of placing",
            says="The share of orders on time by hour under both policies.",
            labels=tuple(hours),
            series=series("on_time_share"),
            unit=Unit.SHARE,
            label_title="Hour",
        ),
        Chart(
            kind=ChartKind.LINES,
            title="Minutes promised, by hour of placing",
            says="The mean minutes promised by hour under both policies.",
            labels=tuple(hours),
            series=series("promised_minutes"),
            unit=Unit.MINUTES,
            label_title="Hour",
        ),
    )


SCENARIO = Scenario(
    name="what-if",
    title="What if we had promised otherwise?",
    purpose="A past day once more with another promise policy: how many orders on time, how late "
    "the others, and how long the promises.",
    parameters=WhatIf,
    run=run,
    quote=quote,
    report=True,
    timeout_seconds=6 * 3600.0,
)
