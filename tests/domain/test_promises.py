"""The promise policy: what a customer may rely on, whatever was forecast."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from foodex.core.errors import InvalidInput
from foodex.domain.forecasts import QUANTILES
from foodex.domain.promises import PromisePolicy, quantile_at

QUANTILE_LISTS = st.lists(st.floats(0, 300), min_size=len(QUANTILES), max_size=len(QUANTILES)).map(
    sorted
)
LEVELS = st.floats(QUANTILES[0], QUANTILES[-1])


@st.composite
def policies(draw: st.DrawFn) -> PromisePolicy:
    earliest, level = sorted((draw(LEVELS), draw(LEVELS)))
    floor, ceiling = sorted((draw(st.integers(0, 200)), draw(st.integers(0, 200))))
    return PromisePolicy(
        quantile=level,
        earliest_quantile=earliest,
        buffer_minutes=draw(st.floats(-10, 30)),
        round_to_minutes=draw(st.integers(1, 30)),
        floor_minutes=floor,
        ceiling_minutes=ceiling,
    )


@given(policies(), QUANTILE_LISTS)
def test_a_promise_keeps_to_its_policy(policy: PromisePolicy, quantiles: list[float]) -> None:
    promise = policy.promise(quantiles)
    assert policy.floor_minutes <= promise.minutes <= policy.ceiling_minutes
    assert 0 <= promise.earliest_minutes <= promise.minutes
    at_a_bound = promise.minutes in (policy.floor_minutes, policy.ceiling_minutes)
    assert at_a_bound or promise.minutes % policy.round_to_minutes == 0
    wanted = quantile_at(quantiles, policy.quantile) + policy.buffer_minutes
    if promise.minutes < policy.ceiling_minutes:
        assert promise.minutes >= wanted - 1e-5
    if promise.minutes > policy.floor_minutes:
        assert promise.minutes < wanted + policy.round_to_minutes
    assert isinstance(promise.minutes, int)
    assert isinstance(promise.earliest_minutes, int)
    assert promise.policy == policy.name


@given(policies(), QUANTILE_LISTS, st.lists(st.floats(0, 60), min_size=7, max_size=7))
def test_a_slower_forecast_is_never_promised_sooner(
    policy: PromisePolicy, quantiles: list[float], slower: list[float]
) -> None:
    later = sorted(q + more for q, more in zip(quantiles, slower, strict=True))
    sooner, after = policy.promise(quantiles), policy.promise(later)
    assert sooner.minutes <= after.minutes
    assert sooner.earliest_minutes <= after.earliest_minutes


@given(policies(), QUANTILE_LISTS, LEVELS, st.floats(0, 20))
def test_a_more_careful_policy_never_promises_sooner(
    policy: PromisePolicy, quantiles: list[float], level: float, buffer: float
) -> None:
    assume(level >= policy.quantile)
    careful = replace(policy, quantile=level, buffer_minutes=policy.buffer_minutes + buffer)
    assert policy.promise(quantiles).minutes <= careful.promise(quantiles).minutes


@given(QUANTILE_LISTS)
def test_the_levels_of_the_forecast_are_met_exactly(quantiles: list[float]) -> None:
    for level, minutes in zip(QUANTILES, quantiles, strict=True):
        assert quantile_at(quantiles, level) == pytest.approx(minutes, abs=1e-9)


def test_between_two_levels_is_a_straight_line() -> None:
    quantiles = [10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0]
    assert quantile_at(quantiles, 0.6) == pytest.approx(44)
    assert quantile_at(quantiles, 0.075) == pytest.approx(15)


@pytest.mark.parametrize(
    ("minutes", "promised", "earliest"),
    [
        (35.0, 35, 35),
        (35.0000000001, 35, 35),
        (34.9999999999, 35, 35),
        (35.01, 40, 35),
        (34.99, 35, 30),
        (0.0, 10, 0),
        (3.0, 10, 0),
        (500.0, 120, 120),
    ],
)
def test_minutes_are_rounded_up_and_held(minutes: float, promised: int, earliest: int) -> None:
    promise = PromisePolicy().promise([minutes] * len(QUANTILES))
    assert (promise.minutes, promise.earliest_minutes) == (promised, earliest)


def test_the_window_runs_from_one_quantile_to_the_other() -> None:
    policy = PromisePolicy(name="wide", quantile=0.9, earliest_quantile=0.1, buffer_minutes=3)
    promise = policy.promise([20.0, 22.0, 27.0, 31.0, 36.0, 44.0, 52.0])
    assert (promise.minutes, promise.earliest_minutes, promise.policy) == (50, 20, "wide")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"quantile": 0.99}, "quantile"),
        ({"quantile": float("nan")}, "quantile"),
        ({"earliest_quantile": 0.01}, "earliest_quantile"),
        ({"earliest_quantile": 0.8}, "earliest_quantile"),
        ({"buffer_minutes": float("nan")}, "buffer_minutes"),
        ({"buffer_minutes": float("inf")}, "buffer_minutes"),
        ({"round_to_minutes": 0}, "round_to_minutes"),
        ({"floor_minutes": -1}, "floor_minutes"),
        ({"floor_minutes": 90, "ceiling_minutes": 60}, "floor_minutes"),
    ],
)
def test_a_policy_that_cannot_be_kept_is_refused(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        PromisePolicy(**changes)
    assert [problem.field for problem in caught.value.problems] == [field]


@pytest.mark.parametrize("quantiles", [[], [30.0] * 6, [30.0] * 6 + [float("nan")]])
def test_nothing_is_promised_on_no_forecast(quantiles: list[float]) -> None:
    with pytest.raises(InvalidInput, match="quantiles_minutes"):
        PromisePolicy().promise(quantiles)
