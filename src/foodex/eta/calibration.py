"""Conformal calibration that follows drift.

The model gives each order a place and a scale. How real deliveries scatter around them, in units
of the scale, is learned from orders the model was not fitted on; its quantiles, times the scale,
plus the place, are the forecast. Orders delivered since keep correcting them: the newest
standardised misses are mixed in, recomputed every so many deliveries, and an order sees only
misses of orders that had been delivered before it was placed.
"""

from bisect import bisect_left, insort
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np

from foodex.domain.forecasts import QUANTILES
from foodex.eta.columns import Floats, Integers
from foodex.eta.threads import each

RECENT: Final = 300
"""Newest deliveries whose misses are mixed in."""
WEIGHT: Final = 300.0
"""Orders' worth of the reference quantiles in the mixture."""
STEP: Final = 50
"""Deliveries between recomputations."""
KEPT: Final = 48 * STEP
"""Misses a state keeps; half are dropped when there are more, whole steps of them."""

SMALLEST_SCALE: Final = 0.05
"""On the link's scale, where a usual miss is about one."""

_LEVELS: Final = np.array(QUANTILES)


def conformal_quantiles(misses: Floats) -> Floats:
    """Quantiles with the finite-sample correction of split conformal prediction.

    Levels are moved outwards from the middle by the factor (n + 1) / n (Vovk et al.; Lei et al.
    2018), so that coverage holds for few misses too.
    """
    n = len(misses)
    tail = np.abs(_LEVELS - 0.5)
    level = 0.5 + np.sign(_LEVELS - 0.5) * np.minimum(tail * (n + 1) / n, 0.5)
    return np.quantile(misses, level)


