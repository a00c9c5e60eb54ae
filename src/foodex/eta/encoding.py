"""The encoder: columns and history to the matrix a model reads.

Fitted once on the training orders, kept as JSON. It holds which fields are seen, the tables of
categories, and a rough linear rule of the minutes; history is kept as what is left over of that
rule, so that a store of long ways is not mistaken for a slow one.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final, Self

import numpy as np

from foodex.eta import features as f
from foodex.eta.columns import Columns, Floats, Integers, length, look_up
from foodex.eta.history import MS_PER_MINUTE, Sums, Window
from foodex.eta.linear import LinearRule

CATEGORY_WEIGHT: Final = 20.0
"""Orders' worth of the overall mean that each category's own mean is mixed with."""
MAX_CATEGORIES: Final = 1000
"""Rarer values than the most frequent thousand read as unknown."""
ZONE_KM: Final = 1.0
"""Side of the squares that serve as customers' zones."""

_HOUR: Final = 60.0
_DAY: Final = 24 * _HOUR
_WEEK: Final = 7 * _DAY

WINDOWS: Final = (
    Window("area_last_20", "area", count=20),
    Window("area_last_hour", "area", minutes=_HOUR),
    Window("area_last_day", "area", minutes=_DAY),
    Window("area_last_week", "area", minutes=_WEEK),
    Window("area_hour_of_day", "area_hour", count=100),
    Window("store_last_5", "store", count=5),
    Window("store_last_30", "store", count=30),
    Window("store_last_150", "store", count=150),
    Window("zone_last_50", "zone", count=50),
    Window("zone_hour_of_day", "zone_hour", count=30),
)
"""The means of left-over minutes that are features."""

WEIGHTS: Final[Mapping[str, float]] = {
    "area_last_20": 2.0,
    "area_last_hour": 5.0,
    "area_last_day": 20.0,
    "area_last_week": 20.0,
    "area_hour_of_day": 20.0,
    "store_last_5": 3.0,
    "store_last_30": 8.0,
    "store_last_150": 8.0,
    "zone_last_50": 10.0,
    "zone_hour_of_day": 10.0,
}
"""How many events' worth of the week's mean each window's own mean is mixed with."""

FACTORS: Final[Mapping[str, str]] = {
    "area": "recent",
    "area_hour": "zone history",
    "store": "store history",
    "zone": "zone history",
    "zone_hour": "zone history",
}

COUNTS: Final = ("area_open", "area_placed_lately", "store_open", "store_placed_lately")
"""The counts of other orders that are features; factor `load`."""


