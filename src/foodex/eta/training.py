"""From delivered orders to a model."""

import difflib
import hashlib
import math
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
import polars as pl

from foodex.core.errors import FieldProblem, InvalidInput
from foodex.domain.deliveries import FIELD
from foodex.domain.forecasts import QUANTILES
from foodex.domain.promises import PromisePolicy
from foodex.eta.calibration import Calibration, Shifts
from foodex.eta.columns import Columns, Floats, columns_of_frame
from foodex.eta.encoding import Encoder
from foodex.eta.evaluation.spread import errors_by_minutes
from foodex.eta.fitting import Fitted, Progress, Rows, Work
from foodex.eta.ladder import Ladder
from foodex.eta.looking import Seen, look
from foodex.eta.model import Model, Parts, in_process
from foodex.eta.promising import promises_of
from foodex.eta.state import LiveState, Timeline
from foodex.eta.summary import ModelSummary

ALGORITHMS: Final = ("gradient_boosting", "random_forest", "linear_regression")

FEWEST_ORDERS: Final = 50
"""Delivered orders without which nothing is trained."""
HELD_OUT_SHARE: Final = 0.15
WANTED_HELD_OUT: Final = 500
"""Fewer make poor quantiles, so a small history gives up to three tenths for them."""
MOST_HELD_OUT: Final = 100_000
REFIT_BELOW: Final = 200_000
"""Up to so many orders the held-out tail is fitted too, once the calibration has been learned."""
FEWEST_FOR_THREADS: Final = 50_000
"""Orders from which a fit is spread over all cores."""
USUAL_SHARE: Final = 0.9
"""An input present in this share of the training orders is expected of a new one."""
WEEK_MS: Final = 7 * 24 * 3_600_000
_STANDARD: Final = PromisePolicy()


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingOptions:
    """What to fit and how.

    Orders placed before `until` (zone-aware) and delivered by then are fitted; or those whose
    `split_column` is `train`; or all. `without` names fields that the model must not see, nor
    anything made of them. `parameters` go to the algorithm. `threads` is None for all cores.
    """

    algorithm: str = "gradient_boosting"
    until: datetime | None = None
    split_column: str | None = None
    without: tuple[str, ...] = ()
    time_zone: str = "UTC"
    seed: int = 0
    parameters: Mapping[str, Any] = field(default_factory=dict)
    threads: int | None = None


