"""Drift figures, against SciPy's."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial import distance

from foodex.core.errors import InvalidInput
from foodex.eta.evaluation import drift_of_categories, drift_of_numbers
from foodex.eta.evaluation.drift import (
    jensen_shannon,
    kolmogorov_smirnov,
    stability_index,
    wasserstein,
)

SAMPLES = st.lists(st.integers(-50, 50), min_size=1, max_size=60).map(
    lambda values: np.array(values, dtype=np.float64) / 4
)


@given(SAMPLES, SAMPLES)
def test_the_distance_of_wasserstein(first: np.ndarray, second: np.ndarray) -> None:
    want = stats.wasserstein_distance(first, second)
    assert wasserstein(first, second) == pytest.approx(want, abs=1e-9)


@given(SAMPLES, SAMPLES)
def test_the_statistic_of_kolmogorov_and_smirnov(first: np.ndarray, second: np.ndarray) -> None:
    statistic, p_value = kolmogorov_smirnov(first, second)
    at = np.union1d(first, second)
    below, also = (stats.ecdf(one).cdf.evaluate(at) for one in (first, second))
    assert statistic == pytest.approx(np.abs(below - also).max(), abs=1e-12)
    z = statistic * np.sqrt(len(first) * len(second) / (len(first) + len(second)))
    assert p_value == pytest.approx(stats.kstwobign.sf(z), abs=1e-9)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=2, max_size=20))
def test_the_distance_of_jensen_and_shannon(counts: list[tuple[int, int]]) -> None:
    first, second = np.array([*counts, (1, 1)], dtype=np.float64).T
    want = distance.jensenshannon(first, second, base=2)
    assert jensen_shannon(first, second) == pytest.approx(want, abs=1e-7)


def test_the_stability_index_of_a_known_case() -> None:
    index = stability_index(np.array([50.0, 50.0]), np.array([25.0, 75.0]))
    assert index == pytest.approx(-0.25 * np.log(0.5) + 0.25 * np.log(1.5))


@pytest.mark.parametrize("count", [300, 5000])
def test_numbers_that_moved_are_found_and_others_not(count: int) -> None:
    random = np.random.default_rng(0)
    reference = random.gamma(9, 4, count)
    still = drift_of_numbers(reference, random.gamma(9, 4, count))
    moved = drift_of_numbers(reference, random.gamma(9, 4, count) + 6)
    assert (still.drifted, moved.drifted) == (False, True)
    assert still.method == ("wasserstein" if count > 1000 else "kolmogorov_smirnov")
    assert moved.stability_index > still.stability_index


def test_a_small_difference_of_many_is_no_drift() -> None:
    random = np.random.default_rng(0)
    reference, current = random.normal(size=50_000), random.normal(size=50_000) + 0.05
    assert kolmogorov_smirnov(reference, current)[1] < 0.001
    assert not drift_of_numbers(reference, current).drifted


def test_a_constant_that_changes_has_drifted() -> None:
    assert drift_of_numbers(np.full(2000, 3.0), np.full(2000, 4.0)).drifted
    assert not drift_of_numbers(np.full(2000, 3.0), np.full(2000, 3.0)).drifted


def test_categories_count_what_is_missing_and_what_is_new() -> None:
    reference = pl.Series("kind", ["pizza"] * 90 + ["sushi"] * 10)
    assert not drift_of_categories(reference, reference).drifted
    assert drift_of_categories(reference, pl.Series("kind", ["pizza"] * 70 + [None] * 30)).drifted
    assert drift_of_categories(reference, pl.Series("kind", ["thai"])).value == pytest.approx(1)


def test_nothing_has_no_drift() -> None:
    with pytest.raises(InvalidInput, match="current"):
        drift_of_numbers(np.ones(3), np.array([np.nan]))
    with pytest.raises(InvalidInput, match="reference"):
        drift_of_categories(pl.Series([], dtype=pl.String), pl.Series(["a"]))
