"""The command for costs: what each stage costs a month, and where one overtakes the next."""

from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from foodex.cli import output
from foodex.cli.options import AsJson
from foodex.core.errors import FieldProblem, InvalidInput

if TYPE_CHECKING:
    from foodex.domain.costs import Plan
    from foodex.services.gateway.costs import Measured


def add_to(app: typer.Typer) -> None:
    """Put this command under `foodex`."""
    app.command("costs")(costs)


def costs(
    predictions: Annotated[
        int | None,
        typer.Option("--predictions", "-n", help="Predictions a month; else the list's own load."),
    ] = None,
    objects_gb: Annotated[
        str | None, typer.Option("--objects-gb", help="Gigabytes of objects kept.")
    ] = None,
    prices: Annotated[
        Path | None, typer.Option("--prices", help="A price list (TOML) of your own.")
    ] = None,
    measure: Annotated[
        bool, typer.Option(help="Measure how many predictions a second this machine answers.")
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Show what each stage costs a month, by line, and where one stage overtakes the next."""
    # Late: it brings the science with it, for the measurement.
    from foodex.domain.costs import GB, Load, plan
    from foodex.services.gateway.costs import load_price_list, measure_forecasts, told

    chosen = load_price_list(prices)
    load = Load(
        predictions=chosen.reference.predictions if predictions is None else predictions,
        object_bytes=chosen.reference.object_bytes
        if objects_gb is None
        else int(_number(objects_gb) * GB),
    )
    found = plan(chosen, load)
    if measure and not as_json:
        output.err().print("[dim]Measuring this machine …[/]")
    measured = measure_forecasts() if measure else None
    if as_json:
        output.emit(told(found, measured))
    else:
        _show(found, measured)


def _number(text: str) -> Decimal:
    try:
        number = Decimal(text)
        if 0 <= number <= 10**9:
            return number
    except InvalidOperation:
        pass
    problem = FieldProblem("objects_gb", f"'{text}' is no number from 0 to 1,000,000,000")
    raise InvalidInput("Such a load cannot be reckoned", problems=[problem])


def _show(plan: "Plan", measured: "Measured | None") -> None:
    from foodex.domain.costs import GB
    from foodex.services.gateway.costs import amount, quantity

    console, prices, load = output.out(), plan.prices, plan.load
    console.print(
        f"[bold]{load.predictions:,}[/] predictions and [bold]{load.object_bytes / GB:,g} GB[/] of "
        f"objects a month, {float(plan.peak_per_second):,.3g} a second at the peak "
        f"({prices.peak_factor} × the mean)\n"
    )
    for cost in plan.stages:
        best = " [green]cheapest[/]" if cost.stage == plan.cheapest else ""
        full = "" if cost.carries else " [red]cannot carry this load[/]"
        console.print(
            f"[bold]{cost.stage}[/]  {amount(cost.total_micros)} {prices.currency} a month, "
            f"{amount(cost.per_thousand_micros)} per 1,000 predictions{best}{full}"
        )
        output.table(
            ("line", "price", "for one", "quantity", "a month", "assumed"),
            [
                (
                    line.name,
                    amount(line.price_micros),
                    line.per,
                    quantity(line),
                    amount(line.amount_micros).rjust(10),
                    f"{line.predictions_per_second:,} a second each"
                    if line.predictions_per_second
                    else "",
                )
                for line in cost.lines
            ],
        )
        console.print()
    for crossing in plan.crossings:
        why = (
            f"{crossing.other} can carry no more"
            if crossing.reason == "capacity"
            else f"it costs less than {crossing.other}"
        )
        console.print(
            f"From [bold]{crossing.predictions:,}[/] predictions a month on: "
            f"[bold]{crossing.better}[/], because {why}"
        )
    if not plan.crossings:
        console.print(f"No stage overtakes another up to {plan.searched:,} predictions a month")
    if measured:
        console.print(
            f"Measured here: [bold]{measured.per_second:,.0f}[/] predictions a second "
            f"[dim]({measured.what})[/]"
        )
    console.print(
        f"[dim]Prices: {prices.name} ({prices.source_kind}), {prices.dated}. {prices.source}[/]"
    )