def train(
    frame: pl.DataFrame,
    options: TrainingOptions,
    progress: Progress | None = None,
    *,
    policy: PromisePolicy = _STANDARD,
) -> Model:
    """Fit, calibrate on the newest part, and describe a model.

    `progress` is told the share done (0 to 1) and what is being done; an exception it raises
    stops the training and comes out of here. `policy` is what promises are made by; only the
    summary tells how they would have been kept.

    Raises:
        InvalidInput: options or a frame that nothing can be learned from; the problems say why.
    """
    # Late, because it brings LightGBM and scikit-learn, which a server must not hold in memory.
    from foodex.eta.algorithms import fit

    tell = progress or _silent
    started = time.perf_counter()
    seconds: dict[str, float] = {}

    def lap(name: str) -> None:
        seconds[name] = round(time.perf_counter() - started - sum(seconds.values()), 3)

    _check(options, frame)
    tell(0.0, "choosing rows")
    chosen = _chosen(frame, options)
    without = {*options.without, *([options.split_column] if options.split_column else [])}
    columns = columns_of_frame(chosen.drop(without, strict=False))
    tell(0.02, "reading history")
    seen, encoder = _encode(columns, len(chosen), without, options.time_zone)
    minutes = seen.time.minutes
    lap("encode")
    fit_rows, tail = _hold_out(seen, options.seed)
    work = Work(
        rows=seen.rows,
        minutes=minutes,
        names=encoder.names,
        factors=encoder.factors,
        fit=fit_rows,
        tail=tail,
        seed=options.seed,
        threads=options.threads or _threads(len(minutes)),
        parameters=options.parameters,
        weeks=_weeks(seen),
    )
    fitted = fit(options.algorithm, work, _part(tell, 0.05, 0.6))
    lap("fit")
    tell(0.6, "calibrating")
    place, scale = _place_and_scale(fitted, seen.rows[tail])
    dated = bool(encoder.keys)
    known_ms = seen.time.delivered_ms[tail] if dated else None
    values = fitted.link.forward(minutes[tail])
    calibration = Calibration.fit(values, place, scale, known_ms)
    quantiles = fitted.link.inverse(_tail_quantiles(calibration, seen, tail, values, place, scale))
    metrics, baselines = _metrics(columns, seen, fit_rows, tail, quantiles)
    promised = promises_of(policy, quantiles)[0]
    metrics["on_time_share"] = float(np.mean(minutes[tail] <= promised))
    lap("calibrate")
    if len(minutes) <= REFIT_BELOW:
        fitted = fitted.refit(_part(tell, 0.65, 0.95))
        lap("refit")
    tell(0.95, "exporting")
    onnx = fitted.to_onnx()
    lap("export")
    seconds["total"] = round(time.perf_counter() - started, 3)
    summary = ModelSummary(
        algorithm=options.algorithm,
        features=encoder.names,
        factors=encoder.factors,
        importance=_shares(encoder.names, fitted.importance()),
        rows=len(minutes),
        held_out_rows=len(tail),
        period=_period(columns),
        metrics=metrics,
        baselines=baselines,
        errors=_errors(columns, minutes[tail], tail, quantiles),
        data_hash=data_hash(columns),
        seconds=seconds,
        options=_options_json(options),
        time_zone=options.time_zone,
        trees=fitted.trees,
    )
    placed_ms = seen.time.placed_ms
    parts = Parts(
        encoder=encoder,
        link=fitted.link,
        offset=fitted.offset,
        calibration=calibration,
        ladder=_ladder(encoder, columns, len(chosen), minutes),
        reference=_reference(seen.rows),
        usual=_usual(encoder, columns),
        fitted_until_ms=int(placed_ms.max()) + 1 if dated else 0,
        summary=summary,
    )
    tell(1.0, "done")
    return Model(parts, onnx, in_process(onnx))


def _threads(orders: int) -> int:
    # Threads of a small fit wait for each other more than they work once a core is shared.
    return (os.cpu_count() or 1) if orders >= FEWEST_FOR_THREADS else 1


def _weeks(seen: Seen) -> float:
    if not seen.time.dated.all():
        return math.inf
    return float(np.ptp(seen.time.placed_ms)) / WEEK_MS


def _silent(share: float, what: str) -> None:
    pass


def _part(tell: Progress, low: float, high: float) -> Progress:
    return lambda share, what: tell(low + (high - low) * share, what)


def _check(options: TrainingOptions, frame: pl.DataFrame) -> None:
    problems = []
    if options.algorithm not in ALGORITHMS:
        known = ", ".join(ALGORITHMS)
        problems.append(FieldProblem("algorithm", f"'{options.algorithm}' is none of {known}"))
    if options.until is not None and options.until.tzinfo is None:
        problems.append(FieldProblem("until", "has no time zone"))
    if options.until is not None and "placed_at" not in frame.columns:
        problems.append(FieldProblem("until", "the orders have no `placed_at` to compare it with"))
    if options.split_column is not None and options.split_column not in frame.columns:
        problems.append(
            FieldProblem("split_column", f"there is no column '{options.split_column}'")
        )
    if not {"delivery_minutes", "delivered_at"} & set(frame.columns):
        problems.append(FieldProblem("delivery_minutes", "the orders say neither it nor an end"))
    # A field of the record that these orders lack is left out already; any other is a typo.
    problems += [
        FieldProblem("without", f"there is no column '{name}'" + _did_you_mean(name, frame.columns))
        for name in options.without
        if name not in frame.columns and name not in FIELD
    ]
    if problems:
        raise InvalidInput("The training cannot start", problems=problems)


