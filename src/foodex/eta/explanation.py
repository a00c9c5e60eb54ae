"""What each factor added to a forecast, in minutes: Shapley values of groups of features.

A factor's minutes are its mean effect over all orders in which the factors could have changed from
a typical order's values to this order's (L. S. Shapley, "A Value for n-Person Games", 1953; with
the absent players taken from one reference row, as in M. Sundararajan and A. Najmi, "The Many
Shapley Values for Model Explanation", 2020). Exact up to `EXACT_FACTORS` factors that differ: every
mix of the two rows is asked for in one batch. Beyond, a fixed sample of orders stands for all.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from math import comb
from typing import Final

import numpy as np
import numpy.typing as npt

from foodex.core.errors import FieldProblem, InvalidInput
from foodex.domain.forecasts import Explanation, Factor

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

EXACT_FACTORS: Final = 10
"""Up to so many differing factors, all 2^k mixes are evaluated: 1,024 rows at most."""
_ORDERS: Final = 128
_SEED: Final = 20


def explain(
    predict: Callable[[Floats], Floats],
    row: Floats,
    reference: Floats,
    groups: Mapping[str, Sequence[int]],
) -> Explanation:
    """Why `predict` says of `row` what it says, measured from `reference`.

    `predict` turns (n, f) rows into (n,) minutes; `row` and `reference` are (f,), NaN is missing;
    `groups` names the columns of each factor, every column in one of them. Factors come largest
    first; those in which the rows do not differ have 0 minutes. `typical_minutes`, the forecast
    of `reference`, plus all minutes is the forecast of `row`, up to rounding. Raises InvalidInput
    when rows and groups do not fit together.
    """
    _check(row, reference, groups)
    differs = (row != reference) & ~(np.isnan(row) & np.isnan(reference))
    differing = {name: np.array(columns) for name, columns in groups.items()}
    names = [name for name, columns in differing.items() if differs[columns].any()]
    owner = np.full(len(row), len(names))
    for number, name in enumerate(names):
        owner[differing[name]] = number
    if len(names) <= EXACT_FACTORS:
        present, weights = _all_mixes(len(names))
    else:
        present, weights = _sampled_mixes(len(names))
    # A last column of False: what does not differ may as well stay the reference's.
    taken = np.pad(present, ((0, 0), (0, 1)))[:, owner]
    minutes = predict(np.where(taken, row, reference))
    added = dict.fromkeys(groups, 0.0) | dict(zip(names, (weights @ minutes).tolist(), strict=True))
    ranked = sorted(added.items(), key=lambda item: -abs(item[1]))
    return Explanation(
        typical_minutes=float(minutes[0]),
        factors=tuple(Factor(name=name, minutes=value) for name, value in ranked),
    )


@lru_cache(maxsize=EXACT_FACTORS + 1)
def _all_mixes(count: int) -> tuple[Flags, Floats]:
    """Which factors each mix has, (2^k, k), and how each mix weighs in each factor, (k, 2^k).

    The first mix has none. Factor i gets, for every mix S without it, the difference it makes
    to S times |S|! (k - |S| - 1)! / k!.
    """
    if count == 0:
        return np.zeros((1, 0), dtype=bool), np.zeros((0, 1))
    present = (np.arange(2**count)[:, None] >> np.arange(count)) & 1 == 1
    size = present.sum(axis=1)
    share = np.array([1 / (count * comb(count - 1, others)) for others in range(count)])
    with_it, without = share[np.maximum(size - 1, 0)], share[np.minimum(size, count - 1)]
    return present, np.where(present.T, with_it, -without)


@lru_cache(maxsize=16)
def _sampled_mixes(count: int) -> tuple[Flags, Floats]:
    """As `_all_mixes`, for a fixed sample of orders, each taken forwards and backwards.

    Every factor enters once in every order, so the minutes still add up to the difference.
    """
    random = np.random.default_rng(_SEED)
    forwards = np.stack([random.permutation(count) for _ in range(_ORDERS // 2)])
    entered = np.argsort(np.concatenate([forwards, forwards[:, ::-1]]), axis=1)
    steps = np.arange(count + 1)
    walks = entered[:, None, :] < steps[None, :, None]
    mixes, place = np.unique(walks.reshape(-1, count), axis=0, return_inverse=True)
    place = place.reshape(len(entered), count + 1)
    weights = np.zeros((count, len(mixes)))
    for order, at in zip(entered, place, strict=True):
        factors = np.arange(count)
        np.add.at(weights, (factors, at[order + 1]), 1 / len(entered))
        np.add.at(weights, (factors, at[order]), -1 / len(entered))
    return mixes, weights


def _check(row: Floats, reference: Floats, groups: Mapping[str, Sequence[int]]) -> None:
    if row.ndim != 1 or row.shape != reference.shape:
        problem = FieldProblem("reference", f"has shape {reference.shape}, the row {row.shape}")
        raise InvalidInput("The rows cannot be compared", problems=[problem])
    columns = sorted(column for group in groups.values() for column in group)
    if columns != list(range(len(row))):
        problem = FieldProblem("groups", f"do not hold each of the {len(row)} columns once")
        raise InvalidInput("The factors do not fit the rows", problems=[problem])
