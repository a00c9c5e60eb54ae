"""Promises in bulk are those of the policy, one by one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foodex.core.errors import InvalidInput
from foodex.domain.forecasts import QUANTILES
from foodex.domain.promises import PromisePolicy
from foodex.eta.promising import promises_of

POLICIES = (
    PromisePolicy(),
    PromisePolicy(quantile=0.6, earliest_quantile=0.07, buffer_minutes=2.5, round_to_minutes=7),
    PromisePolicy(quantile=0.95, earliest_quantile=0.05, floor_minutes=0, ceiling_minutes=37),
)


@given(
    rows=st.lists(st.lists(st.floats(0, 200), min_size=7, max_size=7).map(sorted), max_size=9),
    policy=st.sampled_from(POLICIES),
)
def test_many_are_as_one(rows: list[list[float]], policy: PromisePolicy) -> None:
    minutes, earliest = promises_of(policy, np.array(rows).reshape(-1, len(QUANTILES)))
    promises = [policy.promise(row) for row in rows]
    assert minutes.tolist() == [promise.minutes for promise in promises]
    assert earliest.tolist() == [promise.earliest_minutes for promise in promises]


@pytest.mark.parametrize("quantiles", [np.zeros((2, 6)), np.zeros(7), np.full((1, 7), np.nan)])
def test_what_is_no_forecast_is_refused(quantiles: np.ndarray) -> None:
    with pytest.raises(InvalidInput, match="quantiles_minutes"):
        promises_of(PromisePolicy(), quantiles)