def _did_you_mean(name: str, columns: list[str]) -> str:
    near = difflib.get_close_matches(name, [*columns, *FIELD], 1)
    return f"; did you mean '{near[0]}'?" if near else ""


def _chosen(frame: pl.DataFrame, options: TrainingOptions) -> pl.DataFrame:
    """The rows to fit: of the asked part, with an outcome known by then."""
    keep = pl.lit(True)
    names = set(frame.columns)
    minutes = (
        pl.col("delivery_minutes") if "delivery_minutes" in names else pl.lit(None, pl.Float64)
    )
    end = pl.lit(None, pl.Datetime("us", "UTC"))
    if "placed_at" in names:
        end = pl.col("placed_at") + pl.duration(microseconds=(minutes * 60e6).ceil().cast(pl.Int64))
    if "delivered_at" in names:
        end = pl.coalesce(pl.col("delivered_at"), end)
        if "placed_at" in names:
            took = (pl.col("delivered_at") - pl.col("placed_at")).dt.total_microseconds() / 60e6
            minutes = pl.coalesce(minutes, took)
    keep &= minutes.is_not_null() & minutes.is_finite() & (minutes >= 0)
    if "placed_at" in names:
        keep &= pl.col("placed_at").is_not_null()
    if options.until is not None:
        keep &= (pl.col("placed_at") < options.until) & (end <= options.until)
    if options.split_column is not None:
        keep &= pl.col(options.split_column).cast(pl.String) == "train"
    chosen = frame.filter(keep)
    if len(chosen) < FEWEST_ORDERS:
        problem = FieldProblem("dataset", f"has {len(chosen)} delivered orders to learn from")
        raise InvalidInput(f"At least {FEWEST_ORDERS} are needed", problems=[problem])
    return chosen


def _encode(columns: Columns, n: int, without: set[str], time_zone: str) -> tuple[Seen, Encoder]:
    minutes = _minutes(columns, n)
    encoder = Encoder.fit(columns, minutes, without=without, time_zone=time_zone)
    blank = Calibration(
        np.zeros(0), np.zeros((1, len(QUANTILES))), np.zeros(0, dtype=np.int64), np.zeros(0), 1.0
    )
    state = LiveState(encoder, blank, 0)
    state.learn_names(columns)
    seen = look(encoder, columns, n, state)
    fill = _reference(seen.rows)
    fill[np.isnan(seen.rows).any(axis=0)] = np.nan
    return seen, replace(encoder, fill=fill)


def _minutes(columns: Columns, n: int) -> Floats:
    return Timeline.of(columns, n).minutes


