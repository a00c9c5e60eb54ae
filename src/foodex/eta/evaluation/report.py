"""A model judged on orders it was not fitted on, beside what it has to beat."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final, Protocol

import numpy as np
import polars as pl

from foodex.core.errors import FieldProblem, InternalError, InvalidInput
from foodex.domain.forecasts import QUANTILES
from foodex.domain.promises import PolicyChange, PromisePolicy
from foodex.eta.columns import microseconds
from foodex.eta.evaluation.baselines import fit_baselines
from foodex.eta.evaluation.bootstrap import Interval, blocks_of, intervals_of_means
from foodex.eta.evaluation.by_day import Day, days_of
from foodex.eta.evaluation.metrics import Figures, Floats, metrics
from foodex.eta.evaluation.replay import Replay, promised_by_city, replay_of
from foodex.eta.evaluation.rows import Rows, rows_of
from foodex.eta.evaluation.slices import MIN_ROWS, dimensions, slice_metrics
from foodex.eta.evaluation.spread import errors_by_minutes, held_by_level

COLUMNS: Final = tuple(f"q{round(100 * level):02d}" for level in QUANTILES)
"""The columns of a frame of forecasts: q05 to q95."""
_STANDARD: Final = PromisePolicy()
_NO_ZONES: Final[Mapping[str, PromisePolicy]] = MappingProxyType({})


class Forecaster(Protocol):
    """What is evaluated."""

    def forecast_frame(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The quantiles (`COLUMNS`) of each row, in the same order.

        Each order sees only what had been delivered before it was placed.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """How good the forecasts were, overall, beside baselines, by slice, and how surely.

    `intervals` are 95 % intervals of the figures that are means; `baseline_intervals` those of
    each baseline, and of how much smaller the model's mean absolute error is on the same orders
    (`mae_gain_minutes`, above zero where the model is better). `days` are sums by day, from which
    models are told apart; `replay` is what another promise policy would have come to. `held` and
    `errors` are told in `spread`; `own_errors` are those of the company's own estimate.
    """

    figures: Figures
    baselines: Mapping[str, Figures] = field(default_factory=dict)
    slices: Mapping[str, Mapping[str, Figures]] = field(default_factory=dict)
    intervals: Mapping[str, Interval] = field(default_factory=dict)
    baseline_intervals: Mapping[str, Mapping[str, Interval]] = field(default_factory=dict)
    past_orders: int = 0
    first_placed_at: datetime | None = None
    last_placed_at: datetime | None = None
    days: tuple[Day, ...] = ()
    replay: Replay | None = None
    held: Mapping[str, float] = field(default_factory=dict)
    errors: Mapping[str, Sequence[int]] = field(default_factory=dict)
    own_errors: Mapping[str, Sequence[int]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As JSON values: the figures at the top, times zone-aware in ISO 8601."""
        first, last = self.first_placed_at, self.last_placed_at
        return {
            **self.figures,
            "first_placed_at": first.isoformat() if first else None,
            "last_placed_at": last.isoformat() if last else None,
            "past_orders": self.past_orders,
            "baselines": {name: dict(figures) for name, figures in self.baselines.items()},
            "intervals": {name: list(ends) for name, ends in self.intervals.items()},
            "baseline_intervals": {
                name: {figure: list(ends) for figure, ends in intervals.items()}
                for name, intervals in self.baseline_intervals.items()
            },
            "slices": {
                dimension: {label: dict(figures) for label, figures in parts.items()}
                for dimension, parts in self.slices.items()
            },
            "days": [day.to_json() for day in self.days],
            "replay": self.replay.to_json() if self.replay else None,
            "held": dict(self.held),
            "errors": dict(self.errors),
            "own_errors": dict(self.own_errors),
        }


def evaluate(
    model: Forecaster,
    frame: pl.DataFrame,
    since: datetime | None = None,
    *,
    time_zone: str,
    past: pl.DataFrame | None = None,
    policy: PromisePolicy = _STANDARD,
    until: datetime | None = None,
    zones: Mapping[str, PromisePolicy] = _NO_ZONES,
    change: PolicyChange | None = None,
    min_slice_rows: int = MIN_ROWS,
    seed: int = 0,
) -> Evaluation:
    """Judge `model` on the delivered orders of `frame` placed at or after `since`, or on all.

    The orders of `frame` before `since` are there for history: no figure counts them, nor those
    placed at or after `until`. Baselines are fitted on `past`, or else on the orders of `frame`
    delivered before the first evaluated one was placed; where neither has any, there are none.
    Hours, weekdays and days are those of `time_zone`. Promises are what `policy`, or that of the
    order's city in `zones`, makes of the forecasts; with a `change`, what the changed ones make of
    them is told beside. Raises InvalidInput when there is nothing to evaluate, when `since` or
    `until` is given for orders without dates, and when an order has no delivery minutes.
    """
    rows = rows_of(frame, time_zone)
    chosen = _chosen(rows, since, until)
    told = model.forecast_frame(frame)
    if told.height != frame.height:
        raise InternalError(f"{told.height} forecasts were made for {frame.height} orders")
    quantiles = np.column_stack([told[name].to_numpy() for name in COLUMNS])[chosen]
    evaluated = rows.only(chosen)
    promised = promised_by_city(evaluated, quantiles, policy, zones)
    judged = judge(
        evaluated,
        quantiles,
        promised,
        _before(rows, evaluated) if past is None else rows_of(past, time_zone),
        time_zone=time_zone,
        min_slice_rows=min_slice_rows,
        seed=seed,
    )
    if change is None:
        return judged
    changed = {zone: change.of(one) for zone, one in zones.items()}
    other = promised_by_city(evaluated, quantiles, change.of(policy), changed)
    blocks = blocks_of(_days(evaluated, time_zone), len(evaluated), seed)
    return replace(judged, replay=replay_of(evaluated, promised, other, blocks, seed=seed))


