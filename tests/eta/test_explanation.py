"""Minutes per factor: what any fair share must satisfy."""

import itertools
from math import factorial

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foodex.core.errors import InvalidInput
from foodex.domain.forecasts import Explanation
from foodex.eta import explanation
from foodex.eta.explanation import EXACT_FACTORS, explain

Floats = npt.NDArray[np.float64]


def minutes(given: Explanation) -> dict[str, float]:
    return {factor.name: factor.minutes for factor in given.factors}


def singles(count: int) -> dict[str, list[int]]:
    return {f"factor {number}": [number] for number in range(count)}


class Tangled:
    """A model with effects of many features at once, which counts the rows it is asked for."""

    def __init__(self, width: int, seed: int = 0) -> None:
        random = np.random.default_rng(seed)
        self.first, self.second = random.normal(size=(width, 5)), random.normal(size=5)
        self.rows = 0

    def __call__(self, rows: Floats) -> Floats:
        self.rows += len(rows)
        result: Floats = np.tanh(np.nan_to_num(rows, nan=-2.0) @ self.first) @ self.second * 9 + 30
        return result


@settings(max_examples=60, deadline=None)
@given(count=st.integers(0, 14), seed=st.integers(0, 1000), data=st.data())
def test_the_minutes_add_up(count: int, seed: int, data: st.DataObject) -> None:
    values = st.lists(
        st.one_of(st.floats(-3, 3), st.just(float("nan"))), min_size=count, max_size=count
    )
    row, reference = np.array(data.draw(values)), np.array(data.draw(values))
    model = Tangled(count, seed)
    told = explain(model, row, reference, singles(count))
    total = told.typical_minutes + sum(minutes(told).values())
    assert told.typical_minutes == pytest.approx(model(reference[None, :])[0])
    assert total == pytest.approx(model(row[None, :])[0], abs=1e-9)
    sizes = [abs(factor.minutes) for factor in told.factors]
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize("count", [1, 2, 4, 5])
def test_the_minutes_are_the_mean_over_all_orders(count: int) -> None:
    random = np.random.default_rng(count)
    row, reference, model = random.normal(size=count), random.normal(size=count), Tangled(count)
    want = np.zeros(count)
    for order in itertools.permutations(range(count)):
        mix = reference.copy()
        for factor in order:
            before = model(mix[None, :])[0]
            mix[factor] = row[factor]
            want[factor] += model(mix[None, :])[0] - before
    got = minutes(explain(model, row, reference, singles(count)))
    assert [got[f"factor {number}"] for number in range(count)] == pytest.approx(
        want / factorial(count), abs=1e-10
    )


@pytest.mark.parametrize("count", [3, EXACT_FACTORS, EXACT_FACTORS + 1, 25])
def test_a_linear_model_gives_weight_times_difference(count: int) -> None:
    random = np.random.default_rng(1)
    weights, row, reference = random.normal(size=(3, count))
    got = minutes(explain(lambda rows: rows @ weights, row, reference, singles(count)))
    want = weights * (row - reference)
    assert [got[f"factor {at}"] for at in range(count)] == pytest.approx(want, abs=1e-9)


@settings(max_examples=30, deadline=None)
@given(first=st.floats(-5, 5), other=st.floats(-5, 5))
def test_factors_that_do_the_same_get_the_same(first: float, other: float) -> None:
    def model(rows: Floats) -> Floats:
        return rows[:, 0] * rows[:, 1] + rows[:, 2]

    got = minutes(explain(model, np.array([first, first, other]), np.zeros(3), singles(3)))
    assert got["factor 0"] == pytest.approx(got["factor 1"], abs=1e-12)


@pytest.mark.parametrize("count", [4, 15])
def test_a_factor_that_does_nothing_gets_nothing(count: int) -> None:
    model = Tangled(count)
    model.first[2] = 0
    row, reference = np.ones(count), np.zeros(count)
    got = minutes(explain(model, row, reference, singles(count)))
    assert got["factor 2"] == pytest.approx(0, abs=1e-12)
    assert abs(got["factor 1"]) > 1e-3


def test_a_group_counts_as_one() -> None:
    def model(rows: Floats) -> Floats:
        return rows[:, 0] * rows[:, 1] + 2 * rows[:, 2]

    groups = {"place": [0, 1], "load": [2], "weather": [3]}
    told = explain(model, np.array([2.0, 3, 4, 5]), np.array([1.0, 1, 1, 5]), groups)
    assert told.typical_minutes == 3
    assert minutes(told) == {"load": 6, "place": 5, "weather": 0}


def test_only_what_differs_is_asked_for() -> None:
    model = Tangled(30)
    row = np.zeros(30)
    row[[3, 7]] = 1
    row[9] = np.nan
    reference = np.zeros(30)
    reference[9] = np.nan
    explain(model, row, reference, singles(30))
    assert model.rows == 4


def test_nothing_differs() -> None:
    told = explain(Tangled(2), np.ones(2), np.ones(2), singles(2))
    assert minutes(told) == {"factor 0": 0.0, "factor 1": 0.0}


def test_a_sample_of_orders_is_close_and_the_same_each_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    count = EXACT_FACTORS + 2
    random = np.random.default_rng(5)
    row, reference, model = random.normal(size=count), np.zeros(count), Tangled(count)
    sampled = minutes(explain(model, row, reference, singles(count)))
    assert sampled == minutes(explain(model, row, reference, singles(count)))
    assert model.rows < 2 * 128 * count
    monkeypatch.setattr(explanation, "EXACT_FACTORS", count)
    exact = minutes(explain(model, row, reference, singles(count)))
    assert sampled == pytest.approx(exact, abs=1.0)
    assert max(map(abs, exact.values())) > 2


@pytest.mark.parametrize("groups", [{"a": [0]}, {"a": [0, 1], "b": [1]}, {"a": [0, 2]}, {}])
def test_every_column_is_in_one_group(groups: dict[str, list[int]]) -> None:
    with pytest.raises(InvalidInput, match="groups"):
        explain(Tangled(2), np.ones(2), np.zeros(2), groups)


def test_rows_of_different_lengths_are_refused() -> None:
    with pytest.raises(InvalidInput, match="reference"):
        explain(Tangled(2), np.ones(2), np.zeros(3), singles(2))
