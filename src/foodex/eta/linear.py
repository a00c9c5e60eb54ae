"""Robust rules: median regression by reweighted least squares, on any matrix with gaps.

`LinearRule` is straight in every column; `BentRule` bends at knots, so that it can follow the
curve of an hour or a distance and still goes on straight where it has seen nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final, Self

import numpy as np

from foodex.eta.columns import Floats, Integers
from foodex.eta.pieces import Pieces, in_turn, put_where_missing
from foodex.eta.threads import in_blocks

ROUNDS: Final = 25
RIDGE: Final = 1e-3
"""Ridge in units of standardised features, per order; keeps twins among columns harmless."""
SMALLEST_MISS_MINUTES: Final = 0.25
"""Misses below this weigh as this one, so that the weights stay finite."""


@dataclass(frozen=True, slots=True)
class LinearRule:
    """`intercept + (x with its gaps filled) @ coefficients`; a gap is filled by `fill`."""

    coefficients: Floats
    fill: Floats
    intercept: float

    @classmethod
    def fit(
        cls,
        rows: Floats,
        minutes: Floats,
        *,
        weights: Floats | None = None,
        rounds: int = ROUNDS,
    ) -> Self:
        """The rule with the least (weighted) absolute miss, by reweighted least squares.

        Args:
            rows: (n, f), NaN where missing.
            minutes: (n,) targets.
            weights: (n,) importance of each row.
            rounds: the most reweightings there may be.
        """
        n, width = rows.shape
        if width == 0:
            return cls(np.zeros(0), np.zeros(0), float(np.median(minutes)))
        gaps = np.isnan(rows)
        fill = np.zeros(width)
        seen = ~gaps.all(axis=0)
        fill[seen] = np.nanmedian(rows[:, seen], axis=0)
        x = np.where(gaps, fill, rows)
        centre, spread = x.mean(axis=0), x.std(axis=0)
        useful = spread > 1e-12
        z = (x[:, useful] - centre[useful]) / spread[useful]
        importance = np.ones(n) if weights is None else weights / weights.mean()
        design = np.column_stack([np.ones(n), z])
        penalty = np.full(design.shape[1], RIDGE * n)
        penalty[0] = 0.0
        w = importance
        beta = np.zeros(design.shape[1])
        for _ in range(rounds):
            weighted = design * w[:, None]
            gram = weighted.T @ design
            gram[np.diag_indices_from(gram)] += penalty
            previous, beta = beta, np.linalg.lstsq(gram, weighted.T @ minutes, rcond=None)[0]
            if np.max(np.abs(beta - previous)) < 1e-4:
                break
            miss = np.abs(minutes - design @ beta)
            w = importance / np.maximum(miss, SMALLEST_MISS_MINUTES)
            w *= n / w.sum()
        coefficients = np.zeros(width)
        coefficients[useful] = beta[1:] / spread[useful]
        intercept = float(beta[0] - coefficients @ centre)
        return cls(coefficients, fill, intercept)

    def predict(self, rows: Floats) -> Floats:
        """Minutes for rows (n, f)."""
        terms = np.where(np.isnan(rows), self.fill, rows) * self.coefficients
        return in_turn(terms) + self.intercept

    def predict_columns(self, columns: Sequence[Floats], n: int) -> Floats:
        """Minutes for the same rows given column by column, f of (n,): faster where n is large."""
        total = np.zeros(n)
        for column, coefficient, fill in zip(columns, self.coefficients, self.fill, strict=True):
            term = column * coefficient
            put_where_missing(term, column, fill * coefficient)
            total += term
        return np.asarray(total + self.intercept)

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "coefficients": self.coefficients.tolist(),
            "fill": self.fill.tolist(),
            "intercept": self.intercept,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Back from JSON values."""
        return cls(
            np.array(value["coefficients"], dtype=np.float64),
            np.array(value["fill"], dtype=np.float64),
            float(value["intercept"]),
        )


KNOTS: Final = 6
"""Bends a column gets, at equal shares of its values."""
FEW_VALUES: Final = 12
"""A column of no more different values bends at each of them."""


