"""What each stage costs a month, and where one overtakes the next."""

from collections.abc import Mapping
from dataclasses import asdict
from decimal import Decimal
from typing import Any

from pydantic import Field

from foodex.domain.costs import GB, MAX_PREDICTIONS, Load, Plan, plan
from foodex.domain.reports import Column, Report, Section, Table, Unit
from foodex.domain.scenarios import Outcome
from foodex.ports.work import Task
from foodex.services.gateway.costs import (
    Measured,
    amount,
    load_price_list,
    measure_forecasts,
    told,
)
from foodex.services.gateway.scenario import Context, Parameters, Scenario
from foodex.services.gateway.scenario_steps import exact_of, leave_report


class PlanCosts(Parameters):
    predictions: int | None = Field(
        None,
        ge=1,
        le=MAX_PREDICTIONS,
        description="Predictions a month; without it, the price list's own load.",
        examples=[1_000_000],
    )
    objects_gb: Decimal | None = Field(
        None,
        ge=0,
        le=10**9,
        description="Gigabytes of objects kept; without it, the price list's own.",
        examples=["100"],
    )
    measure: bool = Field(
        False, description="Measure how many predictions a second the worker's machine answers."
    )


async def run(context: Context[PlanCosts]) -> Outcome:
    """Reckon every stage's bill from the price list."""
    asked = context.parameters
    prices = load_price_list()
    usual = prices.reference
    load = Load(
        predictions=usual.predictions if asked.predictions is None else asked.predictions,
        object_bytes=usual.object_bytes if asked.objects_gb is None else int(asked.objects_gb * GB),
    )
    found = plan(prices, load)
    measured = None
    if asked.measure:
        context.job.report(0.2, "measuring this machine")
        measured = Measured(**await context.job.compute(measure, {}))
    tables, summary = _tables(found), tuple(_sentences(found, measured))
    report = Report(
        title="What will it cost?",
        subtitle=f"{load.predictions:,} predictions and {load.object_bytes / GB:,g} GB a month",
        made_at=context.ports.clock.now(),
        made_from=(),
        summary=summary,
        figures=(),
        sections=(Section(title="Stages", tables=tables),),
        method=(
            f"Prices: {prices.name}, {prices.dated}. {prices.source}",
            f"The peak is {prices.peak_factor} times the mean.",
        ),
    )
    await leave_report(context, report, from_=0.7)
    return Outcome(
        summary=summary,
        tables=tables,
        exact=exact_of(
            asked, predictions=load.predictions, objects_gb=str(Decimal(load.object_bytes) / GB)
        ),
        facts=told(found, measured),
    )


def measure(_: Task) -> Mapping[str, Any]:
    """The measurement, in a process of its own."""
    return asdict(measure_forecasts())


def _sentences(found: Plan, measured: Measured | None) -> list[str]:
    currency = found.prices.currency
    totals = {cost.stage: cost for cost in found.stages}
    said = []
    if found.cheapest is None:
        said.append("No stage can carry such a load.")
    else:
        best = totals[found.cheapest]
        said.append(
            f"The stage '{best.stage}' carries it cheapest: {amount(best.total_micros)} {currency} "
            f"a month, {amount(best.per_thousand_micros)} for 1,000 predictions."
        )
    for crossing in found.crossings:
        why = (
            f"'{crossing.other}' can carry no more"
            if crossing.reason == "capacity"
            else f"it costs less than '{crossing.other}'"
        )
        said.append(
            f"From {crossing.predictions:,} predictions a month on, '{crossing.better}': {why}."
        )
    if not found.crossings:
        said.append(f"No stage overtakes another up to {found.searched:,} predictions a month.")
    if measured:
        said.append(
            f"The worker's machine answers {measured.per_second:,.0f} predictions a second "
            f"({measured.what})."
        )
    said.append(f"Prices are those of {found.prices.name}, {found.prices.dated}.")
    return said


def _tables(found: Plan) -> tuple[Table, ...]:
    # Amounts are exact decimals with more digits than a cent has, so they stand as texts.
    currency = found.prices.currency
    return (
        Table(
            title="What each stage costs",
            columns=(
                Column(title="Stage"),
                Column(title=f"A month, {currency}"),
                Column(title=f"1,000 predictions, {currency}"),
                Column(title="Carries the load"),
                Column(title="Most predictions a month", unit=Unit.COUNT),
            ),
            rows=tuple(
                (
                    str(cost.stage),
                    amount(cost.total_micros),
                    amount(cost.per_thousand_micros),
                    "yes" if cost.carries else "no",
                    cost.most_predictions,
                )
                for cost in found.stages
            ),
        ),
        Table(
            title="Lines",
            columns=(Column(title="Stage"), Column(title="For"), Column(title=f"{currency}")),
            rows=tuple(
                (str(cost.stage), line.name, amount(line.amount_micros))
                for cost in found.stages
                for line in cost.lines
            ),
        ),
    )


SCENARIO = Scenario(
    name="plan-costs",
    title="Plan costs by stage",
    purpose="What the laptop, the single server and the cluster cost a month under a load, and "
    "from which load on each is the better.",
    parameters=PlanCosts,
    run=run,
    report=True,
    timeout_seconds=600.0,
)
