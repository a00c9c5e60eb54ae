"""Fitted trees as plain tables: what LightGBM and scikit-learn decide, told in one way.

A row that reaches node `i` goes to `left[i]` when its value of `features[i]` is at most
`splits[i]` (or is a member of `members[i]`), else to `right[i]`; a missing value goes left where
`missing_left[i]`. A child below zero is the leaf `~child`. Node 0 is the root; a tree without
nodes is its only leaf.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from foodex.core.errors import FieldProblem, InvalidInput

if TYPE_CHECKING:
    from lightgbm import Booster
    from sklearn.ensemble import RandomForestRegressor

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

ZERO: Final = float(np.float32(1e-35))
"""LightGBM reads every value within this of zero as zero (its `kZeroThreshold`)."""
_BELOW_ZERO: Final = float(np.nextafter(-ZERO, -np.inf))
_CATEGORICAL, _DEFAULT_LEFT, _MISSING_SHIFT = 1, 2, 2
_MISSING_ZERO = 1
_IDENTITY_OBJECTIVES: Final = frozenset(
    {"regression", "regression_l1", "quantile", "huber", "fair", "mape", "custom", "none"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """One tree; `members` holds the categories that go left, for nodes that ask for membership."""

    features: Integers
    splits: Floats
    missing_left: npt.NDArray[np.bool_]
    left: Integers
    right: Integers
    leaves: Floats
    members: dict[int, tuple[int, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ensemble:
    """Trees added in their order, then divided by `divisor`, over `width` features.

    A value within `ZERO` of zero is missing in the features of `zero_missing`.
    """

    trees: tuple[Tree, ...]
    width: int
    divisor: int = 1
    zero_missing: tuple[int, ...] = ()


def lightgbm_ensemble(booster: "Booster") -> Ensemble:
    """The trees of a LightGBM regression model, up to its best iteration.

    Raises InvalidInput for what a sum of constant leaves cannot say: linear trees, several
    classes, and objectives whose answer is a function of the sum (poisson, gamma, tweedie...).
    """
    head, *blocks = booster.model_to_string().split("\nTree=")
    about = dict(_pairs(head))
    objective = about.get("objective", "none").split()
    if about.get("num_tree_per_iteration", "1") != "1":
        raise _refusal("num_class", "has several trees a round; one forecast a model is needed")
    if objective[0] not in _IDENTITY_OBJECTIVES or "sqrt" in objective[1:]:
        raise _refusal("objective", f"'{' '.join(objective)}' is not the plain sum of its trees")
    trees = tuple(_lightgbm_tree(block) for block in blocks)
    width = int(about["max_feature_idx"]) + 1
    return Ensemble(
        trees=trees,
        width=width,
        zero_missing=tuple(np.flatnonzero(_zero_missing(blocks, width)).tolist()),
        divisor=len(trees) if "average_output" in head.splitlines() else 1,
    )


def forest_ensemble(forest: "RandomForestRegressor") -> Ensemble:
    """The trees of a fitted scikit-learn forest of one output.

    scikit-learn rounds its rows to float32 and compares them with float64 thresholds. Here each
    threshold becomes the largest float64 that rounds to a float32 not above it, so that rows
    need no rounding and every one still goes the same way.
    """
    if forest.n_outputs_ != 1:
        raise _refusal("n_outputs", "is not 1; export one forest for each output")
    trees = []
    for estimator in forest.estimators_:
        fitted = estimator.tree_
        nodes = fitted.__getstate__()["nodes"]
        inner = np.flatnonzero(nodes["left_child"] >= 0)
        place = np.empty(len(nodes), dtype=np.int64)
        place[inner] = np.arange(len(inner))
        leaf = np.flatnonzero(nodes["left_child"] < 0)
        place[leaf] = ~np.arange(len(leaf))
        trees.append(
            Tree(
                features=nodes["feature"][inner].astype(np.int64),
                splits=_before_rounding(nodes["threshold"][inner]),
                missing_left=nodes["missing_go_to_left"][inner].astype(bool),
                left=place[nodes["left_child"][inner]],
                right=place[nodes["right_child"][inner]],
                leaves=fitted.value[leaf, 0, 0].astype(np.float64),
            )
        )
    return Ensemble(trees=tuple(trees), width=forest.n_features_in_, divisor=len(trees))


def _before_rounding(thresholds: Floats) -> Floats:
    """The largest float64 whose nearest float32 (ties to even) is not above each threshold."""
    below = thresholds.astype(np.float32)
    below = np.where(below > thresholds, np.nextafter(below, np.float32(-np.inf)), below)
    middle = (below.astype(np.float64) + np.nextafter(below, np.float32(np.inf))) / 2
    down = middle.astype(np.float32) <= below
    return np.where(down, middle, np.nextafter(middle, -np.inf))


def _lightgbm_tree(block: str) -> Tree:
    text = dict(_pairs(block))
    if text.get("is_linear", "0") != "0":
        raise _refusal("linear_tree", "is on; leaves that are linear models are not supported")
    leaves = _floats(text["leaf_value"])
    if int(text["num_leaves"]) == 1:
        nothing = np.empty(0, dtype=np.int64)
        return Tree(
            features=nothing,
            splits=nothing.astype(np.float64),
            missing_left=nothing.astype(bool),
            left=nothing,
            right=nothing,
            leaves=leaves,
        )
    decisions = _integers(text["decision_type"])
    thresholds = _floats(text["threshold"])
    categorical = (decisions & _CATEGORICAL) != 0
    default_left = (decisions & _DEFAULT_LEFT) != 0
    missing = decisions >> _MISSING_SHIFT
    splits = np.where((thresholds >= 0) & (thresholds < ZERO), ZERO, thresholds)
    splits = np.where((splits < 0) & (splits >= -ZERO), _BELOW_ZERO, splits)
    # Where NaN has no branch of its own, LightGBM reads it as zero.
    missing_left = np.where(missing == 0, splits >= 0, default_left) & ~categorical
    return Tree(
        features=_integers(text["split_feature"]),
        splits=splits,
        missing_left=missing_left,
        left=_integers(text["left_child"]),
        right=_integers(text["right_child"]),
        leaves=leaves,
        members=_members(text, thresholds, categorical),
    )


def _zero_missing(blocks: list[str], width: int) -> npt.NDArray[np.bool_]:
    """Which features have their zeros read as missing; the same for every split of a feature."""
    kinds = np.zeros((width, 4), dtype=bool)
    for block in blocks:
        text = dict(_pairs(block))
        decisions = _integers(text.get("decision_type", ""))
        numeric = (decisions & _CATEGORICAL) == 0
        features = _integers(text.get("split_feature", ""))
        kinds[features[numeric], decisions[numeric] >> _MISSING_SHIFT] = True
    zero = kinds[:, _MISSING_ZERO]
    if (zero & (kinds.sum(axis=1) > 1)).any():
        raise _refusal("zero_as_missing", "differs between splits of one feature")
    return zero


def _members(
    text: dict[str, str], thresholds: Floats, categorical: npt.NDArray[np.bool_]
) -> dict[int, tuple[int, ...]]:
    if not categorical.any():
        return {}
    words = [int(word) for word in text["cat_threshold"].split()]
    bounds = [int(bound) for bound in text["cat_boundaries"].split()]
    found = {}
    for node in np.flatnonzero(categorical):
        group = int(thresholds[node])
        bits = struct.pack(
            f"<{bounds[group + 1] - bounds[group]}I", *words[slice(*bounds[group : group + 2])]
        )
        flags = np.unpackbits(np.frombuffer(bits, dtype=np.uint8), bitorder="little")
        found[int(node)] = tuple(np.flatnonzero(flags).tolist())
    return found


def _pairs(block: str) -> Iterator[tuple[str, str]]:
    for line in block.splitlines():
        if not line:
            continue
        name, _, value = line.partition("=")
        yield name, value
        if name == "shrinkage" or name == "tree_sizes":
            return


def _floats(text: str) -> Floats:
    return np.array(text.split(), dtype=np.float64)


def _integers(text: str) -> Integers:
    return np.array(text.split(), dtype=np.int64)


def _refusal(name: str, why: str) -> InvalidInput:
    return InvalidInput("The model cannot be exported", problems=[FieldProblem(name, why)])
