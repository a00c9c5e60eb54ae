"""What is said about how long one order will take."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

import msgspec

QUANTILES: Final = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)
"""The quantiles every forecast carries; 0.05 to 0.95 is the 90 % interval."""


class Source(StrEnum):
    """The rung of the fallback ladder that an answer stands on, best first."""

    MODEL = "model"
    HISTORY = "history"
    DISTANCE = "distance"
    CONSTANT = "constant"


@dataclass(frozen=True, slots=True, kw_only=True)
class Factor:
    """What one factor (a group of features) added to the median forecast, in minutes."""

    name: str
    minutes: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why the median is what it is: `typical_minutes` plus every factor's minutes is the median."""

    typical_minutes: float
    factors: tuple[Factor, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """What the customer is told: by `minutes` after placing, and the policy that chose it."""

    minutes: int
    earliest_minutes: int
    policy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """Calibrated quantiles of the delivery minutes, and everything needed to judge them.

    `quantiles_minutes` is aligned with `QUANTILES`. `degraded` is true when the answer stands on
    less than the model usually has: a lower rung, or missing inputs named in `missing`.
    `input_ages_seconds` tells how old each live input was.
    """

    quantiles_minutes: tuple[float, ...]
    source: Source
    degraded: bool
    model: str | None = None
    version: int | None = None
    promise: Promise | None = None
    explanation: Explanation | None = None
    missing: tuple[str, ...] = ()
    input_ages_seconds: dict[str, float] = field(default_factory=dict)

    @property
    def median_minutes(self) -> float:
        """The 0.5 quantile, in minutes."""
        return self.quantiles_minutes[QUANTILES.index(0.5)]


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """One order to forecast, by the model named or by the one promoted last."""

    order: Mapping[str, Any]
    model: str | None = None
    explain: bool = False


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """A forecast and what it was made from, besides its model and version.

    `features` is the encoded row (float64, little-endian), None where no model encoded one;
    `inputs` is JSON of whatever else went in.
    """

    forecast: Forecast
    features: bytes | None
    inputs: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What a forecast was made from: enough to make it again, bit for bit."""

    model: str | None
    version: int | None
    features: bytes | None
    inputs: bytes