@dataclass(frozen=True)
class BentRule:
    """A linear rule on the columns, their hinges `max(x - knot, 0)`, and hinges by group.

    `bends` and `knots` go together: which column, and where. The hinges of column `curve` (the
    hour) are also taken for each value 0 to 6 of column `group` (the weekday), and times column
    `slope` (the distance); each is -1 where there is none. Columns that bend are held between
    `low` and `high`, beyond which nothing was seen.
    """

    rule: LinearRule
    bends: Integers
    knots: Floats
    low: Floats
    high: Floats
    curve: int
    group: int
    slope: int

    @classmethod
    def fit(
        cls,
        rows: Floats,
        minutes: Floats,
        *,
        bending: Sequence[int],
        crossed: Sequence[int],
        rounds: int = ROUNDS,
    ) -> Self:
        """The rule of least absolute miss.

        Args:
            rows: (n, f), NaN where missing.
            minutes: (n,) targets.
            bending: columns that may bend.
            crossed: `curve`, `group` and `slope`.
            rounds: the most reweightings there may be.
        """
        low, high = np.full(rows.shape[1], -np.inf), np.full(rows.shape[1], np.inf)
        bends: list[int] = []
        knots: list[float] = []
        for index in bending:
            known = rows[~np.isnan(rows[:, index]), index]
            values = np.unique(known)
            if len(values) < 2:
                continue
            low[index], high[index] = values[0], values[-1]
            if len(values) > FEW_VALUES:
                places = np.unique(np.quantile(known, np.arange(1, KNOTS + 1) / (KNOTS + 1)))
            else:
                places = values[1:-1]
            bends += [index] * len(places)
            knots += places.tolist()
        nothing = LinearRule(np.zeros(0), np.zeros(0), 0.0)
        curve, group, slope = crossed
        if curve not in bends:
            curve = -1
        draft = cls(
            nothing,
            np.array(bends, dtype=np.int64),
            np.array(knots),
            low,
            high,
            curve,
            group,
            slope,
        )
        return replace(draft, rule=LinearRule.fit(draft._basis(rows), minutes, rounds=rounds))

    def _basis(self, rows: Floats) -> Floats:
        held = np.minimum(np.maximum(rows, self.low), self.high)
        hinges = np.maximum(held[:, self.bends] - self.knots, 0.0)
        parts = [held, hinges]
        if self.curve >= 0:
            curve = np.concatenate(
                [held[:, self.curve : self.curve + 1], hinges[:, self.bends == self.curve]], axis=1
            )
            if self.group >= 0:
                groups = held[:, self.group, None] == _GROUPS
                parts.append((groups[:, :, None] * curve[:, None, :]).reshape(len(rows), -1))
            if self.slope >= 0:
                parts.append(curve * held[:, self.slope, None])
        return np.concatenate(parts, axis=1)

    @cached_property
    def _pieces(self) -> Pieces:
        inner = self.rule
        return Pieces.of(
            (self.bends, self.knots),
            (self.low, self.high),
            (self.curve, self.group, self.slope),
            inner.coefficients,
            inner.fill,
            inner.intercept,
        )

    def predict(self, rows: Floats) -> Floats:
        """Minutes for rows (n, f)."""
        if len(rows) < _COLUMNS_FROM:
            return self._pieces.predict(rows)
        found = np.empty(len(rows))

        def fill(some: slice) -> None:
            found[some] = self.predict_columns(list(np.ascontiguousarray(rows[some].T)))

        in_blocks(fill, len(rows))
        return found

    def predict_columns(self, columns: Sequence[Floats]) -> Floats:
        """Minutes for the same rows given column by column, f of (n,): faster where n is large."""
        return self._pieces.predict_columns(columns)

    def times(self, share: float) -> "BentRule":
        """The rule whose answers are `share` of this one's."""
        inner = self.rule
        scaled = LinearRule(inner.coefficients * share, inner.fill, inner.intercept * share)
        return replace(self, rule=scaled)

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "rule": self.rule.to_json(),
            "bends": self.bends.tolist(),
            "knots": self.knots.tolist(),
            "low": [None if np.isinf(v) else v for v in self.low.tolist()],
            "high": [None if np.isinf(v) else v for v in self.high.tolist()],
            "crossed": [self.curve, self.group, self.slope],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Back from JSON values."""
        curve, group, slope = value["crossed"]
        return cls(
            LinearRule.from_json(value["rule"]),
            np.array(value["bends"], dtype=np.int64),
            np.array(value["knots"], dtype=np.float64),
            np.array([-np.inf if v is None else v for v in value["low"]]),
            np.array([np.inf if v is None else v for v in value["high"]]),
            int(curve),
            int(group),
            int(slope),
        )


_GROUPS: Final = np.arange(7.0)
_COLUMNS_FROM: Final = 256
"""Rows from which going column by column is faster than all columns at once."""
