"""The report on a model says what its evaluation found, and no more."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from foodex.domain.models import Version
from foodex.domain.reports import Report
from foodex.eta.evaluation import evaluate
from foodex.eta.evaluation.document import model_report

START = datetime(2026, 3, 2, 10, tzinfo=UTC)
NOW = datetime(2026, 4, 1, tzinfo=UTC)
SUMMARY: dict[str, Any] = {
    "time_zone": "UTC",
    "rows": 500,
    "period": ["2026-01-01T00:00:00+00:00", "2026-02-28T00:00:00+00:00"],
    "data_hash": "abc123",
    "features": ["distance_km", "hour", "minute"],
    "factors": ["distance", "time", "time"],
    "importance": {"distance_km": 0.6, "hour": 0.3, "minute": 0.1},
}


class Guess:
    """Forecasts 30 minutes, give or take, for every order."""

    def forecast_frame(self, frame: pl.DataFrame) -> pl.DataFrame:
        around = {"q05": 20.0, "q10": 22.0, "q25": 26.0, "q50": 30.0}
        around |= {"q75": 34.0, "q90": 38.0, "q95": 40.0}
        return pl.DataFrame({name: [value] * len(frame) for name, value in around.items()})


@pytest.fixture(scope="module")
def evaluation() -> dict[str, Any]:
    """A real evaluation of 1,200 orders whose own estimate is 10 minutes too short."""
    rng = np.random.default_rng(3)
    minutes = np.clip(rng.normal(30, 5, 1200), 5, None)
    frame = pl.DataFrame(
        {
            "placed_at": [START + timedelta(minutes=7 * n) for n in range(1200)],
            "delivery_minutes": minutes,
            "own_estimate_minutes": minutes - 10,
            "store_id": [f"s{n % 7}" for n in range(1200)],
            "customer_lat": [60.17] * 1200,
            "customer_lon": [24.94] * 1200,
        }
    )
    past = frame.with_columns(pl.col("placed_at") - timedelta(days=40))
    found = evaluate(Guess(), frame, time_zone="UTC", past=past, min_slice_rows=20)
    whole: dict[str, Any] = json.loads(json.dumps(found.to_json()))
    return whole


def version(**changes: Any) -> Version:
    return Version(
        model="eta",
        version=3,
        algorithm="gradient_boosting",
        dataset="city",
        created_at=NOW,
        who="ana",
        size_bytes=1,
        in_production=True,
        summary=SUMMARY | changes,
    )


def said(report: Report) -> str:
    return " ".join(report.summary).replace("\u00a0", " ")


def test_the_words_are_the_figures(evaluation: dict[str, Any]) -> None:
    text = said(model_report(version(), evaluation, made_at=NOW))
    mae = evaluation["mae_minutes"]
    assert f"misses by {mae:.1f} minutes on average, over 1,200 orders, all placed after" in text
    assert "own estimate misses by 10.0 minutes on the same orders" in text
    low, high = evaluation["baseline_intervals"]["own_estimate"]["mae_gain_minutes"]
    assert f"the model is closer, by {low:.1f} to {high:.1f} minutes" in text
    assert "It goes mostly by distance (60 %) and time (40 %)." in text


def test_orders_that_may_have_been_learned_from_are_not_called_new(
    evaluation: dict[str, Any],
) -> None:
    learned = version(period=["2026-01-01T00:00:00+00:00", "2026-03-02T10:00:01+00:00"])
    assert "some of which it may have seen" in said(model_report(learned, evaluation, made_at=NOW))
    unknown = version(period=None)
    assert "some of which it may have seen" in said(model_report(unknown, evaluation, made_at=NOW))


@pytest.mark.parametrize(
    ("ends", "words"),
    [
        ([-2.0, -1.0], "the model is further off, by 1.0 to 2.0 minutes"),
        ([-1.0, 1.0], "the two cannot be told apart"),
    ],
    ids=["worse", "unclear"],
)
def test_a_model_that_is_not_better_is_not_called_better(
    evaluation: dict[str, Any], ends: list[float], words: str
) -> None:
    changed = evaluation | {"baseline_intervals": {"own_estimate": {"mae_gain_minutes": ends}}}
    text = said(model_report(version(), changed, made_at=NOW))
    assert words in text
    assert "closer" not in text


@pytest.mark.parametrize(
    ("coverage", "words"),
    [(0.899, "as it should"), (0.8, "too narrow"), (0.97, "wider than need be")],
    ids=["held", "narrow", "wide"],
)
def test_the_interval_is_judged(evaluation: dict[str, Any], coverage: float, words: str) -> None:
    text = said(model_report(version(), evaluation | {"coverage_90": coverage}, made_at=NOW))
    assert words in text


def test_every_part_is_there_with_its_own_rows(evaluation: dict[str, Any]) -> None:
    report = model_report(version(), evaluation, made_at=NOW)
    titles = [section.title for section in report.sections]
    assert titles == [
        "Beside simpler forecasts",
        "Over the day",
        "Where it is good, and where not",
        "Zones",
        "What the forecast goes by",
    ]
    names = [row[0] for row in report.sections[2].tables[0].rows]
    assert names[:3] == ["weekday: Monday", "weekday: Tuesday", "weekday: Wednesday"]
    (zone,) = report.sections[3].tables[0].rows
    assert str(zone[0]).startswith("60.1")
    assert {origin.name: origin.value for origin in report.made_from}["Their SHA-256"] == "abc123"


def test_an_evaluation_with_next_to_nothing_still_makes_a_report() -> None:
    bare = {"n": 3, "mae_minutes": 4.0, "within_10": 1.0}
    report = model_report(version(period=None, importance={}), bare, made_at=NOW)
    assert "Within 10 minutes: all orders." in report.summary
    assert report.sections == ()
    assert report.period is None
