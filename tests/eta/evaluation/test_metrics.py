"""The figures, against their definitions and scikit-learn's."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import (
    mean_absolute_error,
    mean_pinball_loss,
    r2_score,
    root_mean_squared_error,
)

from foodex.core.errors import InvalidInput
from foodex.domain.forecasts import QUANTILES
from foodex.eta.evaluation import metrics, pinball, stability

ACTUAL = np.array([20.0, 30.0, 40.0, 50.0])
MEDIAN = np.array([25.0, 30.0, 29.0, 71.0])


def test_the_figures_of_four_orders() -> None:
    quantiles = MEDIAN[:, None] + np.array([-11, -8, -4, 0, 4, 8, 12])
    promised = np.array([25.0, 30.0, 30.0, 70.0])
    figures = metrics(ACTUAL, MEDIAN, quantiles, promised)
    assert figures["n"] == 4
    assert figures["mae_minutes"] == (5 + 0 + 11 + 21) / 4
    assert figures["bias_minutes"] == (5 + 0 - 11 + 21) / 4
    assert figures["within_5"] == 0.5
    assert figures["within_10"] == 0.5
    assert figures["p50_abs_error_minutes"] == 8
    assert figures["coverage_90"] == 0.75
    assert figures["width_90_minutes"] == 23
    assert figures["on_time_share"] == 0.75
    assert figures["late_10_share"] == 0
    assert figures["late_20_share"] == 0
    assert figures["early_share"] == 0.25
    assert figures["lateness_p90_minutes"] == pytest.approx(np.quantile([0, 0, 10, 0], 0.9))


def test_lateness_is_counted_above_ten_and_twenty() -> None:
    figures = metrics(np.array([10.0, 10.01, 20, 20.01]), np.zeros(4), promised=np.zeros(4))
    assert (figures["late_10_share"], figures["late_20_share"]) == (0.75, 0.25)
    assert figures["on_time_share"] == 0


def test_an_order_exactly_at_a_bound_is_inside() -> None:
    quantiles = np.tile([10.0, 11, 12, 13, 14, 15, 20], (2, 1))
    figures = metrics(
        np.array([10.0, 20.0]), np.array([15.0, 10.0]), quantiles, np.array([10.0, 30.0])
    )
    assert figures["coverage_90"] == 1
    assert figures["within_5"] == 0.5
    assert figures["within_10"] == 1
    assert figures["on_time_share"] == 1
    assert figures["early_share"] == 0


def test_agrees_with_scikit_learn() -> None:
    random = np.random.default_rng(0)
    actual, median = random.gamma(9, 4, 500), random.gamma(9, 4, 500)
    quantiles = np.sort(random.gamma(9, 4, (500, 7)), axis=1)
    figures = metrics(actual, median, quantiles)
    assert figures["mae_minutes"] == pytest.approx(mean_absolute_error(actual, median))
    assert figures["rmse_minutes"] == pytest.approx(root_mean_squared_error(actual, median))
    assert figures["r2"] == pytest.approx(r2_score(actual, median))
    losses = [
        mean_pinball_loss(actual, quantiles[:, at], alpha=level)
        for at, level in enumerate(QUANTILES)
    ]
    assert pinball(actual, quantiles) == pytest.approx(losses)
    assert figures["pinball_minutes"] == pytest.approx(np.mean(losses))


def test_what_cannot_be_told_is_none() -> None:
    figures = metrics(np.array([30.0, 30.0]), np.array([31.0, 33.0]))
    assert {name for name, value in figures.items() if value is None} == {
        "r2",
        "coverage_90",
        "width_90_minutes",
        "pinball_minutes",
        "on_time_share",
        "lateness_p90_minutes",
        "late_10_share",
        "late_20_share",
        "early_share",
    }


@given(st.lists(st.tuples(st.floats(0, 200), st.floats(0, 200)), min_size=1, max_size=40))
def test_the_figures_hang_together(pairs: list[tuple[float, float]]) -> None:
    actual, median = np.array(pairs).T
    f = metrics(actual, median, promised=median)
    values = {name: value for name, value in f.items() if value is not None}
    assert values["mae_minutes"] <= values["rmse_minutes"] + 1e-9
    assert abs(values["bias_minutes"]) <= values["mae_minutes"] + 1e-9
    assert 0 <= values["within_5"] <= values["within_10"] <= 1
    assert (
        values["p50_abs_error_minutes"]
        <= values["p90_abs_error_minutes"]
        <= values["p95_abs_error_minutes"]
    )
    assert values["late_20_share"] <= values["late_10_share"] <= 1 - values["on_time_share"] + 1e-9
    assert all(type(value) in (int, float) for value in values.values())


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ((np.array([]), np.array([])), "actual"),
        ((np.array([np.nan]), np.array([1.0])), "actual"),
        ((ACTUAL, MEDIAN[:3]), "median"),
        ((ACTUAL, MEDIAN * np.nan), "median"),
        ((ACTUAL, MEDIAN, np.zeros((4, 2))), "quantiles"),
        ((ACTUAL, MEDIAN, None, np.full(4, np.inf)), "promised"),
    ],
)
def test_what_cannot_be_judged_is_refused(arguments: tuple[np.ndarray, ...], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        metrics(*arguments)
    assert [problem.field for problem in caught.value.problems] == [field]


def test_revisions_and_jumps_are_counted_by_order() -> None:
    orders = np.array([1, 2, 1, 1, 2, 3, 1])
    minutes = np.array([30.0, 40, 30, 36, 45, 20, 29])
    assert stability(orders, minutes) == {
        "n": 3,
        "revisions_per_order": 1.0,
        "jumps_per_order": pytest.approx(2 / 3),
        "jumped_share": pytest.approx(1 / 3),
    }


def test_no_statements_have_no_stability() -> None:
    with pytest.raises(InvalidInput, match="minutes"):
        stability(np.array([], dtype=np.int64), np.array([]))
