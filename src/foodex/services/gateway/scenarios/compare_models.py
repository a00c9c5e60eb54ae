"""Which of these models is better, and is the difference more than luck?"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

from pydantic import AwareDatetime, Field

from foodex.core.errors import FieldProblem, InvalidInput
from foodex.domain.models import EvaluationRequest, Version
from foodex.domain.reports import (
    Column,
    Figure,
    Origin,
    Period,
    Report,
    Section,
    Table,
    Unit,
    shown,
    signed,
)
from foodex.domain.scenarios import Outcome
from foodex.eta.evaluation import Gain, days_from_json, gains
from foodex.services.gateway.scenario import MOST_PARTS, Context, Parameters, Scenario, one_of
from foodex.services.gateway.scenario_steps import (
    Span,
    evaluation,
    exact_of,
    learned_from,
    leave_report,
    name_of,
    span_of,
    trimmed,
    version_of,
)

_COLUMNS = (
    ("Mean error", "mae_minutes", Unit.MINUTES),
    ("Bias", "bias_minutes", Unit.MINUTES),
    ("Within 5 min", "within_5", Unit.SHARE),
    ("Within 10 min", "within_10", Unit.SHARE),
    ("In the 90 % interval", "coverage_90", Unit.SHARE),
    ("Its width", "width_90_minutes", Unit.MINUTES),
    ("On time", "on_time_share", Unit.SHARE),
)
_METHOD = (
    "Every model forecast the same orders, each as on the day it was placed, from what had been "
    "delivered by then. The forecast that is judged is the median.",
    "Intervals (95 % sure) come from drawing whole days again and again, the same days for both "
    "models of a pair: what made a day hard was hard for both. A difference is called more than "
    "luck where its interval does not hold zero.",
)


class CompareModels(Parameters):
    models: tuple[str, ...] = Field(
        min_length=2,
        max_length=MOST_PARTS,
        description="Two or more: model (its version in production) or model:version.",
        examples=[["eta:3", "eta:4"]],
        json_schema_extra=one_of("versions"),
    )
    dataset: str = Field(
        description="The orders to judge them on.",
        examples=["orders"],
        json_schema_extra=one_of("datasets"),
    )
    since: AwareDatetime | None = Field(
        None,
        description="Judge the orders placed from this time on; without it, `days` before `until`.",
        examples=["2026-03-01T00:00:00+02:00"],
    )
    until: AwareDatetime | None = Field(
        None,
        description="Before this time; without it, the end of the data set's last day.",
        examples=["2026-03-08T00:00:00+02:00"],
    )
    days: int = Field(7, ge=1, le=400, description="How many days, where `since` is not said.")


async def run(context: Context[CompareModels]) -> Outcome:
    """Judge each on the same orders, then each pair day by day."""
    asked, ports = context.parameters, context.ports
    versions = [await version_of(ports.ml, model, "models") for model in asked.models]
    names = [name_of(version) for version in versions]
    if len(set(names)) < len(names):
        problem = FieldProblem("models", f"name the same version twice: {', '.join(names)}")
        raise InvalidInput("The models cannot be compared", problems=[problem])
    dataset = await ports.storage.dataset(asked.dataset)
    span = span_of(dataset, asked.since, asked.until, asked.days)
    if asked.since is None:
        span = trimmed(span, dataset)
    judged: dict[str, Mapping[str, Any]] = {}
    for number, version in enumerate(versions):
        judged[names[number]] = await evaluation(
            context,
            EvaluationRequest(
                model=version.model,
                version=version.version,
                dataset=asked.dataset,
                since=span.since,
                until=span.until,
            ),
            part=str(number + 1),
            from_=0.85 * number / len(versions),
            to=0.85 * (number + 1) / len(versions),
            what=f"{names[number]}: ",
        )
    knew = [name_of(v) for v in versions if learned_from(v, asked.dataset, span.since)]
    pairs = _pairs(judged, knew)
    summary = tuple(_sentences(judged, pairs, knew))
    figures, tables = _figures(judged), _tables(judged, pairs)
    report = Report(
        title="Which model is better?",
        subtitle=f"{', '.join(names)} on the same orders of {asked.dataset}",
        period=Period(since=span.since, until=span.until, time_zone=dataset.time_zone),
        made_at=ports.clock.now(),
        made_from=tuple(_origin(version) for version in versions),
        summary=summary,
        figures=figures,
        sections=(Section(title="Side by side", tables=tables),),
        method=_METHOD,
    )
    await leave_report(context, report)
    return Outcome(
        summary=summary,
        figures=figures,
        tables=tables,
        exact=exact_of(asked, models=names, **span.exact()),
        facts=_facts(judged, pairs, span),
    )


def _pairs(
    judged: Mapping[str, Mapping[str, Any]], knew: Sequence[str]
) -> dict[tuple[str, str], tuple[Gain, Gain]]:
    """Of each two, the closer first: how much less it misses, and how much more it keeps.

    Those that learned from the orders come last: what they know by heart makes no winner.
    """
    ranked = sorted(judged, key=lambda name: (name in knew, judged[name]["mae_minutes"]))
    days = {name: days_from_json(judged[name]["days"]) for name in ranked}
    return {(a, b): gains(days[a], days[b]) for a, b in combinations(ranked, 2)}


def _sentences(
    judged: Mapping[str, Mapping[str, Any]],
    pairs: Mapping[tuple[str, str], tuple[Gain, Gain]],
    knew: Sequence[str],
) -> list[str]:
    (first, second), (gain, kept) = next(iter(pairs.items()))
    n = judged[first]["n"]
    said = [
        f"On {n:,} orders {first} misses by {judged[first]['mae_minutes']:.2f} minutes on average, "
        f"{second} by {judged[second]['mae_minutes']:.2f}."
    ]
    if first in knew or second in knew:
        said.append("Which of them is better cannot be told so: not all were new to these orders.")
    else:
        said += _verdict(first, second, gain, kept)
    said.extend(
        f"{name} learned from some of these orders, so it looks better here than it is; train it "
        "`until` the period begins, to compare it."
        for name in knew
    )
    return said


def _verdict(first: str, second: str, gain: Gain, kept: Gain) -> list[str]:
    said = []
    if gain.low is None or gain.high is None:
        said.append("One day is too little to tell whether that is more than luck.")
    elif gain.sure:
        said.append(
            f"{first} is better, and that is more than luck: closer by {gain.low:.2f} to "
            f"{gain.high:.2f} minutes (95 % sure)."
        )
    else:
        said.append(
            f"That may be luck: the difference lies between {signed(f'{gain.low:.2f}')} and "
            f"{gain.high:.2f} minutes (95 % sure). More days could tell."
        )
    if kept.sure:
        better, share = (first, kept.value) if kept.value > 0 else (second, -kept.value)
        said.append(
            f"Promises made from {better} would have been kept more often, by "
            f"{shown(share, Unit.POINTS)}."
        )
    return said


def _figures(judged: Mapping[str, Mapping[str, Any]]) -> tuple[Figure, ...]:
    figures = []
    for name, found in judged.items():
        low, high = found["intervals"].get("mae_minutes") or (None, None)
        figures.append(
            Figure(
                name=f"Mean error, {name}",
                value=found["mae_minutes"],
                unit=Unit.MINUTES,
                low=low,
                high=high,
            )
        )
    return tuple(figures)


def _tables(
    judged: Mapping[str, Mapping[str, Any]],
    pairs: Mapping[tuple[str, str], tuple[Gain, Gain]],
) -> tuple[Table, ...]:
    best = next(iter(judged.values()))
    rows = [(name, *(found.get(key) for _, key, _ in _COLUMNS)) for name, found in judged.items()]
    # What they have to beat: the same for each of them, as it knows no model.
    for name, figures in best["baselines"].items():
        if figures["n"] == best["n"]:
            rows.append((f"({name})", *(figures.get(key) for _, key, _ in _COLUMNS)))
    side = Table(
        title="Figures",
        columns=(
            Column(title="Model"),
            *(Column(title=title, unit=unit) for title, _, unit in _COLUMNS),
        ),
        rows=tuple(rows),
        note="In brackets: what needs no model.",
    )
    differences = Table(
        title="Differences",
        columns=(
            Column(title="Model"),
            Column(title="Than"),
            Column(title="Closer by", unit=Unit.MINUTES),
            Column(title="At least", unit=Unit.MINUTES),
            Column(title="At most", unit=Unit.MINUTES),
            Column(title="On time", unit=Unit.POINTS),
            Column(title="More than luck"),
        ),
        rows=tuple(
            (a, b, gain.value, gain.low, gain.high, kept.value, "yes" if gain.sure else "no")
            for (a, b), (gain, kept) in pairs.items()
        ),
    )
    return side, differences


def _origin(version: Version) -> Origin:
    rows = version.summary.get("rows")
    learned = f", learned from {rows:,} orders of {version.dataset}" if rows else ""
    return Origin(name=name_of(version), value=f"{version.algorithm}{learned}")


def _facts(
    judged: Mapping[str, Mapping[str, Any]],
    pairs: Mapping[tuple[str, str], tuple[Gain, Gain]],
    span: Span,
) -> dict[str, Any]:
    return {
        "period": span.exact(),
        "models": {
            name: {
                "n": found["n"],
                **{key: found.get(key) for _, key, _ in _COLUMNS},
                "intervals": found["intervals"],
            }
            for name, found in judged.items()
        },
        "differences": [
            {
                "model": a,
                "than": b,
                "closer_minutes": [gain.value, gain.low, gain.high],
                "on_time": [kept.value, kept.low, kept.high],
                "more_than_luck": gain.sure,
            }
            for (a, b), (gain, kept) in pairs.items()
        ],
    }


SCENARIO = Scenario(
    name="compare-models",
    title="Compare models on the same period",
    purpose="Two or more models on the same orders, side by side: which is better, and whether "
    "the difference is more than luck.",
    parameters=CompareModels,
    run=run,
    report=True,
    timeout_seconds=6 * 3600.0,
)
