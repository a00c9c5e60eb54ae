"""When will this order be there?"""

from typing import Any, Final

import msgspec
from pydantic import Field

from foodex.core.access import SYSTEM, Principal, Role, current_principal
from foodex.core.errors import NotFound, PaymentRequired
from foodex.domain.forecasts import QUANTILES, Ask
from foodex.domain.ledger import Price
from foodex.domain.reports import Column, Figure, Table, Unit, listed
from foodex.domain.scenarios import Outcome
from foodex.ports.accounts import Accounts
from foodex.services.gateway.answers import Eta
from foodex.services.gateway.eta import EXAMPLE
from foodex.services.gateway.scenario import Context, Parameters, Ports, Scenario, one_of
from foodex.services.gateway.selling import OPERATION, Desk

_NAMED: Final = 6
"""So many missing fields are named in the sentence; the facts have all of them."""


class PredictOrder(Parameters):
    order: dict[str, Any] = Field(
        description="What is known of the order, by the fields of the delivery record; none has "
        "to be there. Without `placed_at` it is placed now.",
        examples=[EXAMPLE],
        json_schema_extra=one_of("fields"),
    )
    model: str | None = Field(
        None,
        description="Which model answers; without it, the one promoted last.",
        examples=["eta"],
        json_schema_extra=one_of("models"),
    )
    explain: bool = Field(True, description="Tell what each factor added, in minutes.")


async def quote(ports: Ports, parameters: PredictOrder) -> Price | None:
    """No price as a job: the run buys as the public door does, so that what was paid for can be
    made again. But who cannot pay is told so at once."""
    principal = current_principal()
    if principal.account is None or Role.CLIENT not in principal.roles:
        return None
    price = await _price(ports.accounts, parameters.model)
    balance = await ports.accounts.balance(principal.account)
    if balance.balance_minor < price.amount_minor:
        raise PaymentRequired(
            "The balance does not cover the price",
            balance_minor=balance.balance_minor,
            price_minor=price.amount_minor,
            currency=price.currency,
        )
    return None


async def _price(accounts: Accounts, model: str | None) -> Price:
    listed = {price.model: price for price in await accounts.price_list() if _is_eta(price)}
    found = listed.get(model) or listed.get(None)
    if found is None:
        raise NotFound("Forecasts are not sold here")
    return found


def _is_eta(price: Price) -> bool:
    return price.operation == OPERATION


async def run(context: Context[PredictOrder]) -> Outcome:
    """Ask as at the public door; clients pay there, once however often the run is tried."""
    parameters, ports, job = context.parameters, context.ports, context.job.job
    context.job.report(0.1, "asking the model")
    ask = Ask(order=parameters.order, model=parameters.model, explain=parameters.explain)
    body, headers = await Desk(ports.ml, ports.accounts, ports.clock).answer(
        await _payer(context), ask, msgspec.json.encode(parameters.order), f"scenario-{job.id}"
    )
    eta = msgspec.json.decode(body, type=Eta)
    paid = {name.decode(): value.decode() for name, value in headers}
    factors = eta.explanation.factors if eta.explanation else ()
    typical = eta.explanation.typical_minutes if eta.explanation else None
    rows = [("a typical order", typical)] if typical is not None else []
    rows += [(factor.name, factor.minutes) for factor in factors]
    return Outcome(
        summary=tuple(_sentences(eta, paid)),
        figures=tuple(_figures(eta)),
        tables=(
            Table(
                title="What each factor added",
                columns=(Column(title="Factor"), Column(title="Minutes", unit=Unit.MINUTES)),
                rows=tuple(rows),
            ),
        )
        if rows
        else (),
        facts={"eta": msgspec.to_builtins(eta), "paid": paid or None},
    )


async def _payer(context: Context[PredictOrder]) -> Principal:
    """Whoever asked; people of the house pay as little here as at the public door."""
    job = context.job.job
    house = Principal(job.who, SYSTEM.roles - {Role.CLIENT}, job.account)
    if job.account is None:
        return house
    try:
        person = await context.ports.accounts.person(job.who)
    except NotFound:
        return house
    return Principal(job.who, frozenset(person.roles), job.account)


def _sentences(eta: Eta, paid: dict[str, str]) -> list[str]:
    told = []
    if eta.promise:
        told.append(
            f"Promise {eta.promise.earliest_minutes} to {eta.promise.minutes} minutes "
            f"(policy {eta.promise.policy})."
        )
    who = f"{eta.model}:{eta.version}" if eta.model else f"the rung '{eta.source}' of the ladder"
    low, high = (eta.quantiles_minutes[f"{level:g}"] for level in (QUANTILES[0], QUANTILES[-1]))
    told.append(
        f"Half of such orders take less than {eta.median_minutes:.0f} minutes, nine in ten between "
        f"{low:.0f} and {high:.0f}, says {who}."
    )
    if eta.missing:
        named, more = eta.missing[:_NAMED], len(eta.missing) - _NAMED
        rest = [f"{more} more"] if more > 0 else []
        told.append(f"It would be surer with {listed([*named, *rest])}.")
    elif eta.degraded:
        told.append("It stands on less than usual.")
    if paid:
        told.append(
            f"Paid as prediction {paid['foodex-prediction-id']}; with it, it can be made again."
        )
    return told


def _figures(eta: Eta) -> list[Figure]:
    first, last = QUANTILES[0], QUANTILES[-1]
    minutes = eta.quantiles_minutes
    figures = [
        Figure(
            name="Forecast",
            value=eta.median_minutes,
            unit=Unit.MINUTES,
            low=minutes[f"{first:g}"],
            high=minutes[f"{last:g}"],
        )
    ]
    if eta.promise:
        figures.insert(0, Figure(name="Promise", value=eta.promise.minutes, unit=Unit.MINUTES))
    return figures


SCENARIO = Scenario(
    name="predict-order",
    title="Predict one delivery",
    purpose="How long one order will take, what to promise its customer, and why.",
    parameters=PredictOrder,
    run=run,
    roles=frozenset(Role),
    quote=quote,
    # The forecast goes by what has been delivered until now.
    reproducible=False,
    timeout_seconds=120.0,
)
