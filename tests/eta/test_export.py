"""Exported models answer as the trained ones, to the last bit where that is promised."""

import re
from collections.abc import Callable
from typing import Any

import lightgbm as lgb
import numpy as np
import numpy.typing as npt
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.ensemble import RandomForestRegressor

from foodex.core.errors import InvalidInput
from foodex.eta.export import export_forest, export_linear, export_trees, side_by_side, to_bytes
from foodex.eta.runtime import OnnxPredictor
from foodex.eta.trees import ZERO, lightgbm_ensemble

Floats = npt.NDArray[np.float64]
SIZES = (0, 1, 2, 7, 64, 129, 10_000)


def rows_of(n: int, seed: int = 0, missing: float = 0.1) -> Floats:
    """Numbers, zeros, tiny and huge values, a column of whole codes, and holes."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n, 6))
    rows[:, 1] = np.round(rows[:, 1])
    rows[:, 2] *= rng.choice([1e-36, 1e-34, 1.0, 1e30], size=n)
    rows[:, 3] = rng.integers(0, 70, size=n)
    rows[:, 4] = np.where(rng.random(n) < 0.5, 0.0, rows[:, 4])
    rows[rng.random(rows.shape) < missing] = np.nan
    return rows


def minutes_of(rows: Floats, seed: int = 1) -> Floats:
    rng = np.random.default_rng(seed)
    known = np.nan_to_num(rows)
    noise = rng.gamma(2.0, 3.0, size=len(rows))
    return 20 + 3 * known[:, 0] + known[:, 3] % 7 + 2 * (known[:, 4] > 0) + noise


def boosted(
    rows: Floats | None = None, rounds: int = 100, codes: tuple[int, ...] = (), **parameters: Any
) -> lgb.Booster:
    rows = rows_of(2000) if rows is None else rows
    data = lgb.Dataset(rows, minutes_of(rows), categorical_feature=list(codes))
    chosen = {"objective": "regression_l1", "verbose": -1, "num_threads": 1, "min_data_in_leaf": 5}
    return lgb.train(chosen | parameters, data, rounds)


def predictor(model: onnx.ModelProto, threads: int = 1) -> OnnxPredictor:
    return OnnxPredictor(to_bytes(model), threads)


def expected(boosters: list[lgb.Booster], rows: Floats) -> Floats:
    if not len(rows):
        return np.empty((0, len(boosters)))
    columns = [booster.predict(rows, num_threads=1) for booster in boosters]
    return np.stack(columns, axis=1)


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"use_missing": False},
        {"zero_as_missing": True},
        {"objective": "quantile", "alpha": 0.9},
        {"objective": "regression"},
        {"objective": "huber"},
        {"boosting": "dart", "drop_rate": 0.3},
        {"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5},
        {"codes": (3,)},
        {"codes": (1, 3), "cat_smooth": 1.0, "min_data_per_group": 2},
        {"num_leaves": 255, "min_data_in_leaf": 1},
        {"extra_trees": True, "zero_as_missing": True, "num_leaves": 255, "min_data_in_leaf": 1},
    ],
    ids=str,
)
def test_boosted_trees_are_equal_to_the_last_bit(parameters: dict[str, Any]) -> None:
    booster = boosted(**parameters)
    exported = predictor(export_trees([booster]))
    for size in SIZES:
        rows = rows_of(size, seed=size + 5)
        assert np.array_equal(exported.predict(rows), expected([booster], rows)), size


def test_values_at_and_beside_every_threshold_go_the_same_way() -> None:
    for parameters in ({}, {"zero_as_missing": True}, {"use_missing": False}):
        booster = boosted(rounds=20, **parameters)
        (ensemble,) = [lightgbm_ensemble(booster)]
        splits = np.unique(np.concatenate([tree.splits for tree in ensemble.trees]))
        values = np.concatenate(
            [splits, np.nextafter(splits, np.inf), np.nextafter(splits, -np.inf)]
        )
        special = [0.0, -0.0, ZERO, -ZERO, 2 * ZERO, -2 * ZERO, np.inf, -np.inf, np.nan, 5e-324]
        values = np.concatenate([values, special])
        rows = np.concatenate([np.where(np.arange(6) == at, values[:, None], 0) for at in range(6)])
        exported = predictor(export_trees([booster]))
        assert np.array_equal(exported.predict(rows), expected([booster], rows))


@pytest.mark.parametrize("threshold", ["0", "3e-36", "-3e-36", "1e-35", "-1e-35"])
@pytest.mark.parametrize("decision", ["0", "2", "4", "6", "8", "10"])
def test_thresholds_within_what_counts_as_zero(threshold: str, decision: str) -> None:
    text = boosted(rounds=1, num_leaves=2).model_to_string()
    text = re.sub("(?m)^threshold=.*", f"threshold={threshold}", text)
    text = re.sub("(?m)^decision_type=.*", f"decision_type={decision}", text)
    booster = lgb.Booster(model_str=re.sub("(?m)^tree_sizes=.*\n", "", text))
    values = [0.0, -0.0, 2e-36, -2e-36, 4e-36, -4e-36, ZERO, -ZERO, 1e-34, -1e-34, 1, -1, np.nan]
    rows = np.tile(np.array(values)[:, None], 6)
    want = expected([booster], rows)
    assert len(np.unique(want)) == 2
    assert np.array_equal(predictor(export_trees([booster])).predict(rows), want)


@pytest.mark.parametrize("threads", [1, 2])
def test_several_targets_are_exact_in_batches_of_every_size(threads: int) -> None:
    boosters = [boosted(objective="quantile", alpha=level) for level in (0.05, 0.5, 0.95)]
    exported = predictor(export_trees(boosters), threads)
    for size in SIZES:
        rows = rows_of(size, seed=size)
        assert np.array_equal(exported.predict(rows), expected(boosters, rows)), size


def test_a_missing_category_is_a_member_of_nothing() -> None:
    trees = lightgbm_ensemble(boosted(rounds=10, codes=(1, 3), min_data_per_group=2)).trees
    asked = [tree.missing_left[node] for tree in trees for node in tree.members]
    assert asked
    assert not any(asked)


def test_trees_of_one_leaf() -> None:
    rows = rows_of(300)
    data = lgb.Dataset(rows, np.full(300, 31.7))
    constant = lgb.train({"objective": "regression", "verbose": -1}, data, 5)
    mixed = boosted(rounds=5)
    exported = predictor(export_trees([constant, mixed]))
    assert np.array_equal(exported.predict(rows), expected([constant, mixed], rows))


def test_only_the_best_rounds_are_exported() -> None:
    booster, rows = boosted(rounds=20), rows_of(500)
    booster.best_iteration = 7
    exported = predictor(export_trees([booster]))
    assert np.array_equal(exported.predict(rows), expected([booster], rows))


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 10**6),
    leaves=st.integers(2, 40),
    flags=st.tuples(st.booleans(), st.booleans(), st.booleans()),
)
def test_any_boosted_model_is_exact(seed: int, leaves: int, flags: tuple[bool, bool, bool]) -> None:
    use_missing, zero_as_missing, categorical = flags
    booster = boosted(
        rows_of(400, seed),
        rounds=8,
        codes=(3,) if categorical else (),
        num_leaves=leaves,
        use_missing=use_missing,
        zero_as_missing=zero_as_missing,
        seed=seed,
        extra_trees=True,
    )
    rows = rows_of(200, seed + 1, missing=0.3)
    assert np.array_equal(
        predictor(export_trees([booster])).predict(rows), expected([booster], rows)
    )


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({"objective": "poisson"}, "objective"),
        ({"objective": "regression", "reg_sqrt": True}, "objective"),
        ({"objective": "regression", "linear_tree": True}, "linear_tree"),
    ],
)
def test_what_is_no_sum_of_constant_leaves_is_refused(
    parameters: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        export_trees([boosted(np.nan_to_num(rows_of(400)), rounds=3, **parameters)])
    assert [problem.field for problem in caught.value.problems] == [field]


def test_several_classes_are_refused() -> None:
    rows = rows_of(300)
    data = lgb.Dataset(rows, np.arange(300) % 3)
    booster = lgb.train({"objective": "multiclass", "num_class": 3, "verbose": -1}, data, 3)
    with pytest.raises(InvalidInput, match="num_class"):
        export_trees([booster])


def test_models_of_other_features_are_not_put_together() -> None:
    with pytest.raises(InvalidInput, match="features"):
        export_trees([boosted(rounds=2), boosted(rows_of(500)[:, :5], rounds=2)])
    with pytest.raises(InvalidInput, match="features"):
        export_trees([])


@pytest.mark.parametrize("missing", [0.0, 0.2])
def test_forests_are_equal_to_the_last_bit(missing: float) -> None:
    rows = rows_of(1500, missing=missing)
    forest = RandomForestRegressor(30, min_samples_leaf=2, n_jobs=1, random_state=0)
    forest.fit(rows, minutes_of(rows))
    exported = predictor(export_forest(forest))
    for size in SIZES[1:]:
        asked = rows_of(size, seed=size + 3, missing=missing)
        assert np.array_equal(exported.predict(asked)[:, 0], forest.predict(asked)), size


def test_a_forest_rounds_its_rows_to_single_precision_at_every_threshold() -> None:
    rows = rows_of(800)
    forest = RandomForestRegressor(5, n_jobs=1, random_state=0).fit(rows, minutes_of(rows))
    exported = predictor(export_forest(forest))
    thresholds = np.unique(np.concatenate([tree.tree_.threshold for tree in forest.estimators_]))
    single = thresholds.astype(np.float32)
    near = [thresholds, single.astype(float)]
    for direction in (np.inf, -np.inf):
        beside = np.nextafter(single, np.float32(direction)).astype(float)
        middle = (single.astype(float) + beside) / 2
        near += [beside, middle, np.nextafter(middle, np.inf), np.nextafter(middle, -np.inf)]
    values = np.concatenate(near)
    values = values[np.abs(values) < np.finfo(np.float32).max]
    asked = np.concatenate([np.where(np.arange(6) == at, values[:, None], 0.5) for at in range(6)])
    assert np.array_equal(exported.predict(asked)[:, 0], forest.predict(asked))


def test_forests_side_by_side_and_of_one_output_only() -> None:
    rows = rows_of(300)
    forests = [
        RandomForestRegressor(count, n_jobs=1, random_state=0).fit(rows, minutes_of(rows))
        for count in (1, 3)
    ]
    got = predictor(export_forest(*forests)).predict(rows)
    assert np.array_equal(got, np.stack([forest.predict(rows) for forest in forests], axis=1))
    twice = np.stack([minutes_of(rows)] * 2, axis=1)
    with pytest.raises(InvalidInput, match="n_outputs"):
        export_forest(RandomForestRegressor(2).fit(rows, twice))


def test_a_linear_model_fills_what_is_missing() -> None:
    rng = np.random.default_rng(3)
    weights, offsets = rng.normal(size=(3, 6)), rng.normal(size=3)
    fill, means, scales = rng.normal(size=6), rng.normal(size=6), rng.uniform(0.5, 2, size=6)
    rows = rng.normal(size=(50, 6))
    rows[rng.random(rows.shape) < 0.3] = np.nan
    filled = np.where(np.isnan(rows), fill, rows)
    plain = predictor(export_linear(weights, offsets, fill)).predict(rows)
    assert plain == pytest.approx(filled @ weights.T + offsets, rel=1e-12)
    scaled = predictor(export_linear(weights, offsets, fill, means, scales)).predict(rows)
    assert scaled == pytest.approx((filled - means) / scales @ weights.T + offsets, abs=1e-12)


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        (([[1, 2]], [0], [0, 0, 0]), "fill_values"),
        (([[1, 2]], [0, 1], [0, 0]), "intercepts"),
        (([[1, np.nan]], [0], [0, 0]), "coefficients"),
        (([[1, 2]], [np.inf], [0, 0]), "intercepts"),
        (([[1, 2]], [0], [0, 0], [0, 0], [1]), "scales"),
    ],
)
def test_linear_models_that_do_not_fit_are_refused(arguments: Any, field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        export_linear(*arguments)
    assert [problem.field for problem in caught.value.problems] == [field]


def test_a_linear_model_may_not_divide_by_nothing() -> None:
    with pytest.raises(InvalidInput, match="scales"):
        export_linear([[1, 2]], [0], [0, 0], scales=[1, 0])


def test_graphs_side_by_side_keep_their_columns() -> None:
    rows = rows_of(100)
    booster = boosted(rounds=10)
    parts = [
        export_trees([booster]),
        export_linear(np.ones((2, 6)), [0, 1], np.zeros(6)),
        export_trees([booster, booster]),
    ]
    got = predictor(side_by_side(parts)).predict(rows)
    assert np.array_equal(got, np.hstack([predictor(part).predict(rows) for part in parts]))
    with pytest.raises(InvalidInput, match="features"):
        side_by_side([parts[0], export_linear(np.ones((1, 2)), [0], np.zeros(2))])


def test_the_same_model_gives_the_same_bytes() -> None:
    booster = boosted(rounds=10, codes=(3,))
    forest = RandomForestRegressor(3, random_state=0).fit(rows_of(200), minutes_of(rows_of(200)))
    makers: tuple[Callable[[], onnx.ModelProto], ...] = (
        lambda: export_trees([booster, booster]),
        lambda: export_forest(forest),
        lambda: export_linear(np.ones((2, 6)), [0, 1], np.zeros(6)),
    )
    for make in makers:
        assert to_bytes(make()) == to_bytes(make())
