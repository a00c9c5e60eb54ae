"""How long will each of these orders take?"""

from typing import Literal

from pydantic import Field

from foodex.core.access import Role
from foodex.domain.ledger import Price
from foodex.domain.reports import Column, Figure, Table, Unit, of_hundred
from foodex.domain.scenarios import Outcome
from foodex.services.gateway.kinds.predicting import NAME
from foodex.services.gateway.scenario import (
    Context,
    Parameters,
    Ports,
    Scenario,
    one_of,
    sent_to,
)
from foodex.services.gateway.scenario_steps import counted, have_done


class PredictFile(Parameters):
    file: str = Field(
        description="The file of orders: the `file` that its upload was answered with.",
        examples=["0123456789abcdef-orders.csv"],
        json_schema_extra=sent_to("/api/v1/predictions/files", "file"),
    )
    mapping: str | None = Field(
        None,
        description="A mapping by its name or as TOML; without it, the columns are called as the "
        "fields of the delivery record.",
        examples=["our-export"],
        json_schema_extra=one_of("mappings"),
    )
    model: str | None = Field(
        None,
        description="Which model answers; without it, the one promoted last.",
        examples=["eta"],
        json_schema_extra=one_of("models"),
    )
    output: Literal["csv", "ndjson", "parquet"] = Field(
        "csv", description="The format of the answer."
    )


async def quote(ports: Ports, parameters: PredictFile) -> Price | None:
    """As a batch costs: every row is set aside, and only what is forecast is paid."""
    priced = ports.kinds[NAME].quote
    return None if priced is None else await priced(parameters.model_dump())


async def run(context: Context[PredictFile]) -> Outcome:
    """Have the batch done, and say what came of it."""
    done = await have_done(context, NAME, context.parameters.model_dump())
    rows, forecast, refused = done["rows"], done["forecast"], done["refused"]
    who = f"{done['model']}:{done['version']}" if done["model"] else "the ladder without a model"
    share = f", {of_hundred(forecast / rows)} of those in the file" if rows else ""
    summary = [
        f"Forecast by {who}: {counted(forecast, 'order')}{share}; the answer is {done['file']}."
    ]
    rules = sorted(done["refused_by_rule"].items(), key=lambda item: -item[1])
    if rules:
        summary.append(
            f"{counted(refused, 'row')} could not be forecast, mostly by the rule '{rules[0][0]}'; "
            "the answer says why beside each."
        )
    price = context.job.job.price
    if price is not None:
        paid = Figure(
            name="Paid",
            value=price.unit_minor * forecast,
            unit=Unit.MONEY,
            currency=price.currency,
        )
    return Outcome(
        summary=tuple(summary),
        figures=(
            Figure(name="Rows", value=rows, unit=Unit.COUNT),
            Figure(name="Forecast", value=forecast, unit=Unit.COUNT),
            Figure(name="Refused", value=refused, unit=Unit.COUNT),
            *((paid,) if price is not None else ()),
        ),
        tables=(
            Table(
                title="Why rows were refused",
                columns=(Column(title="Rule"), Column(title="Rows", unit=Unit.COUNT)),
                rows=tuple(rules),
            ),
        )
        if rules
        else (),
        facts=dict(done),
    )


SCENARIO = Scenario(
    name="predict-file",
    title="Predict a file",
    purpose="A file of orders in, the same file with forecasts and promises beside each order out.",
    parameters=PredictFile,
    run=run,
    roles=frozenset(Role),
    quote=quote,
    # The forecasts go by what has been delivered until now.
    reproducible=False,
    timeout_seconds=6 * 3600.0,
)
