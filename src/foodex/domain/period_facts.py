"""The sums that a report on a period is made of."""

from dataclasses import dataclass
from datetime import date
from typing import Final

from foodex.domain.reports import Period

WEEKDAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MIN_JUDGED: Final = 30
"""Fewer orders say little of a store or of two hours of the week."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Orders, those with an estimate, those of them on time; quantiles in minutes, where known.

    Lateness is 0 for an order on time; `late_half_minutes` is the median of the late ones alone.
    """

    orders: int
    judged: int = 0
    on_time: int = 0
    late_10: int = 0
    took_p50: float | None = None
    took_p90: float | None = None
    late_p50: float | None = None
    late_p90: float | None = None
    late_half_minutes: float | None = None

    @property
    def share(self) -> float | None:
        """The share on time of those that can be judged."""
        return self.on_time / self.judged if self.judged else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Takings:
    """What baskets came to in one currency, and over how many orders."""

    currency: str
    amount_minor: int
    orders: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """One local day."""

    day: date
    counts: Counts
    amount_minor: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hour:
    """One local hour of one weekday (0 is Monday)."""

    weekday: int
    hour: int
    counts: Counts


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """One store."""

    name: str
    counts: Counts


@dataclass(frozen=True, slots=True, kw_only=True)
class PeriodFacts:
    """The sums a period's report is made of; `before` is the period of equal length before it.

    `takings` come largest first, and those of `days` are in the first currency; `stores` come
    worst first.
    """

    dataset: str
    period: Period
    total: Counts
    before: Counts | None = None
    takings: tuple[Takings, ...] = ()
    takings_before: tuple[Takings, ...] = ()
    days: tuple[Day, ...] = ()
    hours: tuple[Hour, ...] = ()
    stores: tuple[Store, ...] = ()
