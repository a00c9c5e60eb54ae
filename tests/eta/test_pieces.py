"""A bent rule worked out answers as its hinges added up do, for one row as for many."""

import numpy as np
import pytest

from foodex.eta import linear
from foodex.eta.linear import BentRule, LinearRule

HOUR, DAY, KM, PLAIN = range(4)


def some_rows(n: int, gaps: float) -> np.ndarray:
    rng = np.random.default_rng(3)
    rows = np.column_stack(
        [
            rng.uniform(0, 24, n),
            rng.integers(0, 7, n).astype(float),
            rng.exponential(3, n),
            rng.normal(0, 1, n),
        ]
    )
    rows[rng.random(rows.shape) < gaps] = np.nan
    return rows


def a_rule(crossed: tuple[int, int, int], gaps: float) -> BentRule:
    rows = some_rows(3000, gaps)
    minutes = np.nan_to_num(10 + 3 * rows[:, KM] + np.sin(rows[:, HOUR]) * (rows[:, DAY] > 4))
    return BentRule.fit(rows, minutes, bending=(HOUR, DAY, KM), crossed=crossed, rounds=3)


CROSSINGS = ((HOUR, DAY, KM), (HOUR, -1, KM), (HOUR, DAY, -1), (-1, -1, -1), (PLAIN, DAY, KM))


@pytest.mark.parametrize("crossed", CROSSINGS, ids=str)
@pytest.mark.parametrize("gaps", [0.0, 0.1])
def test_it_is_the_sum_of_its_hinges(crossed, gaps):
    rule = a_rule(crossed, gaps)
    rows = some_rows(500, 0.2)
    rows[:4, DAY] = (7.0, -1.0, 2.5, np.inf)
    rows[4:8, KM] = (-5.0, 1000.0, np.inf, 0.0)
    basis = rule._basis(rows)
    inner = rule.rule
    terms = np.where(np.isnan(basis), inner.fill, basis) * inner.coefficients
    np.testing.assert_allclose(rule.predict(rows), terms.sum(axis=1) + inner.intercept, rtol=1e-9)


@pytest.mark.parametrize("crossed", CROSSINGS, ids=str)
def test_one_row_is_answered_as_among_few_and_among_many(crossed, monkeypatch):
    rule = a_rule(crossed, 0.1)
    rows = some_rows(400, 0.2)
    rows[0] = (30.0, 9.0, -1.0, 1e300)
    many = rule.predict(rows)
    few = np.concatenate([rule.predict(rows[at : at + 50]) for at in range(0, 400, 50)])
    alone = np.concatenate([rule.predict(rows[at : at + 1]) for at in range(400)])
    assert np.array_equal(many, few)
    assert np.array_equal(many, alone)
    monkeypatch.setattr(linear, "_COLUMNS_FROM", 10**9)
    assert np.array_equal(rule.predict(rows), many)
    assert not len(rule.predict(rows[:0]))


def test_a_linear_rule_answers_rows_and_columns_alike():
    rows = some_rows(300, 0.2)
    rule = LinearRule.fit(rows, np.nan_to_num(rows[:, KM]))
    many = rule.predict(rows)
    assert np.array_equal(many, rule.predict_columns(list(rows.T), 300))
    assert np.array_equal(many, np.concatenate([rule.predict(row[None]) for row in rows]))
