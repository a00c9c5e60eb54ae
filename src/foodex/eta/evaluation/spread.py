"""How errors lie, and whether each quantile holds as many orders as it says."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from foodex.domain.forecasts import QUANTILES
from foodex.eta.evaluation.metrics import Floats

WIDTH_MINUTES: Final = 2
REACH_MINUTES: Final = 30
"""Errors beyond it are counted with the last bar."""


def held_by_level(actual: Floats, quantiles: Floats) -> dict[str, float]:
    """For each level of `QUANTILES`, the share of orders that took no longer than that quantile.

    `actual` is (n,), `quantiles` (n, q), both minutes. Where the forecast is calibrated, the share
    is the level.
    """
    below = np.mean(actual[:, None] <= quantiles, axis=0)
    return {f"{level:g}": float(share) for level, share in zip(QUANTILES, below, strict=True)}


def errors_by_minutes(error: Floats) -> Mapping[str, Sequence[int]]:
    """Orders by their error (minutes, (n,)): `from_minutes` is where each of `orders` begins.

    Each is `WIDTH_MINUTES` wide, the first from -`REACH_MINUTES`.
    """
    edges = np.arange(-REACH_MINUTES, REACH_MINUTES + 1, WIDTH_MINUTES)
    kept = np.clip(error, edges[0], edges[-1] - WIDTH_MINUTES / 2)
    counts, _ = np.histogram(kept, bins=edges)
    return {"from_minutes": edges[:-1].tolist(), "orders": counts.tolist()}
