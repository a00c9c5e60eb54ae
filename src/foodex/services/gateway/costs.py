"""The cost planner: where its price list lies, what this machine answers, and a plan as JSON."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

from foodex.city import simulate_history
from foodex.core.errors import InvalidInput
from foodex.core.settings import find_config_dir
from foodex.domain.costs import GB, CostLine, Load, Per, Plan, PriceList, cost_of, most_predictions
from foodex.domain.price_lists import read_price_list
from foodex.domain.promises import PromisePolicy
from foodex.eta import TrainingOptions, train

PRICES_FILE: Final = "prices.toml"

_START: Final = datetime(2026, 8, 3, tzinfo=UTC)
_DAYS: Final = 3
_CURVE: Final = tuple(step * 10**power for power in range(3, 10) for step in (1, 2, 3, 5, 7))


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """How many predictions a second were answered here, over how long, and what was measured."""

    per_second: float
    seconds: float
    predictions: int
    what: str


def load_price_list(path: Path | None = None) -> PriceList:
    """The price list in this file, or else the one beside the settings that come with FoodEx.

    Raises `InvalidInput` where it cannot be read, naming every wrong key.
    """
    chosen = path or find_config_dir() / PRICES_FILE
    try:
        text = chosen.read_text(encoding="utf-8")
    except OSError as error:
        raise InvalidInput(
            f"The price list {chosen} cannot be read: {error.strerror or error}"
        ) from None
    except UnicodeDecodeError:
        raise InvalidInput(f"The price list {chosen} is no text in UTF-8") from None
    return read_price_list(text)


def measure_forecasts(seconds: float = 1.0) -> Measured:
    """Ask a small model for one order's promise again and again, for about so many seconds.

    The whole way from a raw order to its promise, in this process, one after another, without
    HTTP and without a purchase. Blocks for a few seconds longer than asked: the model is made
    first, of a simulated city.
    """
    frame = simulate_history(seed=7, start=_START, days=_DAYS, orders_per_day=100)
    options = TrainingOptions(time_zone="Europe/Helsinki", without=("vehicle",), threads=1)
    model = train(frame, options)
    state, policy = model.state_of(frame), PromisePolicy()
    now = _START + timedelta(days=_DAYS)
    told = {"vehicle", "courier_id"}
    order = {
        name: value
        for name, value in frame.row(-1, named=True).items()
        if name not in told and not name.endswith(("_at", "_minutes"))
    }
    for _ in range(200):
        model.forecast(order, state, now=now, policy=policy)
    count, began = 0, time.perf_counter()
    while (taken := time.perf_counter() - began) < seconds:
        model.forecast(order, state, now=now, policy=policy)
        count += 1
    return Measured(
        per_second=count / taken,
        seconds=taken,
        predictions=count,
        what=f"{model.summary.trees} trees learned from {frame.height} simulated orders; one order "
        "after another in one process, without HTTP",
    )


def told(plan: Plan, measured: Measured | None = None) -> dict[str, Any]:
    """A plan as JSON values; amounts are exact decimals in the list's currency, as texts."""
    prices, load = plan.prices, plan.load
    return {
        "prices": {
            "name": prices.name,
            "currency": prices.currency,
            "dated": prices.dated.isoformat(),
            "source": prices.source,
            "source_kind": prices.source_kind,
            "hours_per_month": prices.hours_per_month,
            "peak_factor": prices.peak_factor,
        },
        "load": {
            "predictions": load.predictions,
            "objects_gb": float(Fraction(load.object_bytes, GB)),
            "peak_per_second": float(plan.peak_per_second),
        },
        "stages": [
            {
                "stage": cost.stage,
                "total": amount(cost.total_micros),
                "per_thousand": amount(cost.per_thousand_micros),
                "carries": cost.carries,
                "most_predictions": cost.most_predictions,
                "lines": [_line(line) for line in cost.lines],
            }
            for cost in plan.stages
        ],
        "cheapest": plan.cheapest,
        "crossings": [
            {
                "from_predictions": crossing.predictions,
                "better": crossing.better,
                "other": crossing.other,
                "reason": crossing.reason,
            }
            for crossing in plan.crossings
        ],
        "searched_predictions": plan.searched,
        "measured": None
        if measured is None
        else {
            "predictions_per_second": round(measured.per_second, 1),
            "seconds": round(measured.seconds, 3),
            "predictions": measured.predictions,
            "what": measured.what,
        },
    }


def curve(prices: PriceList, object_bytes: int) -> list[dict[str, Any]]:
    """What each stage costs a month for more and more predictions, with so many bytes kept.

    An amount is None where the stage cannot carry that many.
    """
    points = []
    limits = {most_predictions(prices, stage) for stage in prices.stages} - {None}
    for predictions in sorted({*_CURVE, *limits}):
        load = Load(predictions=predictions, object_bytes=object_bytes)
        costs = (cost_of(prices, stage, load) for stage in prices.stages)
        totals = {c.stage: amount(c.total_micros) if c.carries else None for c in costs}
        points.append({"predictions": predictions, "totals": totals})
    return points


def amount(micros: int, least_digits: int = 2) -> str:
    """Micro-units as an exact decimal: 2500000 is 2.50, 28 is 0.000028."""
    whole, rest = divmod(abs(micros), 10**6)
    digits = f"{rest:06}".rstrip("0").ljust(least_digits, "0")
    return f"{'-' if micros < 0 else ''}{whole}.{digits}"


def quantity(line: CostLine) -> str:
    """What a line counts, in words: 100 GB, 1 million, 2 machines."""
    match line.per:
        case Per.GB_MONTH:
            return f"{float(line.quantity):,.6g} GB"
        case Per.MILLION_PREDICTIONS:
            return f"{float(line.quantity):,.6g} million"
        case Per.MACHINE_HOUR:
            return f"{line.machines:,} machine{'' if line.machines == 1 else 's'}"
    return "1 month"


def _line(line: CostLine) -> dict[str, Any]:
    return {
        "name": line.name,
        "price": amount(line.price_micros),
        "per": line.per,
        "quantity": float(line.quantity),
        "machines": line.machines,
        "predictions_per_second": line.predictions_per_second,
        "amount": amount(line.amount_micros),
        "note": line.note,
    }
