"""How good forecasts and promises were, in the figures people in delivery use.

All arrays are float64 minutes, (n,) unless said otherwise; shares are fractions from 0 to 1.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from foodex.core.errors import FieldProblem, InvalidInput
from foodex.domain.forecasts import QUANTILES

Floats = npt.NDArray[np.float64]
Figures = dict[str, float | int | None]
"""Figure by name; None where it cannot be told."""

EARLY_MINUTES: Final = 10.0
"""An order that comes more than this before its promise is early: the customer is not ready."""
JUMP_MINUTES: Final = 5.0
"""A revision above this is a jump that customers notice."""
_LEVELS: Final = np.array(QUANTILES)


def metrics(
    actual: Floats,
    median: Floats,
    quantiles: Floats | None = None,
    promised: Floats | None = None,
) -> Figures:
    """Every figure of forecasts against what happened.

    `quantiles` is (n, q), aligned with `QUANTILES`; without it the figures of the interval are
    None, as are those of the promise without `promised`. Errors and bias are forecast minus
    actual; `r2` is None where all actual minutes are the same; `pinball_minutes` is the mean over
    rows and quantiles; lateness is 0 for an order on time. Raises InvalidInput without rows, and
    for minutes that are not finite numbers or not as many as the orders.
    """
    _check(actual, {"median": median, "quantiles": quantiles, "promised": promised})
    error = median - actual
    size = np.abs(error)
    half, nine, nineteen = np.quantile(size, [0.5, 0.9, 0.95])
    spread = float(np.sum((actual - actual.mean()) ** 2))
    figures: Figures = {
        "n": len(actual),
        "mae_minutes": float(size.mean()),
        "rmse_minutes": float(np.sqrt(np.mean(error**2))),
        "r2": 1 - float(np.sum(error**2)) / spread if spread > 0 else None,
        "bias_minutes": float(error.mean()),
        "within_5": float(np.mean(size <= 5)),
        "within_10": float(np.mean(size <= 10)),
        "p50_abs_error_minutes": float(half),
        "p90_abs_error_minutes": float(nine),
        "p95_abs_error_minutes": float(nineteen),
    }
    return figures | _of_interval(actual, quantiles) | _of_promise(actual, promised)


def pinball(actual: Floats, quantiles: Floats) -> Floats:
    """Mean pinball loss of each quantile of `QUANTILES`, (q,), for `quantiles` of shape (n, q).

    The loss is level times what was above the quantile, or one minus level times what was below
    (R. Koenker and G. Bassett, "Regression Quantiles", 1978).
    """
    above = actual[:, None] - quantiles
    losses: Floats = np.maximum(_LEVELS * above, (_LEVELS - 1) * above).mean(axis=0)
    return losses


def stability(orders: npt.NDArray[np.int64], minutes: Floats) -> Figures:
    """How often what was said of an order was changed.

    `orders` tells which order each statement was about, `minutes` what it said, both in the order
    of time. A revision is a statement that differs from the last one of its order; a jump, one
    that differs by more than `JUMP_MINUTES`.
    """
    if len(orders) != len(minutes) or not len(orders):
        problem = FieldProblem("minutes", f"are {len(minutes)} for {len(orders)} statements")
        raise InvalidInput("The statements cannot be judged", problems=[problem])
    by_order = np.argsort(orders, kind="stable")
    same = np.diff(orders[by_order]) == 0
    change = np.abs(np.diff(minutes[by_order]))[same]
    jumped = np.unique(orders[by_order][1:][same][change > JUMP_MINUTES])
    count = len(orders) - int(same.sum())
    return {
        "n": count,
        "revisions_per_order": float(np.sum(change > 0)) / count,
        "jumps_per_order": float(np.sum(change > JUMP_MINUTES)) / count,
        "jumped_share": len(jumped) / count,
    }


def _of_interval(actual: Floats, quantiles: Floats | None) -> Figures:
    if quantiles is None:
        return dict.fromkeys(("coverage_90", "width_90_minutes", "pinball_minutes"))
    lower, upper = quantiles[:, 0], quantiles[:, -1]
    return {
        "coverage_90": float(np.mean((lower <= actual) & (actual <= upper))),
        "width_90_minutes": float(np.mean(upper - lower)),
        "pinball_minutes": float(pinball(actual, quantiles).mean()),
    }


def _of_promise(actual: Floats, promised: Floats | None) -> Figures:
    if promised is None:
        return dict.fromkeys(
            (
                "on_time_share",
                "lateness_p90_minutes",
                "late_10_share",
                "late_20_share",
                "early_share",
            )
        )
    late = actual - promised
    return {
        "on_time_share": float(np.mean(late <= 0)),
        "lateness_p90_minutes": float(np.quantile(np.maximum(late, 0), 0.9)),
        "late_10_share": float(np.mean(late > 10)),
        "late_20_share": float(np.mean(late > 20)),
        "early_share": float(np.mean(late < -EARLY_MINUTES)),
    }


def _check(actual: Floats, others: dict[str, Floats | None]) -> None:
    problems = []
    if not len(actual) or not np.isfinite(actual).all():
        problems.append(FieldProblem("actual", "has no rows or minutes that are no number"))
    for name, values in others.items():
        if values is None:
            continue
        shape = (len(actual), len(QUANTILES)) if name == "quantiles" else (len(actual),)
        if values.shape != shape:
            problems.append(FieldProblem(name, f"has shape {values.shape}, not {shape}"))
        elif not np.isfinite(values).all():
            problems.append(FieldProblem(name, "has minutes that are no number"))
    if problems:
        raise InvalidInput("The forecasts cannot be judged", problems=problems)
