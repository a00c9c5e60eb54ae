"""A forecast as the public door tells it."""

from dataclasses import dataclass, field
from math import floor
from typing import Final

import msgspec

from foodex.domain.forecasts import QUANTILES, Explanation, Factor, Forecast, Promise, Source

_LEVELS: Final = tuple(f"{level:g}" for level in QUANTILES)
_MEDIAN: Final = QUANTILES.index(0.5)

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True, kw_only=True)
class Eta:
    """When the order will be there.

    `promise` is what to tell the customer; `quantiles_minutes` is the calibrated forecast under
    it by level (0.05 to 0.95 is the 90 % interval); `source` is the rung of the ladder it stands
    on, and `degraded` says that it stands on less than usual: a lower rung, or the inputs named
    in `missing`. `input_ages_seconds` tells how old each live input was.
    """

    promise: Promise | None
    median_minutes: float
    quantiles_minutes: dict[str, float]
    source: Source
    degraded: bool
    model: str | None = None
    version: int | None = None
    missing: tuple[str, ...] = ()
    input_ages_seconds: dict[str, float] = field(default_factory=dict)
    explanation: Explanation | None = None


def written(forecast: Forecast) -> bytes:
    """A forecast as the public door tells it, an `Eta` in JSON.

    Minutes are told to a thousandth, quantiles by their level.
    """
    minutes = [_thousandths(value) for value in forecast.quantiles_minutes]
    explanation = forecast.explanation
    if explanation is not None:
        factors = explanation.factors
        explanation = Explanation(
            typical_minutes=round(explanation.typical_minutes, 3),
            factors=tuple(Factor(name=f.name, minutes=round(f.minutes, 3)) for f in factors),
        )
    # As a plain dictionary: making an `Eta` takes longer than writing it.
    return _encode(
        {
            "promise": forecast.promise,
            "median_minutes": minutes[_MEDIAN],
            "quantiles_minutes": dict(zip(_LEVELS, minutes, strict=True)),
            "source": forecast.source,
            "degraded": forecast.degraded,
            "model": forecast.model,
            "version": forecast.version,
            "missing": forecast.missing,
            "input_ages_seconds": forecast.input_ages_seconds,
            "explanation": explanation,
        }
    )


def _thousandths(minutes: float) -> float:
    # Some minutes are told for every order, and `round` takes four times as long.
    return floor(minutes * 1000 + 0.5) / 1000
