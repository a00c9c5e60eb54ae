"""What an evaluation leaves of each day, so that two models can be told apart by it alone."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from foodex.core.errors import InvalidInput
from foodex.eta.evaluation.bootstrap import DRAWS, LEVEL, Interval

Floats = npt.NDArray[np.float64]
_EPOCH: Final = date(1970, 1, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """The orders placed on one local day: how many, the sum of their errors' sizes, and how many
    came by what was promised."""

    day: date
    orders: int
    abs_error_minutes: float
    on_time: int

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {**asdict(self), "day": self.day.isoformat()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Gain:
    """How much better the first of two models is on the same orders, with its 95 % interval.

    Above zero it is better. The ends are None where there are fewer than two days.
    """

    value: float
    low: float | None
    high: float | None

    @property
    def sure(self) -> bool:
        """Whether the difference is more than the luck of the days."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


def days_of(days: Floats, size: Floats, on_time: Floats) -> tuple[Day, ...]:
    """The sums by day (days since 1970, (n,)) of the errors' sizes and of what came in time."""
    which, place = np.unique(days[~np.isnan(days)], return_inverse=True)
    known = ~np.isnan(days)
    counts = np.bincount(place, minlength=len(which))
    errors = np.bincount(place, size[known], minlength=len(which))
    kept = np.bincount(place, on_time[known], minlength=len(which))
    return tuple(
        Day(
            day=_EPOCH + timedelta(days=int(day)),
            orders=int(count),
            abs_error_minutes=float(error),
            on_time=round(float(there)),
        )
        for day, count, error, there in zip(which, counts, errors, kept, strict=True)
    )


def days_from_json(told: Sequence[dict[str, Any]]) -> tuple[Day, ...]:
    """The days that `Day.to_json` told."""
    return tuple(Day(**{**day, "day": date.fromisoformat(day["day"])}) for day in told)


def gains(
    first: Sequence[Day], second: Sequence[Day], *, draws: int = DRAWS, seed: int = 0
) -> tuple[Gain, Gain]:
    """How much less the first misses (minutes), and how much more it keeps (share of orders).

    Both from the same draws of whole days, so they are paired: what made a day hard was hard for
    both. Raises InvalidInput when the two were not judged on the same orders.
    """
    if [(d.day, d.orders) for d in first] != [(d.day, d.orders) for d in second] or not first:
        raise InvalidInput("Two evaluations of different orders cannot be compared")
    orders = np.array([day.orders for day in first], dtype=np.float64)
    error = np.array([b.abs_error_minutes - a.abs_error_minutes for a, b in _pairs(first, second)])
    kept = np.array([a.on_time - b.on_time for a, b in _pairs(first, second)], dtype=np.float64)
    count = len(orders)
    times = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=draws)
    drawn = times @ orders

    def gain(sums: Floats) -> Gain:
        low, high = _ends(times @ sums / drawn) if count > 1 else (None, None)
        return Gain(value=float(sums.sum() / orders.sum()), low=low, high=high)

    return gain(error), gain(kept)


def _pairs(first: Sequence[Day], second: Sequence[Day]) -> list[tuple[Day, Day]]:
    return list(zip(first, second, strict=True))


def _ends(means: Floats) -> Interval:
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
