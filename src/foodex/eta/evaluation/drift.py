"""Whether values of today still look like those a model was fitted on.

The conventions are those of practice: numbers by the Wasserstein distance in standard deviations
where there are many, by the Kolmogorov-Smirnov test where there are few, categories by the
Jensen-Shannon distance. The population stability index is told beside them; it alarms falsely
on small samples, so it decides nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from foodex.core.errors import FieldProblem, InvalidInput

Floats = npt.NDArray[np.float64]

MANY: Final = 1000
"""Above so many values a test finds any difference significant: there its size decides."""
WASSERSTEIN_LIMIT: Final = 0.1
KOLMOGOROV_SMIRNOV_LIMIT: Final = 0.05
JENSEN_SHANNON_LIMIT: Final = 0.1
STABILITY_LIMIT: Final = 0.25
_BINS: Final = 10
_LEAST_SHARE: Final = 1e-4


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """How far one column has moved: by which method, how much, and whether that is drift.

    `value` is a p-value for `kolmogorov_smirnov` (small is drift), a distance for the others.
    """

    method: str
    value: float
    limit: float
    drifted: bool
    stability_index: float


def drift_of_numbers(reference: Floats, current: Floats) -> Drift:
    """Drift of a number column; NaN is left out. Raises InvalidInput when nothing is left."""
    reference, current = _known(reference, "reference"), _known(current, "current")
    index = stability_index(*_binned(reference, current))
    if min(len(reference), len(current)) > MANY:
        spread = float(reference.std())
        distance = wasserstein(reference, current)
        value = distance / spread if spread > 0 else (np.inf if distance > 0 else 0.0)
        limit = WASSERSTEIN_LIMIT
        return Drift(
            method="wasserstein",
            value=value,
            limit=limit,
            drifted=value >= limit,
            stability_index=index,
        )
    _, p_value = kolmogorov_smirnov(reference, current)
    limit = KOLMOGOROV_SMIRNOV_LIMIT
    return Drift(
        method="kolmogorov_smirnov",
        value=p_value,
        limit=limit,
        drifted=p_value < limit,
        stability_index=index,
    )


def drift_of_categories(reference: pl.Series, current: pl.Series) -> Drift:
    """Drift of a category column; a missing value counts as a category of its own.

    Raises InvalidInput when one of the two is empty.
    """
    for name, series in (("reference", reference), ("current", current)):
        if not len(series):
            raise _nothing(name)
    counts = [_counts(series) for series in (reference, current)]
    labels = list(dict.fromkeys([*counts[0], *counts[1]]))
    before, after = (np.array([one.get(label, 0) for label in labels], float) for one in counts)
    value = jensen_shannon(before, after)
    return Drift(
        method="jensen_shannon",
        value=value,
        limit=JENSEN_SHANNON_LIMIT,
        drifted=value >= JENSEN_SHANNON_LIMIT,
        stability_index=stability_index(before, after),
    )


def wasserstein(first: Floats, second: Floats) -> float:
    """The first Wasserstein distance of two samples: the area between their distributions."""
    everything = np.sort(np.concatenate([first, second]))
    return float(np.sum(_gap(first, second, everything[:-1]) * np.diff(everything)))


def kolmogorov_smirnov(first: Floats, second: Floats) -> tuple[float, float]:
    """The two-sample statistic and its asymptotic p-value (A. Kolmogorov, N. Smirnov).

    The p-value is 2 Σ (-1)^(k-1) exp(-2 k² z²), z being the statistic times the root of
    nm / (n + m).
    """
    statistic = float(_gap(first, second, np.concatenate([first, second])).max())
    z = statistic * np.sqrt(len(first) * len(second) / (len(first) + len(second)))
    if z < 0.2:  # The series needs ever more terms there, and the value is 1 to 12 digits.
        return statistic, 1.0
    k = np.arange(1, 101)
    p_value = 2 * float(np.sum((-1.0) ** (k - 1) * np.exp(-2 * (k * z) ** 2)))
    return statistic, min(max(p_value, 0.0), 1.0)


def jensen_shannon(first: Floats, second: Floats) -> float:
    """The Jensen-Shannon distance of two sets of counts of the same categories, 0 to 1.

    The root of the divergence in bits (J. Lin, 1991; D. Endres and J. Schindelin, 2003).
    """
    p, q = first / first.sum(), second / second.sum()
    middle = (p + q) / 2
    divergence = 0.0
    for share in (p, q):
        some = share > 0
        divergence += float(np.sum(share[some] * np.log2(share[some] / middle[some]))) / 2
    return float(np.sqrt(max(divergence, 0.0)))


def stability_index(reference: Floats, current: Floats) -> float:
    """The population stability index of two sets of counts of the same bins.

    The sum of (p - q) ln(p / q); an empty bin counts as one ten-thousandth.
    """
    p = np.maximum(reference / reference.sum(), _LEAST_SHARE)
    q = np.maximum(current / current.sum(), _LEAST_SHARE)
    return float(np.sum((q - p) * np.log(q / p)))


def _gap(first: Floats, second: Floats, at: Floats) -> Floats:
    """How far the two samples' distribution functions are apart at each point."""
    below = [np.searchsorted(np.sort(one), at, side="right") / len(one) for one in (first, second)]
    gap: Floats = np.abs(below[0] - below[1])
    return gap


def _binned(reference: Floats, current: Floats) -> tuple[Floats, Floats]:
    """Counts in tenths of the reference."""
    edges = np.unique(np.quantile(reference, np.arange(1, _BINS) / _BINS))
    before, after = (
        np.bincount(np.searchsorted(edges, one), minlength=len(edges) + 1).astype(np.float64)
        for one in (reference, current)
    )
    return before, after


def _counts(series: pl.Series) -> Mapping[object, int]:
    table = series.value_counts(name="orders")
    return dict(zip(table[series.name], table["orders"], strict=True))


def _known(values: Floats, name: str) -> Floats:
    known = values[~np.isnan(values)]
    if not len(known):
        raise _nothing(name)
    return known


def _nothing(name: str) -> InvalidInput:
    return InvalidInput("Drift cannot be told", problems=[FieldProblem(name, "has no values")])
