"""How good is a model, where is it weak, and what does it go by?"""

from pydantic import AwareDatetime, Field

from foodex.domain.models import EvaluationRequest
from foodex.domain.scenarios import Outcome
from foodex.eta.evaluation.document import model_report
from foodex.services.gateway.scenario import Context, Parameters, Scenario, one_of
from foodex.services.gateway.scenario_steps import (
    evaluation,
    exact_of,
    leave_report,
    name_of,
    version_of,
)


class ReportModel(Parameters):
    model: str = Field(
        description="The model (its version in production) or model:version.",
        examples=["eta:3"],
        json_schema_extra=one_of("versions"),
    )
    dataset: str | None = Field(
        None,
        description="The orders to judge it on; without it, those it was made for.",
        examples=["orders"],
        json_schema_extra=one_of("datasets"),
    )
    since: AwareDatetime | None = Field(
        None,
        description="Judge the orders placed from this time on; without it, those after the ones "
        "it learned from.",
        examples=["2026-03-01T00:00:00+02:00"],
    )
    until: AwareDatetime | None = Field(
        None, description="Before this time.", examples=["2026-03-08T00:00:00+02:00"]
    )


async def run(context: Context[ReportModel]) -> Outcome:
    """Judge it, and write that up."""
    asked, ports = context.parameters, context.ports
    version = await version_of(ports.ml, asked.model)
    dataset = asked.dataset or version.dataset
    found = await evaluation(
        context,
        EvaluationRequest(
            model=version.model,
            version=version.version,
            dataset=dataset,
            since=asked.since,
            until=asked.until,
        ),
        to=0.85,
    )
    report = model_report(version, found, made_at=ports.clock.now())
    await leave_report(context, report)
    return Outcome(
        summary=report.summary,
        figures=report.figures,
        exact=exact_of(asked, model=name_of(version), dataset=dataset, since=found.get("since")),
        facts={
            "model": version.model,
            "version": version.version,
            "metrics": {
                name: value for name, value in found.items() if isinstance(value, int | float)
            },
            "intervals": found["intervals"],
        },
    )


SCENARIO = Scenario(
    name="report-model",
    title="Report on a model",
    purpose="How far a model misses by hour, zone and weather, whether its intervals hold, and "
    "which factors matter, as a document to forward.",
    parameters=ReportModel,
    run=run,
    report=True,
    timeout_seconds=6 * 3600.0,
)
