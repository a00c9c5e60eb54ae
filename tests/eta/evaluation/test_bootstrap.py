"""Intervals that hold what they promise."""

import numpy as np
import pytest

from foodex.eta.evaluation import blocks_of, intervals_of_means


def test_intervals_cover_the_truth_when_orders_are_independent() -> None:
    covered = 0
    for seed in range(200):
        values = np.random.default_rng(seed).gamma(2, 4, 300)
        blocks = blocks_of(None, 300, seed)
        low, high = intervals_of_means({"x": values}, blocks, draws=400, seed=seed)["x"]
        covered += low <= 8 <= high
    assert 180 <= covered <= 199


def test_days_that_share_their_luck_widen_the_interval() -> None:
    random = np.random.default_rng(1)
    days = np.repeat(np.arange(60.0), 50)
    values = random.normal(size=60).repeat(50) + random.normal(size=3000)
    by_day = intervals_of_means({"x": values}, blocks_of(days, 3000))["x"]
    alone = intervals_of_means({"x": values}, blocks_of(None, 3000))["x"]
    assert by_day[1] - by_day[0] > 3 * (alone[1] - alone[0])


def test_a_difference_is_paired() -> None:
    random = np.random.default_rng(2)
    first = random.gamma(2, 4, 1000)
    found = intervals_of_means(
        {"a": first, "b": first + 0.5, "gain": first + 0.5 - first}, blocks_of(None, 1000)
    )
    assert found["gain"] == pytest.approx((0.5, 0.5))
    assert found["b"] == pytest.approx((found["a"][0] + 0.5, found["a"][1] + 0.5))


def test_the_same_seed_gives_the_same_interval() -> None:
    values = {"x": np.random.default_rng(3).normal(size=500)}
    blocks = blocks_of(np.arange(500.0) // 20, 500)
    assert intervals_of_means(values, blocks, seed=4) == intervals_of_means(values, blocks, seed=4)
    assert intervals_of_means(values, blocks, seed=4) != intervals_of_means(values, blocks, seed=5)


def test_what_is_missing_is_left_out() -> None:
    values = np.where(np.arange(400) % 2 == 0, 7.0, np.nan)
    found = intervals_of_means({"x": values, "y": np.full(400, np.nan)}, blocks_of(None, 400))
    assert found == {"x": (7.0, 7.0)}


def test_one_day_has_no_interval() -> None:
    assert intervals_of_means({"x": np.ones(50)}, blocks_of(np.zeros(50), 50)) == {}
