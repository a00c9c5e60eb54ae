"""How did it go: orders, promises, lateness and takings of a period."""

from pydantic import AwareDatetime, Field

from foodex.domain.reports import Report
from foodex.domain.scenarios import Outcome
from foodex.services.gateway.reports.period import MOST_DAYS, period_report
from foodex.services.gateway.scenario import Context, Parameters, Scenario, one_of
from foodex.services.gateway.scenario_steps import exact_of, leave_report, span_of


class ReportPeriod(Parameters):
    dataset: str = Field(
        description="The data set of orders.",
        examples=["orders"],
        json_schema_extra=one_of("datasets"),
    )
    since: AwareDatetime | None = Field(
        None,
        description="From this time on; without it, `days` before `until`.",
        examples=["2026-03-01T00:00:00+02:00"],
    )
    until: AwareDatetime | None = Field(
        None,
        description="Before this time; without it, the end of the data set's last day.",
        examples=["2026-03-08T00:00:00+02:00"],
    )
    days: int = Field(
        7, ge=1, le=MOST_DAYS, description="How many days, where `since` is not said."
    )
    time_zone: str | None = Field(
        None,
        description="Zone of days and hours; without it, that of the data set.",
        examples=["Europe/Helsinki"],
    )


async def run(context: Context[ReportPeriod]) -> Outcome:
    """Ask storage for the sums, and write them up."""
    asked, ports = context.parameters, context.ports
    dataset = await ports.storage.dataset(asked.dataset)
    span = span_of(dataset, asked.since, asked.until, asked.days)
    zone = asked.time_zone or dataset.time_zone
    context.job.report(0.1, "adding up the orders")
    report = await period_report(
        ports.storage,
        asked.dataset,
        span.since,
        span.until,
        made_at=ports.clock.now(),
        time_zone=zone,
    )
    await leave_report(context, report, from_=0.6)
    return outcome_of(report, exact_of(asked, **span.exact(), time_zone=zone))


def outcome_of(report: Report, exact: dict[str, object]) -> Outcome:
    """What a report says, for who does not open it."""
    return Outcome(summary=report.summary, figures=report.figures, exact=exact)


SCENARIO = Scenario(
    name="report-period",
    title="Report on a period",
    purpose="Orders, promises kept, lateness and takings of a period, beside the one before it, "
    "as a document to forward.",
    parameters=ReportPeriod,
    run=run,
    report=True,
    timeout_seconds=600.0,
)