def _reference(rows: Floats) -> Floats:
    """The typical order: each column's median, NaN where a column is never known."""
    sample = rows[:: max(1, len(rows) // 20_000)]
    found = np.full(rows.shape[1], np.nan)
    known = ~np.isnan(sample).all(axis=0)
    found[known] = np.nanmedian(sample[:, known], axis=0)
    return found


def _hold_out(seen: Seen, seed: int) -> tuple[Rows, Rows]:
    """Rows to fit first and rows to calibrate on: the newest, or a random part without dates."""
    n = len(seen.rows)
    size = int(min(max(n * HELD_OUT_SHARE, min(WANTED_HELD_OUT, n * 0.3)), MOST_HELD_OUT))
    if seen.time.dated.all():
        order = np.argsort(seen.time.placed_ms, kind="stable")
    else:
        order = np.random.default_rng(seed).permutation(n)
    return np.sort(order[:-size]), np.sort(order[-size:])


def _place_and_scale(fitted: Fitted, rows: Floats) -> tuple[Floats, Floats]:
    raw = fitted.predict(rows)
    place = raw[:, 0] if fitted.offset is None else raw[:, 0] + fitted.offset.predict(rows)
    return place, raw[:, 1]


def _shares(names: tuple[str, ...], importance: Floats) -> dict[str, float]:
    total = float(importance.sum()) or 1.0
    return {name: float(gain) / total for name, gain in zip(names, importance, strict=True)}


def _tail_quantiles(
    calibration: Calibration, seen: Seen, tail: Rows, values: Floats, place: Floats, scale: Floats
) -> Floats:
    """What would have been said of the held-out orders, drift followed from nothing."""
    scale = calibration.scales(scale)
    shifts = np.zeros(len(QUANTILES))
    if len(calibration.recent):
        time = seen.time
        misses = (values - place) / scale
        known = Shifts.of(calibration, time.delivered_ms[tail], misses)
        shifts = known.at(time.placed_ms[tail])
    return calibration.quantiles(place, scale, shifts)


def _metrics(
    columns: Columns, seen: Seen, fit_rows: Rows, tail: Rows, quantiles: Floats
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    minutes = seen.time.minutes[tail]

    def judge(middle: Floats) -> dict[str, Any]:
        miss = minutes - middle
        return {
            "n": len(miss),
            "mae_minutes": float(np.abs(miss).mean()),
            "bias_minutes": float(-miss.mean()),
        }

    inside = (minutes >= quantiles[:, 0]) & (minutes <= quantiles[:, -1])
    metrics = judge(quantiles[:, len(QUANTILES) // 2])
    metrics["coverage_90"] = float(inside.mean())
    metrics["width_90_minutes"] = float((quantiles[:, -1] - quantiles[:, 0]).mean())
    median = float(np.median(seen.time.minutes[fit_rows]))
    baselines = {"median": judge(np.full(len(tail), median))}
    own = columns.get("own_estimate_minutes")
    if own is not None and not np.isnan(own[tail]).any():
        on_time = float(np.mean(minutes <= own[tail]))
        baselines["own_estimate"] = judge(own[tail]) | {"on_time_share": on_time}
    return metrics, baselines


def _errors(
    columns: Columns, minutes: Floats, tail: Rows, quantiles: Floats
) -> dict[str, dict[str, Any]]:
    found = {"model": errors_by_minutes(quantiles[:, len(QUANTILES) // 2] - minutes)}
    own = columns.get("own_estimate_minutes")
    if own is not None and not np.isnan(own[tail]).any():
        found["own_estimate"] = errors_by_minutes(own[tail] - minutes)
    return {name: dict(errors) for name, errors in found.items()}


def _usual(encoder: Encoder, columns: Columns) -> tuple[str, ...]:
    found = []
    for name in sorted(encoder.inputs - {"order_id"}):
        column = columns[name]
        known = (
            ~np.isnan(column)
            if column.dtype == np.float64
            else np.array([value is not None for value in column.tolist()])
        )
        if known.mean() >= USUAL_SHARE:
            found.append(name)
    return tuple(found)


def _ladder(encoder: Encoder, columns: Columns, n: int, minutes: Floats) -> Ladder:
    basics = encoder.basics(columns, n)
    stores = None
    if "store" in encoder.keys:
        stores = [encoder.store_name(basics, row) or "" for row in range(n)]
    return Ladder.fit(minutes, basics.hour, basics.distance_km, stores)


def _period(columns: Columns) -> tuple[datetime, datetime] | None:
    placed = columns.get("placed_at")
    if placed is None:
        return None
    first, last = float(np.nanmin(placed)), float(np.nanmax(placed))
    return datetime.fromtimestamp(first / 1e6, UTC), datetime.fromtimestamp(last / 1e6, UTC)


def data_hash(columns: Columns) -> str:
    """SHA-256 of the columns' names and values, whatever the order of the columns."""
    found = hashlib.sha256()
    for name in sorted(columns):
        column = columns[name]
        found.update(name.encode())
        if column.dtype == np.float64:
            found.update(column.tobytes())
        else:
            found.update("\x1f".join("\x00" if v is None else v for v in column.tolist()).encode())
    return found.hexdigest()


def _options_json(options: TrainingOptions) -> dict[str, Any]:
    found = asdict(options)
    del found["threads"]
    found["until"] = None if options.until is None else options.until.isoformat()
    found["without"] = list(options.without)
    found["parameters"] = dict(options.parameters)
    return found
