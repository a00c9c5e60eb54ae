"""A bent rule worked out: the hinges of one column are one line for each stretch between knots.

Adding up a hundred hinges an order costs several times what looking up its stretch does. Rows are
answered all columns at once where they are few, and column by column where they are many; both
add the same terms in the same turn, so the answers are equal bit for bit.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from foodex.eta.columns import Floats, Integers

GROUPS: Final = 7
"""The groups of a crossed column are its values 0 to 6; what is none of them adds nothing."""

VERY_FEW: Final = 2
"""Rows up to which plain numbers are faster than arrays."""

Stretch = NDArray[np.intp]


def in_turn(terms: Floats) -> Floats:
    """Sums along rows (n, f) of terms, added from left to right.

    How a plain sum is added up depends on how the terms lie in memory; this one does not.
    """
    if not terms.shape[1]:
        return np.zeros(len(terms))
    return np.asarray(np.add.accumulate(terms, axis=1)[:, -1])


def put_where_missing(found: Floats, column: Floats, value: float) -> None:
    """Put the value where the column has a gap."""
    missing = np.isnan(column)
    if missing.any():
        found[missing] = value


@dataclass(frozen=True)
class Lines:
    """`starts[i] + slopes[i] * x` in the i-th stretch of x, and `missing` where x has a gap."""

    starts: Floats
    slopes: Floats
    missing: float

    @classmethod
    def of(cls, knots: Floats, coefficients: Floats, fill: Floats) -> Self:
        """From the coefficients and fills of x and of its hinges, the knots ascending."""
        starts = -np.cumsum(np.concatenate(([0.0], coefficients[1:] * knots)))
        return cls(starts, np.cumsum(coefficients), float((coefficients * fill).sum()))

    def at(self, x: Floats, stretch: Stretch) -> Floats:
        """The value at each x, whose stretch is known."""
        found = self.slopes.take(stretch)
        found *= x
        found += self.starts.take(stretch)
        return np.asarray(found)

    @cached_property
    def listed(self) -> tuple[list[float], list[float]]:
        """`starts` and `slopes` as plain numbers."""
        return self.starts.tolist(), self.slopes.tolist()


@dataclass(frozen=True)
class Crossed:
    """The hinges of one column taken for each group of another, and times a third; -1 is none."""

    curve: int
    group: int
    slope: int
    by_group: Lines
    """Of all groups, one after another, and then of no group."""
    by_slope: Lines

    def terms(self, held: Sequence[Floats] | Floats, stretch: Stretch) -> list[Floats]:
        """What is to be added, (n,) each, given the columns and the stretches of the curve."""
        curve, found = held[self.curve], []
        if self.group >= 0:
            group = held[self.group]
            usual = (group >= 0) & (group < GROUPS) & (group == np.floor(group))
            which = np.where(usual, group, GROUPS).astype(np.intp)
            which *= len(self.by_group.starts) // (GROUPS + 1)
            which += stretch
            term = self.by_group.at(curve, which)
            put_where_missing(term, curve, self.by_group.missing)
            found.append(term)
        if self.slope >= 0:
            term = self.by_slope.at(curve, stretch)
            term *= held[self.slope]
            # A gap in either is a gap in the product.
            put_where_missing(term, term, self.by_slope.missing)
            found.append(term)
        return found

    def terms_of_one(self, held: list[float], stretch: int) -> list[float]:
        """The same of one order."""
        curve, found = held[self.curve], []
        if self.group >= 0:
            group = held[self.group]
            starts, slopes = self.by_group.listed
            if curve != curve:
                found.append(self.by_group.missing)
            elif 0 <= group < GROUPS and group == int(group):
                which = int(group) * (len(starts) // (GROUPS + 1)) + stretch
                found.append(slopes[which] * curve + starts[which])
        if self.slope >= 0:
            starts, slopes = self.by_slope.listed
            term = (slopes[stretch] * curve + starts[stretch]) * held[self.slope]
            found.append(self.by_slope.missing if term != term else term)
        return found


@dataclass(frozen=True)
class Pieces:
    """The rule: a line a column, or several where it bends, what is crossed, and a constant.

    `lines` are of all columns, one after another, those of column j beginning at `first[j]`;
    `missing` is what a gap in a column adds; `bends` and `knots` go together, column by column;
    `bending` are the columns that bend, the hinges of each beginning at `turns`.
    """

    low: Floats
    high: Floats
    bends: Integers
    knots: Floats
    bending: Integers
    turns: Integers
    first: Integers
    lines: Lines
    missing: Floats
    crossed: Crossed | None
    intercept: float

    @classmethod
    def of(
        cls,
        hinges: tuple[Integers, Floats],
        held: tuple[Floats, Floats],
        crossed: tuple[int, int, int],
        coefficients: Floats,
        fill: Floats,
        intercept: float,
    ) -> Self:
        """From the coefficients and fills of a `BentRule`'s columns, hinges and crossings."""
        width = len(held[0])
        order = np.lexsort((hinges[1], hinges[0]))
        bends, knots = hinges[0][order], hinges[1][order]
        lines = []
        for column in range(width):
            of_column = np.concatenate(([column], width + order[bends == column]))
            lines.append(Lines.of(knots[bends == column], coefficients[of_column], fill[of_column]))
        first = np.cumsum([0, *(len(line.starts) for line in lines)])[:-1]
        return cls(
            *held,
            bends,
            knots,
            *np.unique(bends, return_index=True),
            first,
            Lines(
                np.concatenate([line.starts for line in lines]),
                np.concatenate([line.slopes for line in lines]),
                0.0,
            ),
            np.array([line.missing for line in lines]),
            cls._cross(crossed, order, (bends, knots), width, coefficients, fill),
            intercept,
        )

    @staticmethod
    def _cross(
        crossed: tuple[int, int, int],
        order: Integers,
        hinges: tuple[Integers, Floats],
        width: int,
        coefficients: Floats,
        fill: Floats,
    ) -> Crossed | None:
        curve, group, slope = crossed
        if curve < 0:
            return None
        bends, knots = hinges
        knots = knots[bends == curve]
        # A crossing's own columns are the curve and then its hinges, as they were told.
        told = order[bends == curve]
        turn = np.concatenate(([0], 1 + np.argsort(np.argsort(told))))
        size, at = len(turn), width + len(bends)
        none = Lines(np.zeros(0), np.zeros(0), 0.0)
        by_group = by_slope = none
        if group >= 0:
            parts = [at + one * size + turn for one in range(GROUPS)]
            each = [Lines.of(knots, coefficients[part], fill[part]) for part in parts]
            by_group = Lines(
                np.concatenate([line.starts for line in each] + [np.zeros(size)]),
                np.concatenate([line.slopes for line in each] + [np.zeros(size)]),
                sum(line.missing for line in each),
            )
            at += GROUPS * size
        if slope >= 0:
            by_slope = Lines.of(knots, coefficients[at + turn], fill[at + turn])
        return Crossed(curve, group, slope, by_group, by_slope)

    def predict(self, rows: Floats) -> Floats:
        """Minutes for few rows (n, f)."""
        if len(rows) <= VERY_FEW:
            return np.array([self._one(row) for row in rows.tolist()], dtype=np.float64)
        held = np.minimum(np.maximum(rows, self.low), self.high)
        place = np.empty(held.shape, dtype=np.intp)
        place[:] = self.first
        if len(self.bends):
            beyond = held.take(self.bends, axis=1) > self.knots
            place[:, self.bending] += np.add.reduceat(beyond, self.turns, axis=1, dtype=np.intp)
        terms = self.lines.at(held, place)
        np.copyto(terms, self.missing, where=np.isnan(held))
        if self.crossed is not None:
            curve = self.crossed.curve
            more = self.crossed.terms(held.T, place[:, curve] - self.first[curve])
            terms = np.concatenate([terms, *(term[:, None] for term in more)], axis=1)
        return in_turn(terms) + self.intercept

    @cached_property
    def _by_column(self) -> list[tuple[float, float, list[float], list[float], list[float], float]]:
        ends = [*self.first[1:].tolist(), len(self.lines.starts)]
        return [
            (
                float(self.low[index]),
                float(self.high[index]),
                self.knots[self.bends == index].tolist(),
                self.lines.starts[start:end].tolist(),
                self.lines.slopes[start:end].tolist(),
                float(self.missing[index]),
            )
            for index, (start, end) in enumerate(zip(self.first.tolist(), ends, strict=True))
        ]

    def _one(self, row: list[float]) -> float:
        # A call of NumPy costs more than the arithmetic of a whole order.
        total, held, curve = 0.0, [], 0
        for x, (low, high, knots, starts, slopes, missing) in zip(
            row, self._by_column, strict=True
        ):
            stretch = 0
            if x == x:
                x = min(max(x, low), high)
                stretch = bisect_left(knots, x)
                total += slopes[stretch] * x + starts[stretch]
            else:
                total += missing
            held.append(x)
            if self.crossed is not None and len(held) == self.crossed.curve + 1:
                curve = stretch
        if self.crossed is not None:
            for term in self.crossed.terms_of_one(held, curve):
                total += term
        return total + self.intercept

    def predict_columns(self, columns: Sequence[Floats]) -> Floats:
        """Minutes for many rows, given as f columns of (n,)."""
        n = len(columns[0]) if len(columns) else 0
        total, curve = np.zeros(n), None
        held = list(columns)
        for index, column in enumerate(columns):
            if np.isfinite(self.low[index]):
                column = np.maximum(column, self.low[index])
                np.minimum(column, self.high[index], out=column)
                held[index] = column
            knots = self.knots[self.bends == index]
            if len(knots):
                stretch = _stretches(column, knots)
                if self.crossed is not None and index == self.crossed.curve:
                    curve = stretch
                term = self.lines.at(column, stretch + self.first[index])
            else:
                term = column * self.lines.slopes[self.first[index]]
            put_where_missing(term, column, self.missing[index])
            total += term
        if self.crossed is not None and curve is not None:
            for term in self.crossed.terms(held, curve):
                total += term
        return np.asarray(total + self.intercept)


def _stretches(column: Floats, knots: Floats) -> Stretch:
    found = np.zeros(len(column), dtype=np.int8)
    for knot in knots:
        found += column > knot
    return found.astype(np.intp)
