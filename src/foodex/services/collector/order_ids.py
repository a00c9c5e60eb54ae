"""Which orders are there already."""

import numpy as np
import polars as pl
from numpy.typing import NDArray

_SEED = 0xF00D


class SeenOrders:
    """A growing set of order numbers at eight bytes each.

    Held as 64-bit fingerprints in sorted runs that are merged when they are of like length, so
    a batch costs its own length times the logarithm of all. Two of n different orders share a
    fingerprint, and the later one would be refused, with a chance of n²/2⁶⁵: one in 37 million
    for a million orders.
    """

    def __init__(self) -> None:
        self._runs: list[NDArray[np.uint64]] = []

    def add(self, order_ids: pl.Series) -> pl.Series:
        """Take these in; true where one was there before or stands earlier in the series.

        A missing number is never a repetition.
        """
        given = order_ids.is_not_null().to_numpy()
        prints = order_ids.hash(seed=_SEED).to_numpy()[given]
        distinct, first = np.unique(prints, return_index=True)
        repeated = np.ones(len(prints), dtype=bool)
        repeated[first] = self._has(distinct)
        everywhere = np.zeros(len(order_ids), dtype=bool)
        everywhere[given] = repeated
        fresh = distinct[~repeated[first]]
        if len(fresh):
            self._grow(fresh)
        return pl.Series(everywhere)

    def _has(self, prints: NDArray[np.uint64]) -> NDArray[np.bool_]:
        found = np.zeros(len(prints), dtype=bool)
        for run in self._runs:
            places = np.searchsorted(run, prints)
            places[places == len(run)] = 0
            found |= run[places] == prints
        return found

    def _grow(self, run: NDArray[np.uint64]) -> None:
        while self._runs and len(self._runs[-1]) <= 2 * len(run):
            run = np.sort(np.concatenate([self._runs.pop(), run]), kind="stable")
        self._runs.append(run)
