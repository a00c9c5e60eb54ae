"""The policy that turns a forecast into what the customer is told."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from math import ceil, floor, isfinite
from typing import Final

from foodex.core.errors import FieldProblem, InvalidInput
from foodex.domain.forecasts import QUANTILES, Promise

HAIR_MINUTES: Final = 1e-6
"""Rounding errors of the arithmetic: 35.000000001 is told as 35, and so is 34.999999999."""
CHANGED: Final = "changed"
"""What a policy is called that differs from the one in force."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PromisePolicy:
    """How to choose the promise: a quantile, a buffer, a rounding, a floor and a ceiling.

    The promised minutes are `quantile` of the forecast plus `buffer_minutes`, rounded up to a
    multiple of `round_to_minutes`, then held between `floor_minutes` and `ceiling_minutes`. The
    earliest end of the window is `earliest_quantile`, rounded down, and never after the promise.
    A level between two quantiles of the forecast lies on the straight line between them.
    """

    name: str = "standard"
    quantile: float = 0.75
    earliest_quantile: float = 0.25
    buffer_minutes: float = 0.0
    round_to_minutes: int = 5
    floor_minutes: int = 10
    ceiling_minutes: int = 120

    def __post_init__(self) -> None:
        low, high = QUANTILES[0], QUANTILES[-1]
        problems = [
            FieldProblem(name, f"is not between {low} and {high}")
            for name in ("quantile", "earliest_quantile")
            if not low <= getattr(self, name) <= high
        ]
        if self.earliest_quantile > self.quantile:
            problems.append(FieldProblem("earliest_quantile", "is above `quantile`"))
        if not isfinite(self.buffer_minutes):
            problems.append(FieldProblem("buffer_minutes", "is not a finite number"))
        if self.round_to_minutes < 1:
            problems.append(FieldProblem("round_to_minutes", "is below 1"))
        if not 0 <= self.floor_minutes <= self.ceiling_minutes:
            problems.append(FieldProblem("floor_minutes", "is not between 0 and `ceiling_minutes`"))
        if problems:
            raise InvalidInput(f"The promise policy '{self.name}' is not usable", problems=problems)

    def promise(self, quantiles_minutes: Sequence[float]) -> Promise:
        """The promise for a forecast whose quantiles are aligned with `QUANTILES`.

        Raises InvalidInput when they are not as many, or not all finite numbers.
        """
        if len(quantiles_minutes) != len(QUANTILES) or not all(map(isfinite, quantiles_minutes)):
            problem = FieldProblem("quantiles_minutes", f"are not {len(QUANTILES)} finite numbers")
            raise InvalidInput("Nothing can be promised", problems=[problem])
        step = self.round_to_minutes
        wanted = quantile_at(quantiles_minutes, self.quantile) + self.buffer_minutes
        late = ceil((wanted - HAIR_MINUTES) / step) * step
        minutes = min(max(late, self.floor_minutes), self.ceiling_minutes)
        earliest = quantile_at(quantiles_minutes, self.earliest_quantile)
        early = floor((earliest + HAIR_MINUTES) / step) * step
        return Promise(
            minutes=minutes, earliest_minutes=max(0, min(early, minutes)), policy=self.name
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyChange:
    """Another promise policy, told by what is different; None is as it was."""

    quantile: float | None = None
    buffer_minutes: float | None = None
    round_to_minutes: int | None = None
    floor_minutes: int | None = None
    ceiling_minutes: int | None = None

    def of(self, policy: PromisePolicy) -> PromisePolicy:
        """The policy with this change; its earliest end never lies above its promise.

        Raises InvalidInput where that makes no sense.
        """
        given = {f.name: getattr(self, f.name) for f in fields(self)}
        changes = {name: value for name, value in given.items() if value is not None}
        quantile = changes.get("quantile", policy.quantile)
        earliest = min(policy.earliest_quantile, quantile)
        return replace(policy, name=CHANGED, earliest_quantile=earliest, **changes)


def quantile_at(quantiles_minutes: Sequence[float], level: float) -> float:
    """The quantile at any level from 0.05 to 0.95, on a straight line between its neighbours."""
    above = min(max(bisect_left(QUANTILES, level), 1), len(QUANTILES) - 1)
    low, high = quantiles_minutes[above - 1], quantiles_minutes[above]
    share = (level - QUANTILES[above - 1]) / (QUANTILES[above] - QUANTILES[above - 1])
    return low + (high - low) * share
