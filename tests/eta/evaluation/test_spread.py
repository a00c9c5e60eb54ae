"""How errors lie, and what each quantile holds."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from foodex.domain.forecasts import QUANTILES
from foodex.eta.evaluation.spread import errors_by_minutes, held_by_level


def test_each_quantile_holds_the_orders_below_it() -> None:
    actual = np.array([10.0, 20.0, 30.0, 40.0])
    quantiles = np.tile([5.0, 10, 20, 25, 30, 35, 50], (4, 1))
    held = held_by_level(actual, quantiles)
    assert list(held) == [f"{level:g}" for level in QUANTILES]
    assert list(held.values()) == [0, 0.25, 0.5, 0.5, 0.75, 0.75, 1]


@given(st.lists(st.floats(-500, 500), min_size=1, max_size=50))
def test_every_order_is_in_one_bar(errors: list[float]) -> None:
    bars = errors_by_minutes(np.array(errors))
    assert sum(bars["orders"]) == len(errors)
    assert len(bars["orders"]) == len(bars["from_minutes"]) == 30


def test_an_error_is_in_the_bar_that_begins_below_it() -> None:
    bars = errors_by_minutes(np.array([-31.0, -1.0, 0.0, 1.9, 2.0, 29.0, 99.0]))
    found = {a: n for a, n in zip(bars["from_minutes"], bars["orders"], strict=True) if n}
    assert found == {-30: 1, -2: 1, 0: 2, 2: 1, 28: 2}