@dataclass(frozen=True)
class Encoder:
    """How columns become rows of a matrix.

    `inputs` are the fields seen; `names` and `factors` describe the matrix's columns in order;
    `rule` is the rough linear rule whose left-over minutes are kept as history.
    """

    time_zone: str
    inputs: frozenset[str]
    numbers: tuple[str, ...]
    derived: tuple[str, ...]
    categories: Mapping[str, Mapping[str, float]]
    typical_minutes: float
    extras: tuple[str, ...]
    counts: tuple[str, ...]
    rule: LinearRule
    keys: tuple[str, ...]
    """Kinds of history there is; empty where orders have no dates."""
    fill: Floats | None = None
    """For each column of the matrix what stands in for a gap; NaN where gaps are usual."""

    @classmethod
    def fit(
        cls, columns: Columns, minutes: Floats, *, without: Collection[str], time_zone: str
    ) -> Self:
        """Learn tables and the rough rule from delivered orders."""
        inputs = f.known_inputs(columns, without)
        seen = {name: columns[name] for name in sorted(inputs)}
        typical = float(np.median(minutes))
        extras = f.extra_numbers(seen)
        draft = cls(
            time_zone=time_zone,
            inputs=inputs,
            numbers=tuple(name for name in f.NUMBERS if name in inputs),
            derived=tuple(d.name for d in f.DERIVED if any(need <= inputs for need in d.needs)),
            categories={
                name: _category_means(seen[name], minutes) for name in f.category_names(seen)
            },
            typical_minutes=typical,
            extras=extras,
            counts=f.counts_among(seen, extras),
            rule=LinearRule(np.zeros(0), np.zeros(0), typical),
            keys=_history_keys(inputs),
        )
        n = len(minutes)
        step = max(1, n // RULE_ROWS)
        sample = {name: column[::step] for name, column in seen.items()}
        rows = draft.static(draft.basics(sample))
        rule = LinearRule.fit(rows, minutes[::step])
        return replace(draft, rule=rule)

    @cached_property
    def windows(self) -> tuple[Window, ...]:
        """The windows of history that are features."""
        return tuple(window for window in WINDOWS if window.key in self.keys)

    @cached_property
    def load(self) -> tuple[str, ...]:
        """The counts of other orders that are features."""
        return tuple(name for name in COUNTS if name.split("_")[0] in self.keys)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the matrix's columns."""
        return tuple(name for name, _ in self._described)

    @cached_property
    def factors(self) -> tuple[str, ...]:
        """The factor that each column of the matrix belongs to."""
        return tuple(factor for _, factor in self._described)

    @cached_property
    def _derivations(self) -> tuple[f.Derived, ...]:
        return tuple(d for d in f.DERIVED if d.name in self.derived)

    @cached_property
    def _described(self) -> tuple[tuple[str, str], ...]:
        found = [(d.name, d.factor) for d in self._derivations]
        found += [(name, f.NUMBERS[name]) for name in self.numbers]
        found += [(name, f.CATEGORIES.get(name, "extras")) for name in self.categories]
        found += [(name, "extras") for name in self.extras]
        if len(self.counts) > 1:
            found += [("extras_total", "extras"), ("extras_kinds", "extras")]
        found += [(name, "load") for name in self.load]
        found += [(window.name, FACTORS[window.key]) for window in self.windows]
        return tuple(found)

    def basics(self, columns: Columns, n: int | None = None) -> f.Basics:
        """What features and keys share, from the seen fields only."""
        n = length(columns) if n is None else n
        seen = {name: column for name, column in columns.items() if name in self.inputs}
        return f.basics(seen, n, self.time_zone)

    def features(self, basics: f.Basics) -> list[Floats]:
        """The features of the orders themselves, (n,) each."""
        parts = [d.compute(basics) for d in self._derivations]
        parts += [basics.get(name) for name in self.numbers]
        parts += [self._category(name, basics) for name in self.categories]
        extras = [basics.get(name) for name in self.extras]
        parts += extras
        if len(self.counts) > 1:
            total, kinds = np.zeros(basics.n), np.zeros(basics.n)
            for name in self.counts:
                column = basics.get(name)
                total += np.where(np.isnan(column), 0.0, column)
                kinds += column > 0
            parts += [total, kinds]
        return parts

    @cached_property
    def own(self) -> int:
        """How many of the matrix's columns are features of the orders themselves."""
        return len(self.names) - len(self.load) - len(self.windows)

    @cached_property
    def plain(self) -> Mapping[int, str]:
        """Which of the features are number columns just as they came."""
        extras = len(self._derivations) + len(self.numbers) + len(self.categories)
        return {
            **dict(enumerate(self.numbers, len(self._derivations))),
            **dict(enumerate(self.extras, extras)),
        }

    def static(self, basics: f.Basics) -> Floats:
        """The same as a matrix (n, s)."""
        parts = self.features(basics)
        rows = np.empty((basics.n, len(parts)))
        for index, part in enumerate(parts):
            rows[:, index] = part
        return rows

    def _category(self, name: str, basics: f.Basics) -> Floats:
        column = basics.columns.get(name)
        if column is None or column.dtype != object:
            return np.full(basics.n, np.nan)
        table = dict([(None, np.nan), *self.categories[name].items()])
        return look_up(column, table, self.typical_minutes)

    def store_keys(self, basics: f.Basics, codes: Mapping[str, int]) -> Integers:
        """Key of each order's store: by its id, or by its place; -1 where neither is known."""
        keys = np.full(basics.n, -1, dtype=np.int64)
        lat, lon = basics.columns.get("store_lat"), basics.columns.get("store_lon")
        if lat is not None and lon is not None:
            place = np.round((lat + 90) * 1e5) * 36_000_000 + np.round((lon + 180) * 1e5)
            keys = np.where(np.isnan(place), -1.0, place).astype(np.int64)
        ids = basics.columns.get("store_id")
        if ids is not None:
            named = look_up(ids, codes, -1).astype(np.int64)
            keys = np.where(named >= 0, -2 - named, keys)
        return keys

    def key_columns(self, basics: f.Basics, codes: Mapping[str, int]) -> dict[str, Integers]:
        """Keys of history for each order, by kind."""
        if not self.keys:
            return {}
        hour = np.where(np.isnan(basics.hour), 0, basics.hour).astype(np.int64)
        area = np.zeros(basics.n, dtype=np.int64)
        cities = basics.columns.get("city")
        if cities is not None:
            area = look_up(cities, codes, -1).astype(np.int64) + 1
        found = {"area": area, "area_hour": area * 24 + hour}
        if "store" in self.keys:
            found["store"] = self.store_keys(basics, codes)
        if "zone" in self.keys:
            cells = f.zone_cells(basics.get("customer_lat"), basics.get("customer_lon"), ZONE_KM)
            found["zone"], found["zone_hour"] = cells, cells * 24 + hour
        return found

    def rows(self, static: Floats, sums: Sums) -> Floats:
        """The whole matrix (n, f): the orders' own features, then load and history.

        Args:
            static: from `static`.
            sums: counts and sums (ms) by window, from `history`; empty where there is no history.
        """
        n, own = static.shape
        rows = np.empty((n, own + len(self.load) + len(self.windows)))
        rows[:, :own] = static
        for index, column in enumerate(self._history(sums), own):
            rows[:, index] = column
        if self.fill is not None:
            # Where training saw no gaps, the trees never learned what one means.
            np.copyto(rows, self.fill, where=np.isnan(rows))
        return rows

    def columns(self, features: Sequence[Floats], sums: Sums) -> list[Floats]:
        """The same column by column, (n,) each, for many orders; the features are kept as is."""
        found = list(features)
        if self.fill is not None:
            for index, column in enumerate(found):
                if self.fill[index] == self.fill[index] and (gaps := np.isnan(column)).any():
                    found[index] = np.where(gaps, self.fill[index], column)
        return found + self._history(sums)

    def _history(self, sums: Sums) -> list[Any]:
        if not self.keys:
            return []
        found: list[Any] = [sums[name][0] for name in self.load]
        count, total = sums["area_last_week"]
        week = total / MS_PER_MINUTE / (count + WEIGHTS["area_last_week"])
        for window in self.windows:
            count, total = sums[window.name]
            weight = WEIGHTS[window.name]
            prior = week * weight if window.name != "area_last_week" else 0.0
            found.append((total / MS_PER_MINUTE + prior) / (count + weight))
        return found

    def store_name(self, basics: f.Basics, row: int) -> str | None:
        """A name for an order's store: its id, or else its place; None where neither is known."""
        ids = basics.columns.get("store_id")
        if ids is not None and ids[row] is not None:
            return str(ids[row])
        lat, lon = basics.columns.get("store_lat"), basics.columns.get("store_lon")
        if lat is None or lon is None or lat[row] != lat[row] or lon[row] != lon[row]:
            return None
        return f"{lat[row]:.5f},{lon[row]:.5f}"

    def lost_without(self, missing: frozenset[str]) -> tuple[str, ...]:
        """Columns of the matrix that cannot be told when these inputs are missing."""
        left = self.inputs - missing
        lost = [d.name for d in self._derivations if not any(need <= left for need in d.needs)]
        lost += [
            name for name in (*self.numbers, *self.categories, *self.extras) if name in missing
        ]
        kept = _history_keys(left)
        return (*lost, *(window.name for window in self.windows if window.key not in kept))

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "time_zone": self.time_zone,
            "inputs": sorted(self.inputs),
            "numbers": list(self.numbers),
            "derived": list(self.derived),
            "categories": {name: dict(table) for name, table in self.categories.items()},
            "typical_minutes": self.typical_minutes,
            "extras": list(self.extras),
            "counts": list(self.counts),
            "rule": self.rule.to_json(),
            "keys": list(self.keys),
            "fill": (
                None if self.fill is None else [None if v != v else v for v in self.fill.tolist()]
            ),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Back from JSON values."""
        fill = value["fill"]
        return cls(
            time_zone=value["time_zone"],
            inputs=frozenset(value["inputs"]),
            numbers=tuple(value["numbers"]),
            derived=tuple(value["derived"]),
            categories={
                name: dict(value["categories"][name]) for name in sorted(value["categories"])
            },
            typical_minutes=float(value["typical_minutes"]),
            extras=tuple(value["extras"]),
            counts=tuple(value["counts"]),
            rule=LinearRule.from_json(value["rule"]),
            keys=tuple(value["keys"]),
            fill=None if fill is None else np.array([np.nan if v is None else v for v in fill]),
        )


RULE_ROWS: Final = 50_000
"""Rows enough for the rough rule."""


def _history_keys(inputs: frozenset[str]) -> tuple[str, ...]:
    if "placed_at" not in inputs:
        return ()
    keys = ["area", "area_hour"]
    if "store_id" in inputs or {"store_lat", "store_lon"} <= inputs:
        keys.append("store")
    if {"customer_lat", "customer_lon"} <= inputs:
        keys += ["zone", "zone_hour"]
    return tuple(keys)


def _category_means(column: np.ndarray, minutes: Floats) -> dict[str, float]:
    codes: dict[Any, int] = {}
    coded = np.array([codes.setdefault(value, len(codes)) for value in column.tolist()])
    counts = np.bincount(coded)
    sums = np.bincount(coded, weights=minutes)
    mean = float(minutes.mean())
    means = (sums + CATEGORY_WEIGHT * mean) / (counts + CATEGORY_WEIGHT)
    frequent = sorted(
        (value for value in codes if value is not None),
        key=lambda value: (-counts[codes[value]], value),
    )[:MAX_CATEGORIES]
    return {value: float(means[codes[value]]) for value in sorted(frequent)}
