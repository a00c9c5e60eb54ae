"""How far figures could be off by the luck of the sample.

Orders of one day share its weather, couriers and rush, so whole days are drawn again, not orders
(a block bootstrap; H. R. Künsch, 1989). Figures that are means need only each day's sums, so a
million orders cost no more than their days.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Interval = tuple[float, float]

LEVEL: Final = 0.95
DRAWS: Final = 2000
_BLOCKS: Final = 1000


def blocks_of(days: Floats | None, count: int, seed: int = 0) -> Integers:
    """The block of each order, (n,): its day, or at random where there are no days.

    A thousand random blocks of independent orders vary as the orders themselves would.
    """
    if days is not None:
        return np.unique(days, return_inverse=True)[1].astype(np.int64)
    return np.random.default_rng(seed).permutation(count) % _BLOCKS


def intervals_of_means(
    values: Mapping[str, Floats],
    blocks: Integers,
    *,
    draws: int = DRAWS,
    level: float = LEVEL,
    seed: int = 0,
) -> dict[str, Interval]:
    """Percentile intervals of the mean of each of `values`, (n,), NaN left out of its mean.

    All are computed from the same draws, so the interval of a difference of two columns is the
    paired one. Fewer than two blocks have no interval, and nor do values without any number.
    """
    count = int(blocks.max()) + 1 if len(blocks) else 0
    if count < 2:
        return {}
    random = np.random.default_rng(seed)
    times = random.multinomial(count, np.full(count, 1 / count), size=draws).astype(np.float64)
    found = {}
    for name, column in values.items():
        known = ~np.isnan(column)
        sums = np.bincount(blocks[known], column[known], minlength=count)
        orders = np.bincount(blocks[known], minlength=count).astype(np.float64)
        drawn = times @ orders
        usable = drawn > 0
        if usable.any():
            means = (times @ sums)[usable] / drawn[usable]
            low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
            found[name] = (float(low), float(high))
    return found
