"""The algorithms a model can be made with. For training processes only.

Each learns a place (a robust middle of the minutes) and a scale (the usual absolute miss);
`calibration` tells how they become quantiles.
"""

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any, Final

import lightgbm
import numpy as np
from sklearn.ensemble import RandomForestRegressor
from threadpoolctl import threadpool_limits

from foodex.core.errors import FieldProblem, InvalidInput
from foodex.eta.columns import Floats
from foodex.eta.export import export_forest, export_linear, export_trees, to_bytes
from foodex.eta.fitting import Fitted, Progress, Rows, Work
from foodex.eta.linear import ROUNDS, BentRule, LinearRule
from foodex.eta.links import Link, Shape

BOOSTING: Final[Mapping[str, Any]] = {
    "objective": "huber",
    "alpha": 2.0,
    "num_iterations": 500,
    "num_leaves": 15,
    "learning_rate": 0.05,
    "min_data_in_leaf": 20,
    "feature_fraction": 0.8,
    "bagging_fraction": 0.9,
    "bagging_freq": 1,
    "lambda_l2": 5.0,
}
"""LightGBM's parameters for the place; chosen by folds in time (see the decision record).
`num_iterations` is the most there may be."""
PATIENCE: Final = 40
"""Boosting stops when the held-out orders have gained nothing for so many trees."""
LEAVES: Final = ((150_000, 63), (50_000, 31))
"""Orders from which a tree has more leaves than `BOOSTING` says: enough of them fill more."""
MANY: Final = 50_000
"""Orders from which chance moves the held-out miss so little that short patience is enough."""
MANY_PATIENCE: Final = 10
MANY_ROUNDS: Final = 8
"""Rounds of the rule then; what it has not settled is the trees' to learn, and they have plenty."""

SCALE: Final[Mapping[str, Any]] = {
    "objective": "l2",
    "num_iterations": 60,
    "num_leaves": 7,
}
"""What differs for the scale."""

RULE_SHARE: Final = 0.5
"""Share of the bent rule that the trees start from. The rule goes on straight where trees stop,
the trees learn what the rule has wrong; half of it was better than none and than all."""
RULE_ROWS: Final = 20_000
WORTH_BENDING: Final = 0.99
"""The logarithm is chosen only where it brings the rule's miss below this share."""
BENDING: Final = frozenset({"distance", "time", "basket", "extras", "own estimate", "traffic"})
"""Factors whose columns may bend; history and weather stay straight, lest chance be learned."""
FEWEST_WEEKS: Final = 2
"""Weeks from which each weekday has hours of its own. One that was seen for half a day would have
its other hours made up: forecasts off by an hour were seen."""
_STRAIGHT: Final = frozenset({"north_km", "east_km"})

_FIXED: Final = {"verbose": -1, "deterministic": True, "force_row_wise": True}
_PLAIN: Final = Link()
_PLACE_SHARE: Final = 0.8
_FOREST: Final[Mapping[str, Any]] = {
    "n_estimators": 60,
    "min_samples_leaf": 20,
    "max_features": 0.4,
    "max_samples": 0.5,
}
_FOREST_ROWS: Final = 200_000


def boosting(orders: int) -> dict[str, Any]:
    """LightGBM's parameters for the place of a history of so many orders."""
    leaves = next((leaves for least, leaves in LEAVES if orders >= least), None)
    return {**BOOSTING, **({} if leaves is None else {"num_leaves": leaves})}


def fit(algorithm: str, work: Work, progress: Progress) -> Fitted:
    """Fit the rows `work.fit`.

    Raises:
        InvalidInput: parameters the algorithm does not take.
    """
    return _FITS[algorithm](work, progress)


@dataclass(frozen=True)
class _Boosted:
    work: Work
    place: lightgbm.Booster
    scale: lightgbm.Booster
    offset: BentRule | None
    link: Link

    @property
    def trees(self) -> int:
        return int(self.place.num_trees() + self.scale.num_trees())

    def predict(self, rows: Floats) -> Floats:
        threads = self.work.threads
        parts = [b.predict(rows, num_threads=threads) for b in (self.place, self.scale)]
        return np.column_stack(parts)

    def importance(self) -> Floats:
        return np.asarray(self.place.feature_importance("gain"), dtype=np.float64)

    def refit(self, progress: Progress) -> Fitted:
        work = replace(self.work, fit=np.arange(len(self.work.minutes)))
        rule = _rule(work, self.link)
        return _boost_on(work, self.link, rule, progress, rounds=self.place.current_iteration())

    def to_onnx(self) -> bytes:
        return to_bytes(export_trees([self.place, self.scale]))