@dataclass(frozen=True)
class Calibration:
    """Reference quantiles of standardised misses by group of scale, and the newest misses.

    `edges` divide orders by their scale into groups; `reference` is (groups, quantiles);
    `recent_ms` and `recent` are when the newest misses became known, and what they were.
    """

    edges: Floats
    reference: Floats
    recent_ms: Integers
    recent: Floats
    smallest_scale: float

    @classmethod
    def fit(cls, values: Floats, place: Floats, scale: Floats, known_ms: Integers | None) -> Self:
        """Learn from orders the model was not fitted on.

        Args:
            values: (n,) their minutes, on the link's scale, as `place` and `scale` are.
            known_ms: when each was delivered; None where orders have no dates.
        """
        smallest = max(float(np.quantile(scale, 0.01)), SMALLEST_SCALE)
        scale = np.maximum(scale, smallest)
        misses = (values - place) / scale
        groups = int(np.clip(len(misses) // 1000, 1, 5))
        edges = np.unique(np.quantile(scale, np.arange(1, groups) / groups))
        which = np.searchsorted(edges, scale)
        reference = np.array(
            [conformal_quantiles(misses[which == g]) for g in range(len(edges) + 1)]
        )
        if known_ms is None:
            recent_ms, recent = np.zeros(0, dtype=np.int64), np.zeros(0)
        else:
            newest = np.lexsort((misses, known_ms))[-RECENT:]
            recent_ms, recent = known_ms[newest], misses[newest]
        return cls(edges, reference, recent_ms, recent, smallest)

    def scales(self, raw: Floats) -> Floats:
        """The scale from the model's raw output, never zero."""
        return np.maximum(raw, self.smallest_scale)

    def quantiles(self, place: Floats, scale: Floats, shifts: Floats) -> Floats:
        """Quantiles on the link's scale, (n, q), never crossing.

        Args:
            place: (n,).
            scale: (n,), from `scales`.
            shifts: (n, q) or (q,), from `Drift`.
        """
        standard = self.reference[np.searchsorted(self.edges, scale)] + shifts
        found = place[:, None] + scale[:, None] * standard
        return np.asarray(np.maximum.accumulate(found, axis=1))

    def levels(self, place: Floats, scale: Floats, shifts: Floats) -> Iterator[Floats]:
        """The same quantiles, one level's (n,) after another, for many orders.

        Args:
            place: (n,).
            scale: (n,), from `scales`.
            shifts: (q, n).
        """
        group = np.zeros(len(scale), dtype=np.int8)
        for edge in self.edges:
            group += scale > edge
        below = None
        for reference, shift in zip(self.reference.T, shifts, strict=True):
            found = reference[group]
            found += shift
            found *= scale
            found += place
            if below is not None:
                np.maximum(found, below, out=found)
            below = found
            yield found

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "edges": self.edges.tolist(),
            "reference": self.reference.tolist(),
            "recent_ms": self.recent_ms.tolist(),
            "recent": self.recent.tolist(),
            "smallest_scale": self.smallest_scale,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Back from JSON values."""
        return cls(
            np.array(value["edges"], dtype=np.float64),
            np.array(value["reference"], dtype=np.float64),
            np.array(value["recent_ms"], dtype=np.int64),
            np.array(value["recent"], dtype=np.float64),
            float(value["smallest_scale"]),
        )


def _shift(pooled: Floats, newest: Floats) -> Floats:
    """How far the newest misses' quantiles lie from the reference's, shrunk to none."""
    n = len(newest)
    if n == 0:
        return np.zeros(len(pooled))
    return np.asarray((_quantiles(newest[None, :])[0] - pooled) * (n / (n + WEIGHT)))


def _quantiles(rows: Floats) -> Floats:
    """Quantiles (m, q) of each row's values (m, n), by linear interpolation."""
    ordered = np.sort(rows, axis=1)
    places = _LEVELS * (rows.shape[1] - 1)
    below = np.floor(places).astype(np.int64)
    above = np.minimum(below + 1, rows.shape[1] - 1)
    return np.asarray(
        ordered[:, below] + (places - below) * (ordered[:, above] - ordered[:, below])
    )


class Drift:
    """The newest standardised misses, in order of when they became known."""

    def __init__(self, calibration: Calibration) -> None:
        self._pooled = _pooled(calibration)
        known = zip(calibration.recent_ms.tolist(), calibration.recent.tolist(), strict=True)
        self._misses: list[tuple[int, float]] = sorted(known)
        self._forgotten = 0
        self._cache: dict[int, Floats] = {}

    def add(self, known_ms: int, miss: float) -> None:
        """A delivery became known."""
        if self._misses and (known_ms, miss) < self._misses[-1]:
            self._cache.clear()
        insort(self._misses, (known_ms, miss))
        if len(self._misses) > KEPT:
            del self._misses[: KEPT // 2]
            self._forgotten += KEPT // 2

    def shift(self, now_ms: int) -> Floats:
        """What to add to the standardised quantiles of an order placed at `now_ms`, (q,)."""
        seen = bisect_left(self._misses, (now_ms,)) + self._forgotten
        upto = seen // STEP * STEP
        found = self._cache.get(upto)
        if found is None:
            stop = max(upto - self._forgotten, 0)
            newest = np.array([miss for _, miss in self._misses[max(stop - RECENT, 0) : stop]])
            if len(self._cache) > 100:
                self._cache.clear()
            found = self._cache[upto] = _shift(self._pooled, newest)
        return found

    def last_ms(self) -> int | None:
        """When the newest miss became known."""
        return self._misses[-1][0] if self._misses else None

    def misses(self) -> tuple[Integers, Floats]:
        """When each kept miss became known, and what it was."""
        times = np.array([time for time, _ in self._misses], dtype=np.int64)
        return times, np.array([miss for _, miss in self._misses], dtype=np.float64)


def _pooled(calibration: Calibration) -> Floats:
    return np.asarray(calibration.reference.mean(axis=0))


@dataclass(frozen=True, slots=True)
class Shifts:
    """`Drift.shift` for many orders at once: `table` is (steps, q), `known_ms` ascending."""

    known_ms: Integers
    table: Floats

    @classmethod
    def none(cls) -> Self:
        """No misses, no shifts."""
        return cls(np.zeros(0, dtype=np.int64), np.zeros((1, len(QUANTILES))))

    @classmethod
    def of(cls, calibration: Calibration, known_ms: Integers, misses: Floats) -> Self:
        """From all the misses there are, and when each became known."""
        pooled = _pooled(calibration)
        order = np.lexsort((misses, known_ms))
        known_ms, misses = known_ms[order], misses[order]
        table = np.zeros((len(known_ms) // STEP + 1, len(pooled)))
        stops = np.arange(len(table)) * STEP
        for index in np.flatnonzero(stops < RECENT).tolist():
            table[index] = _shift(pooled, misses[: stops[index]])
        full = np.flatnonzero(stops >= RECENT)

        def fill(some: Integers) -> None:
            newest = misses[stops[some][:, None] + np.arange(-RECENT, 0)]
            table[some] = (_quantiles(newest) - pooled) * (RECENT / (RECENT + WEIGHT))

        each(fill, np.array_split(full, max(1, len(full) // 1000)), len(known_ms))
        return cls(known_ms, table)

    def steps(self, now_ms: Integers) -> Integers:
        """Which row of the table an order placed at each moment sees, (n,)."""
        return self.known_ms.searchsorted(now_ms, side="left") // STEP

    def at(self, now_ms: Integers) -> Floats:
        """The shifts of orders placed at these moments, (n, q)."""
        return np.asarray(self.table[self.steps(now_ms)])
