"""Models of the first days of a business."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from foodex.city import simulate_history
from foodex.eta import algorithms
from foodex.eta.evaluation.report import Evaluation, evaluate
from foodex.eta.training import TrainingOptions, train

ZONE = "Europe/Helsinki"
MONDAY = datetime(2026, 9, 7, tzinfo=UTC)


def judged(days: int, seed: int) -> Evaluation:
    """A model of the first days, judged on the two that follow, whose weekdays it never saw."""
    until = MONDAY + timedelta(days=days)
    frame = simulate_history(seed=seed, start=MONDAY, days=days + 3)
    frame = frame.filter(pl.col("placed_at") < until + timedelta(days=2))
    options = TrainingOptions(
        until=until, time_zone=ZONE, without=("own_estimate_minutes",), threads=1
    )
    return evaluate(train(frame, options), frame, since=until, time_zone=ZONE)


@pytest.mark.parametrize(("days", "seed"), [(2, 1), (4, 1), (4, 2)])
def test_a_few_days_make_a_model_better_than_each_stores_hour(days: int, seed: int) -> None:
    told = judged(days, seed).to_json()
    rule = told["baselines"]["store_hour_median"]
    assert told["mae_minutes"] < rule["mae_minutes"]
    assert abs(told["bias_minutes"]) < 3
    assert told["coverage_90"] > 0.8


def test_hours_of_a_weekday_seen_once_are_not_made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(algorithms, "FEWEST_WEEKS", 0)
    assert judged(4, 2).to_json()["mae_minutes"] > 10