def _boost(work: Work, progress: Progress) -> Fitted:
    link, rule = _choose_link(work)
    return _boost_on(work, link, rule, progress)


def _choose_link(work: Work) -> tuple[Link, BentRule]:
    """The scale on which the bent rule misses the held-out orders by less, and its rule."""
    tail = work.tail[:: max(1, len(work.tail) // RULE_ROWS)]
    found = []
    for shape in Shape:
        rule = _rule(work, Link(shape))
        wrong = work.minutes[tail] - Link(shape).inverse(rule.predict(work.rows[tail]))
        found.append((float(np.abs(wrong).mean()), Link(shape), rule))
    plain, bent = found
    _, link, rule = bent if bent[0] < plain[0] * WORTH_BENDING else plain
    chosen = work.fit[:: max(1, len(work.fit) // RULE_ROWS)]
    left = link.forward(work.minutes[chosen]) - rule.predict(work.rows[chosen])
    unit = max(float(np.median(np.abs(left))), 1e-3)
    return Link(link.shape, unit), rule.times(1.0 / unit)


def _rule(work: Work, link: Link) -> BentRule:
    chosen = work.fit[:: max(1, len(work.fit) // RULE_ROWS)]
    bending = [
        index
        for index, (name, factor) in enumerate(zip(work.names, work.factors, strict=True))
        if factor in BENDING and name not in _STRAIGHT and "sine" not in name
    ]
    places = {name: index for index, name in enumerate(work.names)}
    crossed = [places.get(name, -1) for name in ("hour_of_day", "day_of_week", "distance_km")]
    if work.weeks < FEWEST_WEEKS:
        crossed[1] = -1
    # Fitted in units of a usual miss, for which the rule's own constants are made.
    unit = float(np.std(link.forward(work.minutes[chosen]))) / 10.0 or 1.0
    values = link.forward(work.minutes[chosen]) / unit
    rows, many = work.rows[chosen], len(work.minutes) >= MANY
    # Products so small gain nothing by threads, which wait for each other once a core is shared.
    with threadpool_limits(1, user_api="blas") if many else nullcontext():
        rule = BentRule.fit(
            rows,
            values,
            bending=bending,
            crossed=crossed,
            rounds=MANY_ROUNDS if many else ROUNDS,
        )
    return rule.times(unit)


def _boost_on(
    work: Work, link: Link, rule: BentRule, progress: Progress, rounds: int | None = None
) -> Fitted:
    """Boost the fit rows: `rounds` times, or as long as the held-out rows gain by it."""
    parameters = {
        **boosting(len(work.minutes)),
        **_FIXED,
        "seed": work.seed,
        "num_threads": work.threads,
        **work.parameters,
    }
    offset = rule.times(RULE_SHARE)
    rows = _taken(work.rows, work.fit)
    values = link.forward(work.minutes[work.fit]) - offset.predict(rows)
    data = lightgbm.Dataset(rows, values, params=parameters, free_raw_data=False)
    judge = None
    if rounds is None:
        some = work.tail[:: max(1, len(work.tail) // RULE_ROWS)]
        judged = link.forward(work.minutes[some]) - offset.predict(work.rows[some])
        judge = lightgbm.Dataset(work.rows[some], judged, reference=data)
    else:
        parameters["num_iterations"] = rounds
    patience = MANY_PATIENCE if len(work.minutes) >= MANY else PATIENCE
    place = _train(
        parameters, data, lambda s: progress(s * _PLACE_SHARE, "boosting"), judge, patience
    )
    misses = np.abs(values - place.predict(rows, num_threads=work.threads))
    # The same binned matrix serves both, which saves a pass over it.
    data.set_label(misses)
    # LightGBM refuses other binning parameters than the matrix was made with.
    spread = {**parameters, **SCALE, "min_data_in_leaf": parameters["min_data_in_leaf"]}
    scale = _train(
        spread,
        data,
        lambda s: progress(_PLACE_SHARE + s * (1 - _PLACE_SHARE), "boosting the spread"),
    )
    return _Boosted(work, place, scale, offset, link)


def _taken(rows: Floats, chosen: Rows) -> Floats:
    """The chosen rows, not copied where they are the first ones, as they are in order of time."""
    if len(chosen) and chosen[0] == 0 and chosen[-1] == len(chosen) - 1:
        return rows[: len(chosen)]
    return rows[chosen]


def _train(
    parameters: dict[str, Any],
    data: lightgbm.Dataset,
    tell: Callable[[float], None],
    judge: lightgbm.Dataset | None = None,
    patience: int = PATIENCE,
) -> lightgbm.Booster:
    rounds = int(parameters["num_iterations"])

    def moved(env: lightgbm.callback.CallbackEnv) -> None:
        tell((env.iteration + 1) / rounds)

    try:
        if judge is None:
            return lightgbm.train(parameters, data, rounds, callbacks=[moved])
        stop = lightgbm.early_stopping(patience, verbose=False)
        found = lightgbm.train(
            {**parameters, "metric": "l1"}, data, rounds, [judge], callbacks=[moved, stop]
        )
        # Trees after the best are cut off, so that the graph has what was judged.
        return lightgbm.Booster(model_str=found.model_to_string(num_iteration=found.best_iteration))
    except lightgbm.basic.LightGBMError as error:
        raise _refusal(error) from error


def _refusal(error: Exception) -> InvalidInput:
    problem = FieldProblem("parameters", str(error))
    return InvalidInput("The algorithm does not take these parameters", problems=[problem])


@dataclass(frozen=True)
class _Forest:
    work: Work
    place: RandomForestRegressor
    scale: RandomForestRegressor
    offset: BentRule | None = None
    link: Link = _PLAIN

    @property
    def trees(self) -> int:
        return len(self.place.estimators_) + len(self.scale.estimators_)

    def predict(self, rows: Floats) -> Floats:
        return np.column_stack([self.place.predict(rows), self.scale.predict(rows)])

    def importance(self) -> Floats:
        return np.asarray(self.place.feature_importances_, dtype=np.float64)

    def refit(self, progress: Progress) -> Fitted:
        return _grow(replace(self.work, fit=np.arange(len(self.work.minutes))), progress)

    def to_onnx(self) -> bytes:
        return to_bytes(export_forest(self.place, self.scale))


def _grow(work: Work, progress: Progress) -> Fitted:
    chosen = work.fit[-_FOREST_ROWS:]
    rows, minutes = work.rows[chosen], work.minutes[chosen]
    try:
        place = RandomForestRegressor(
            **{**_FOREST, "n_jobs": work.threads, "random_state": work.seed, **work.parameters},
            oob_score=True,
        )
        progress(0.0, "growing trees")
        place.fit(rows, minutes)
    except (TypeError, ValueError) as error:
        raise _refusal(error) from error
    progress(0.7, "growing trees of the spread")
    # Out-of-bag misses: what a forest misses by on rows it has seen says little.
    misses = np.abs(minutes - place.oob_prediction_)
    seen = np.isfinite(misses) & (place.oob_prediction_ != 0)
    scale = RandomForestRegressor(
        n_estimators=20,
        max_depth=6,
        min_samples_leaf=50,
        max_features=0.4,
        n_jobs=work.threads,
        random_state=work.seed,
    ).fit(rows[seen], misses[seen])
    for forest in (place, scale):
        forest.n_jobs = 1
    progress(1.0, "growing trees")
    return _Forest(work, place, scale)


@dataclass(frozen=True)
class _Linear:
    work: Work
    place: LinearRule
    scale: LinearRule
    offset: BentRule | None = None
    link: Link = _PLAIN
    trees: int = 0

    def predict(self, rows: Floats) -> Floats:
        return np.column_stack([self.place.predict(rows), self.scale.predict(rows)])

    def importance(self) -> Floats:
        spread = np.nan_to_num(
            np.nanstd(self.work.rows[:: max(1, len(self.work.rows) // 20_000)], axis=0)
        )
        return np.asarray(np.abs(self.place.coefficients) * spread)

    def refit(self, progress: Progress) -> Fitted:
        return _regress(replace(self.work, fit=np.arange(len(self.work.minutes))), progress)

    def to_onnx(self) -> bytes:
        rules = (self.place, self.scale)
        return to_bytes(
            export_linear(
                np.array([rule.coefficients for rule in rules]),
                np.array([rule.intercept for rule in rules]),
                self.place.fill,
            )
        )


_LINEAR_ROWS: Final = 200_000


def _regress(work: Work, progress: Progress) -> Fitted:
    if work.parameters:
        raise _refusal(ValueError(f"none is known, but {sorted(work.parameters)} given"))
    chosen = work.fit[:: max(1, len(work.fit) // _LINEAR_ROWS)]
    rows, minutes = work.rows[chosen], work.minutes[chosen]
    progress(0.0, "regressing")
    place = LinearRule.fit(rows, minutes)
    progress(0.5, "regressing the spread")
    scale = LinearRule.fit(rows, np.abs(minutes - place.predict(rows)))
    progress(1.0, "regressing")
    return _Linear(work, place, scale)


_FITS: Final[Mapping[str, Callable[[Work, Progress], Fitted]]] = {
    "gradient_boosting": _boost,
    "random_forest": _grow,
    "linear_regression": _regress,
}
