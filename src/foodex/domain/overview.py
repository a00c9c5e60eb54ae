"""What is seen at a glance: a period's figures, where its orders were, how good forecasts are."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from foodex.domain.period_facts import PeriodFacts
from foodex.domain.reports import Period


@dataclass(frozen=True, slots=True, kw_only=True)
class Offered:
    """A data set that can be looked at. `first_at` and `last_at` bound its orders, where dated."""

    name: str
    description: str
    rows: int
    time_zone: str
    first_at: datetime | None = None
    last_at: datetime | None = None


class JudgedBy(StrEnum):
    """An evaluation judges a version on orders placed after those it learned from; its training
    judges it on the newest of its own orders, not fitted yet then."""

    EVALUATION = "evaluation"
    TRAINING = "training"


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """How orders came against what had been told of them, in minutes.

    Bias is what was told less what it took, so it is below zero where orders came later than
    told. `errors` counts orders by that difference, aligned with `Against.from_minutes`.
    """

    mae_minutes: float
    bias_minutes: float
    on_time_share: float | None = None
    errors: Sequence[int] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Against:
    """The version in production against what the company had promised, on the same orders.

    `from_minutes` is where each count of `Told.errors` begins; the first and the last are
    open-ended.
    """

    model: str
    version: int
    dataset: str
    judged_by: JudgedBy
    orders: int
    forecast: Told
    company: Told | None = None
    from_minutes: Sequence[int] = ()
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """A data set's figures over a period, and which others there are.

    Without any data set with orders, `dataset` and `facts` are null. `without_facts` says why
    there are no figures of this one.
    """

    datasets: tuple[Offered, ...]
    dataset: str | None = None
    facts: PeriodFacts | None = None
    without_facts: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """A store or a zone: its name, its middle, its orders, their median minutes.

    `late_share` is of the orders of which the company had said when they would come.
    """

    name: str
    lat: float
    lon: float
    orders: int
    median_minutes: float | None = None
    late_share: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Zone(Spot):
    """The customers of one H3 cell, which is its name; `outline` is longitudes and latitudes."""

    outline: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where a period's orders came from and went to, busiest first.

    `stores_left_out` are those beyond the limit. `streets` says that the demonstration city's
    streets lie under them.
    """

    dataset: str
    period: Period
    stores: tuple[Spot, ...] = ()
    stores_left_out: int = 0
    zones: tuple[Zone, ...] = ()
    zone_resolution: int | None = None
    streets: bool = False
