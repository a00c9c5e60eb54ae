"""The rungs below the model: history, distance, constant. An answer is always found.

All of it is a few small tables made at training, so it needs nothing that could be away.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np

from foodex.domain.forecasts import QUANTILES, Source
from foodex.eta.columns import Floats

FEWEST_ORDERS: Final = 200
"""Orders with a known distance (or hour) without which that rung is not built."""
STORE_WEIGHT: Final = 10.0
"""Orders' worth of no difference that a store's own difference is mixed with."""
MAX_STORES: Final = 20_000
HOURS: Final = 24

_LEVELS: Final = np.array(QUANTILES)


@dataclass(frozen=True)
class Ladder:
    """What is known without a model.

    `hours` is the usual minutes by local hour, `stores` what each store adds to them, `distance`
    the intercept (minutes) and slope (minutes per km); each rung has the quantiles of what it
    misses by, aligned with `QUANTILES`.
    """

    constant: Floats
    hours: Floats | None = None
    hour_misses: Floats | None = None
    stores: Mapping[str, float] | None = None
    distance: tuple[float, float] | None = None
    distance_misses: Floats | None = None

    @classmethod
    def fit(
        cls, minutes: Floats, hour: Floats, distance_km: Floats, stores: list[str] | None
    ) -> Self:
        """Make the tables from delivered orders; NaN is missing, an empty store is unknown."""
        constant = np.quantile(minutes, _LEVELS)
        hours = hour_misses = effects = None
        known = ~np.isnan(hour)
        if known.sum() >= FEWEST_ORDERS:
            hours = _by_hour(minutes[known], hour[known])
            left = minutes[known] - hours[_hour_index(hour[known])]
            if stores is not None:
                named = [name for name, is_known in zip(stores, known, strict=True) if is_known]
                effects, left = _by_store(named, left)
            hour_misses = np.quantile(left, _LEVELS)
        line = line_misses = None
        known = ~np.isnan(distance_km)
        if known.sum() >= FEWEST_ORDERS:
            line = _robust_line(distance_km[known], minutes[known])
            left = minutes[known] - (line[0] + line[1] * distance_km[known])
            line_misses = np.quantile(left, _LEVELS)
        return cls(constant, hours, hour_misses, effects, line, line_misses)

    def quantiles(
        self, hour: float | None, store: str | None, distance_km: float | None, drift: float = 0.0
    ) -> tuple[Source, Floats]:
        """The best rung for what is known of an order, and its quantiles of the minutes.

        `drift` is how much longer than usual orders have been taking lately, in minutes.
        """
        if hour is not None and self.hours is not None and self.hour_misses is not None:
            effect = (self.stores or {}).get(store or "")
            if effect is not None or not self.stores or distance_km is None:
                usual = float(self.hours[_hour_index(np.array(hour))]) + (effect or 0.0)
                return Source.HISTORY, np.maximum(usual + drift + self.hour_misses, 0.0)
        if distance_km is not None and self.distance and self.distance_misses is not None:
            usual = self.distance[0] + self.distance[1] * distance_km
            return Source.DISTANCE, np.maximum(usual + drift + self.distance_misses, 0.0)
        return Source.CONSTANT, np.maximum(self.constant + drift, 0.0)

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "constant": self.constant.tolist(),
            "hours": None if self.hours is None else self.hours.tolist(),
            "hour_misses": None if self.hour_misses is None else self.hour_misses.tolist(),
            "stores": None if self.stores is None else dict(self.stores),
            "distance": None if self.distance is None else list(self.distance),
            "distance_misses": (
                None if self.distance_misses is None else self.distance_misses.tolist()
            ),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Back from JSON values."""

        def vector(name: str) -> Floats | None:
            found = value[name]
            return None if found is None else np.array(found, dtype=np.float64)

        line = value["distance"]
        return cls(
            np.array(value["constant"], dtype=np.float64),
            vector("hours"),
            vector("hour_misses"),
            value["stores"],
            None if line is None else (float(line[0]), float(line[1])),
            vector("distance_misses"),
        )


def _hour_index(hour: Floats) -> np.ndarray:
    return np.asarray(np.clip(hour, 0, HOURS - 1).astype(np.int64))


def _by_hour(minutes: Floats, hour: Floats) -> Floats:
    which = _hour_index(hour)
    overall = float(np.median(minutes))
    found = np.full(HOURS, overall)
    for index in range(HOURS):
        chosen = minutes[which == index]
        if len(chosen):
            weight = len(chosen) / (len(chosen) + STORE_WEIGHT)
            found[index] += weight * (float(np.median(chosen)) - overall)
    return found


def _by_store(names: list[str], left: Floats) -> tuple[dict[str, float], Floats]:
    codes: dict[str, int] = {}
    coded = np.array([codes.setdefault(name, len(codes)) for name in names])
    counts = np.bincount(coded)
    effects = np.bincount(coded, weights=left) / (counts + STORE_WEIGHT)
    if "" in codes:
        effects[codes[""]] = 0.0
    frequent = sorted((n for n in codes if n), key=lambda n: (-counts[codes[n]], n))[:MAX_STORES]
    return {n: float(effects[codes[n]]) for n in sorted(frequent)}, left - effects[coded]


def _robust_line(x: Floats, y: Floats) -> tuple[float, float]:
    """The line through the medians of the lower and the upper third (Tukey's resistant line)."""
    low, high = np.quantile(x, [1 / 3, 2 / 3])
    left, right = x <= low, x >= high
    run = float(np.median(x[right]) - np.median(x[left]))
    slope = 0.0
    if run > 0:
        slope = max(float(np.median(y[right]) - np.median(y[left])) / run, 0.0)
    return float(np.median(y - slope * x)), slope