def judge(
    rows: Rows,
    quantiles: Floats,
    promised: Floats,
    past: Rows,
    *,
    time_zone: str,
    min_slice_rows: int = MIN_ROWS,
    seed: int = 0,
) -> Evaluation:
    """The evaluation of forecasts already made: `quantiles` (n, q) and `promised` (n,)."""
    median = quantiles[:, QUANTILES.index(0.5)]
    blocks = blocks_of(_days(rows, time_zone), len(rows), seed)
    baselines: dict[str, Figures] = {}
    means = _means(rows.actual, median, quantiles, promised)
    baseline_means: dict[str, dict[str, Floats]] = {}
    said = fit_baselines(past).forecast(rows) if len(past) else {}
    for name, minutes in said.items():
        known = ~np.isnan(minutes)
        # What a baseline forecasts is what it would have promised.
        baselines[name] = metrics(rows.actual[known], minutes[known], promised=minutes[known])
        baseline_means[name] = _means(rows.actual, minutes) | {
            "mae_gain_minutes": np.abs(minutes - rows.actual) - np.abs(median - rows.actual)
        }
    times, days = rows.placed_us, _days(rows, time_zone)
    dated = rows.frame["placed_at"].drop_nulls() if times is not None else None
    own_error = rows.own_estimate - rows.actual
    return Evaluation(
        figures=metrics(rows.actual, median, quantiles, promised),
        baselines=baselines,
        slices=slice_metrics(
            dimensions(rows), rows.actual, median, quantiles, promised, min_rows=min_slice_rows
        ),
        intervals=intervals_of_means(means, blocks, seed=seed),
        baseline_intervals={
            name: intervals_of_means(values, blocks, seed=seed)
            for name, values in baseline_means.items()
        },
        past_orders=len(past),
        first_placed_at=_moment(dated.min()) if dated is not None else None,
        last_placed_at=_moment(dated.max()) if dated is not None else None,
        days=() if days is None else days_of(days, means["mae_minutes"], means["on_time_share"]),
        held=held_by_level(rows.actual, quantiles),
        errors=errors_by_minutes(median - rows.actual),
        own_errors=errors_by_minutes(own_error[~np.isnan(own_error)]),
    )


def _means(
    actual: Floats,
    median: Floats,
    quantiles: Floats | None = None,
    promised: Floats | None = None,
) -> dict[str, Floats]:
    """What the figures that are means are means of, one value an order, NaN where unknown."""
    error = median - actual
    size = np.abs(error)
    unknown = np.isnan(error)
    found = {
        "mae_minutes": size,
        "bias_minutes": error,
        "within_5": np.where(unknown, np.nan, size <= 5),
        "within_10": np.where(unknown, np.nan, size <= 10),
    }
    if quantiles is not None:
        inside = (quantiles[:, 0] <= actual) & (actual <= quantiles[:, -1])
        found["coverage_90"] = inside.astype(np.float64)
    if promised is not None:
        found["on_time_share"] = (actual <= promised).astype(np.float64)
    return found


def _chosen(rows: Rows, since: datetime | None, until: datetime | None) -> np.ndarray:
    chosen = np.ones(len(rows), dtype=bool)
    for name, moment in (("since", since), ("until", until)):
        if moment is None:
            continue
        if rows.placed_us is None:
            problem = FieldProblem(name, "is given, but the orders have no `placed_at`")
            raise InvalidInput("The orders cannot be parted by time", problems=[problem])
        edge = microseconds(name, moment)
        chosen &= rows.placed_us >= edge if name == "since" else rows.placed_us < edge
    if not chosen.any():
        after = f" placed at or after {since.isoformat()}" if since else ""
        before = f" placed before {until.isoformat()}" if until else ""
        between = " and".join(part for part in (after, before) if part)
        raise InvalidInput(f"There are no delivered orders{between} to evaluate")
    return chosen


def _before(rows: Rows, evaluated: Rows) -> Rows:
    first, delivered = evaluated.placed_us, rows.delivered_us
    if first is None or delivered is None or np.isnan(first).all():
        return rows.only(np.zeros(len(rows), dtype=bool))
    return rows.only(delivered < np.nanmin(first))


def _days(rows: Rows, time_zone: str) -> Floats | None:
    if rows.placed_us is None:
        return None
    local = rows.frame["placed_at"].dt.convert_time_zone(time_zone)
    days: Floats = local.dt.date().to_physical().cast(pl.Float64).to_numpy()
    return days


def _moment(value: object) -> datetime | None:
    return value if isinstance(value, datetime) else None
