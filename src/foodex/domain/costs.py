"""What FoodEx costs a month: price lists, loads, stages side by side, and where they cross.

Money is exact: prices are whole micro-units (millionths of the currency's unit) and sums are
fractions; a line is rounded to a micro-unit once, for showing, half up.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from fractions import Fraction
from itertools import pairwise
from typing import Final

from foodex.core.errors import FieldProblem, InvalidInput
from foodex.core.settings import Stage

MICRO: Final = 1_000_000
"""Micro-units in one unit of a currency."""
GB: Final = 10**9
"""Bytes in a gigabyte, as clouds count them."""
MAX_PREDICTIONS: Final = 10**12
"""No load is larger: a million predictions a month for everybody in a city of a million."""
MAX_BYTES: Final = 10**18
MAX_CROSSINGS: Final = 4
MAX_STEPS: Final = 10_000
"""Bounds of the search for crossings."""


class Per(StrEnum):
    """What a line's price is for."""

    GB_MONTH = "GB-month"
    """A gigabyte kept for a month: of the load's objects, or of a disk of fixed size."""
    MILLION_PREDICTIONS = "million-predictions"
    MACHINE_HOUR = "machine-hour"
    """An hour of one machine, running all month: a fixed number, or as many as the peak needs."""
    MONTH = "month"


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceLine:
    """One line of a stage's bill.

    `price_micros` is for one `per`. `fixed` is the quantity where the load does not decide it
    (gigabytes, or machines). A machine line with `predictions_per_second` grows: what one machine
    is assumed to answer, with at least `least` of them and at most `most`.
    """

    name: str
    per: Per
    price_micros: int
    fixed: int | None = None
    predictions_per_second: int | None = None
    least: int = 1
    most: int | None = None
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceList:
    """Prices of one day. `source_kind` says what the figures are: list, quote, bill or planning.

    Machines are counted for the peak: `peak_factor` times the mean rate of the month.
    """

    name: str
    currency: str
    dated: date
    source: str
    source_kind: str
    hours_per_month: int
    peak_factor: int
    reference: "Load"
    stages: Mapping[Stage, tuple[PriceLine, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What is asked of a system: predictions a month, and bytes of objects kept."""

    predictions: int
    object_bytes: int

    def __post_init__(self) -> None:
        problems = [
            FieldProblem(name, f"must be a whole number from {least} to {most:,}")
            for name, least, most in (
                ("predictions", 1, MAX_PREDICTIONS),
                ("object_bytes", 0, MAX_BYTES),
            )
            if not least <= getattr(self, name) <= most
        ]
        if problems:
            raise InvalidInput("Such a load cannot be reckoned", problems=problems)


@dataclass(frozen=True, slots=True, kw_only=True)
class CostLine:
    """One line for a month. `quantity` is in `per`: gigabytes, millions, or hours of machines.

    `machines` and `predictions_per_second` (assumed of each) stand where the line has machines.
    """

    name: str
    per: Per
    price_micros: int
    quantity: Fraction
    amount_micros: int
    machines: int | None = None
    predictions_per_second: int | None = None
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageCost:
    """What a stage costs a month under a load.

    `total_micros` is the sum of the lines. `carries` is false where the stage cannot answer the
    peak with the machines it may have; `most_predictions` is the most it can a month.
    """

    stage: Stage
    lines: tuple[CostLine, ...]
    total_micros: int
    per_thousand_micros: int
    carries: bool
    most_predictions: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossing:
    """From `predictions` a month on, `better` is to be preferred to `other`.

    Because it costs less (`cheaper`), or because `other` cannot answer so many (`capacity`).
    """

    better: Stage
    other: Stage
    predictions: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossings:
    """The crossings of two stages for loads of up to `searched` predictions a month."""

    found: tuple[Crossing, ...]
    searched: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All stages under one load, the cheapest that carries it, and where stages cross.

    `crossings` are of neighbouring stages, for loads of up to `searched` predictions a month with
    the same objects kept.
    """

    prices: PriceList
    load: Load
    peak_per_second: Fraction
    stages: tuple[StageCost, ...]
    cheapest: Stage | None
    crossings: tuple[Crossing, ...]
    searched: int


def plan(prices: PriceList, load: Load | None = None) -> Plan:
    """What every stage costs under `load`, or else under the list's reference load."""
    load = load or prices.reference
    stages = tuple(cost_of(prices, stage, load) for stage in Stage if stage in prices.stages)
    able = [stage for stage in stages if stage.carries]
    crossed = [
        crossings(prices, first.stage, second.stage, load.object_bytes)
        for first, second in pairwise(stages)
    ]
    return Plan(
        prices=prices,
        load=load,
        peak_per_second=peak_per_second(prices, load.predictions),
        stages=stages,
        cheapest=min(able, key=lambda cost: cost.total_micros).stage if able else None,
        crossings=tuple(crossing for pair in crossed for crossing in pair.found),
        searched=min((pair.searched for pair in crossed), default=MAX_PREDICTIONS),
    )


def cost_of(prices: PriceList, stage: Stage, load: Load) -> StageCost:
    """One stage's bill for a month."""
    lines = tuple(_cost_line(prices, line, load) for line in prices.stages[stage])
    total = sum(line.amount_micros for line in lines)
    most = most_predictions(prices, stage)
    return StageCost(
        stage=stage,
        lines=lines,
        total_micros=total,
        per_thousand_micros=_rounded(Fraction(total * 1000, load.predictions)),
        carries=most is None or load.predictions <= most,
        most_predictions=most,
    )


def exact_cost(prices: PriceList, stage: Stage, load: Load) -> Fraction:
    """A stage's cost in micro-units before any rounding, whether or not it carries the load."""
    amounts = (line.price_micros * _quantity(prices, line, load) for line in prices.stages[stage])
    return sum(amounts, Fraction(0))


def peak_per_second(prices: PriceList, predictions: int) -> Fraction:
    """Predictions a second at the peak of a month with so many."""
    return Fraction(predictions * prices.peak_factor, prices.hours_per_month * 3600)


def most_predictions(prices: PriceList, stage: Stage) -> int | None:
    """The most predictions a month that a stage's machines answer at the peak; None: no limit."""
    limits = [
        line.most * _per_machine(prices, line.predictions_per_second)
        for line in prices.stages[stage]
        if line.predictions_per_second and line.most is not None
    ]
    return min(limits) // prices.peak_factor if limits else None


def crossings(
    prices: PriceList,
    first: Stage,
    second: Stage,
    object_bytes: int,
    *,
    up_to: int = MAX_PREDICTIONS,
) -> Crossings:
    """Where the better of two stages changes as predictions grow up to `up_to` a month.

    The first stage is taken while both cost the same. Between two steps of either's machines
    both costs are straight lines, so each crossing is exact. The search ends where a stage can
    carry no more, for nothing changes after that, and where `MAX_CROSSINGS` or `MAX_STEPS` are
    reached.
    """
    limits = [most_predictions(prices, stage) for stage in (first, second)]
    # One beyond the lower limit; where both are the same there is nobody to prefer beyond it.
    beyond = 0 if limits[0] == limits[1] else 1
    end = min([up_to, *(limit + beyond for limit in limits if limit is not None)])
    found: list[Crossing] = []

    def better_at(predictions: int) -> Stage:
        return _better(prices, first, second, predictions, object_bytes)

    better, low = better_at(1), 1
    for _ in range(MAX_STEPS):
        # From `low` to `last` nobody takes another machine.
        steps = [_next_step(prices, stage, low) for stage in (first, second)]
        last = min(*steps, end + 1) - 1
        for at in (low, _turn(better_at, low, last)):
            if (now := better_at(at)) is not better:
                better, other = now, better
                limit = limits[0] if other is first else limits[1]
                full = limit is not None and at > limit
                reason = "capacity" if full else "cheaper"
                found.append(Crossing(better=better, other=other, predictions=at, reason=reason))
        low = last + 1
        if low > end or len(found) >= MAX_CROSSINGS:
            break
    whole = low > end and end < up_to
    return Crossings(found=tuple(found), searched=up_to if whole else low - 1)


def _turn(better_at: Callable[[int], Stage], low: int, last: int) -> int:
    """The first load up to `last` with another answer than `low`, where it changes once at most."""
    if better_at(last) is better_at(low):
        return last
    left, right = low, last
    while right - left > 1:
        middle = (left + right) // 2
        if better_at(middle) is better_at(low):
            left = middle
        else:
            right = middle
    return right


def _better(
    prices: PriceList, first: Stage, second: Stage, predictions: int, object_bytes: int
) -> Stage:
    load = Load(predictions=predictions, object_bytes=object_bytes)

    def rank(stage: Stage) -> tuple[bool, Fraction]:
        limit = most_predictions(prices, stage)
        return limit is not None and predictions > limit, exact_cost(prices, stage, load)

    return second if rank(second) < rank(first) else first


def _next_step(prices: PriceList, stage: Stage, predictions: int) -> int:
    """The least load above this one at which the stage takes another machine, or has no more."""
    steps = [MAX_PREDICTIONS + 1]
    limit = most_predictions(prices, stage)
    if limit is not None and limit >= predictions:
        steps.append(limit + 1)
    for line in prices.stages[stage]:
        if line.predictions_per_second is None:
            continue
        machines = _machines(prices, line, predictions)
        if line.most is None or machines < line.most:
            answered = machines * _per_machine(prices, line.predictions_per_second)
            steps.append(answered // prices.peak_factor + 1)
    return min(steps)


def _per_machine(prices: PriceList, predictions_per_second: int) -> int:
    """What one machine answers in a month without any pause."""
    return predictions_per_second * prices.hours_per_month * 3600


def _machines(prices: PriceList, line: PriceLine, predictions: int) -> int:
    if line.predictions_per_second is None:
        return 1 if line.fixed is None else line.fixed
    capacity = _per_machine(prices, line.predictions_per_second)
    needed = -(-predictions * prices.peak_factor // capacity)
    wanted = max(line.least, needed)
    return wanted if line.most is None else min(wanted, line.most)


def _quantity(prices: PriceList, line: PriceLine, load: Load) -> Fraction:
    match line.per:
        case Per.GB_MONTH if line.fixed is None:
            return Fraction(load.object_bytes, GB)
        case Per.MILLION_PREDICTIONS:
            return Fraction(load.predictions, 10**6)
        case Per.MACHINE_HOUR:
            return Fraction(_machines(prices, line, load.predictions) * prices.hours_per_month)
    return Fraction(1 if line.fixed is None else line.fixed)


def _cost_line(prices: PriceList, line: PriceLine, load: Load) -> CostLine:
    quantity = _quantity(prices, line, load)
    of_machines = line.per is Per.MACHINE_HOUR
    return CostLine(
        name=line.name,
        per=line.per,
        price_micros=line.price_micros,
        quantity=quantity,
        amount_micros=_rounded(line.price_micros * quantity),
        machines=_machines(prices, line, load.predictions) if of_machines else None,
        predictions_per_second=line.predictions_per_second,
        note=line.note,
    )


def _rounded(amount: Fraction) -> int:
    return (2 * amount.numerator + amount.denominator) // (2 * amount.denominator)
