"""A whole evaluation: who is judged, on which orders, beside what."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from foodex.core.errors import InternalError, InvalidInput
from foodex.domain.forecasts import QUANTILES
from foodex.eta.evaluation import (
    dimensions,
    evaluate,
    fit_baselines,
    metrics,
    rows_of,
    worst_slices,
)
from foodex.eta.evaluation.report import COLUMNS

START = datetime(2024, 3, 1, tzinfo=UTC)
ZONE = "Europe/Helsinki"
REQUIRED = {
    *("n", "mae_minutes", "rmse_minutes", "r2", "bias_minutes", "within_5", "within_10"),
    *("p50_abs_error_minutes", "p90_abs_error_minutes", "p95_abs_error_minutes"),
    *("coverage_90", "width_90_minutes", "pinball_minutes", "on_time_share"),
    *("lateness_p90_minutes", "late_10_share", "late_20_share", "early_share"),
}


def orders(count: int = 3000, seed: int = 0) -> pl.DataFrame:
    """Thirty days of orders; slower in the rain, from far and from store "s1"."""
    random = np.random.default_rng(seed)
    minutes = np.sort(random.uniform(0, 30 * 1440, count))
    store, rain = random.integers(0, 4, count), random.random(count) < 0.2
    km = random.gamma(2, 1.2, count)
    took = 20 + 3 * km + 6 * (store == 1) + 5 * rain + random.gamma(2, 3, count)
    return pl.DataFrame(
        {
            "order_id": [str(number) for number in range(count)],
            "store_id": [f"s{number}" for number in store],
            "placed_at": [START + timedelta(minutes=value) for value in minutes.tolist()],
            "delivery_minutes": took,
            "own_estimate_minutes": took + random.normal(4, 5, count),
            "distance_km": km,
            "precipitation_mm": rain * 1.5,
            "store_category": np.where(store < 2, "pizza", "sushi"),
            "customer_lat": 60.1 + random.random(count) / 20,
            "customer_lon": 24.9 + random.random(count) / 20,
        },
        schema_overrides={"placed_at": pl.Datetime("us", "UTC")},
    )


@dataclass
class Rule:
    """Says 25 minutes and 3 for each km, and remembers which orders it was shown."""

    shown: list[int] = field(default_factory=list)

    def forecast_frame(self, frame: pl.DataFrame) -> pl.DataFrame:
        self.shown.append(frame.height)
        median = 29 + 3 * frame["distance_km"]
        spread = (-8, -6, -3, 0, 3, 7, 11)
        return pl.DataFrame({name: median + by for name, by in zip(COLUMNS, spread, strict=True)})


SINCE = START + timedelta(days=20)


def test_only_orders_since_are_judged_and_the_rest_is_history() -> None:
    frame, model = orders(), Rule()
    since, late = frame["placed_at"][2000], frame[2000:]
    evaluation = evaluate(model, frame, since, time_zone=ZONE)
    assert model.shown == [frame.height]
    assert evaluation.figures["n"] == late.height == 1000
    error = 29 + 3 * late["distance_km"] - late["delivery_minutes"]
    assert evaluation.figures["mae_minutes"] == pytest.approx(error.abs().mean())
    assert evaluation.first_placed_at == late["placed_at"].min()


def test_the_json_has_every_figure_for_the_model_and_for_each_baseline() -> None:
    told = evaluate(Rule(), orders(), SINCE, time_zone=ZONE).to_json()
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    assert set(told) >= REQUIRED
    assert list(told["baselines"]) == [
        "median",
        "store_hour_median",
        "own_estimate",
        "own_estimate_unbiased",
    ]
    for figures in told["baselines"].values():
        assert set(figures) == REQUIRED
        assert figures["n"] == told["n"]
        assert figures["coverage_90"] is None
        assert figures["on_time_share"] is not None
    assert datetime.fromisoformat(told["first_placed_at"]).tzinfo is not None
    for name, (low, high) in told["intervals"].items():
        assert low <= told[name] <= high, name
    gains = {name: ends["mae_gain_minutes"] for name, ends in told["baseline_intervals"].items()}
    gain = told["baselines"]["median"]["mae_minutes"] - told["mae_minutes"]
    assert gains["median"][0] <= gain <= gains["median"][1]


def test_baselines_see_only_what_was_delivered_before_the_first_judged_order() -> None:
    frame = orders()
    first = frame.filter(pl.col("placed_at") >= SINCE)["placed_at"].min()
    ends = pl.col("placed_at") + pl.duration(minutes=1) * pl.col("delivery_minutes")
    delivered = frame.filter(ends < first)
    evaluation = evaluate(Rule(), frame, SINCE, time_zone=ZONE)
    assert evaluation.past_orders == delivered.height
    later = frame.with_columns(
        pl.when(pl.col("placed_at") >= SINCE - timedelta(minutes=5))
        .then(pl.col("delivery_minutes") + 500)
        .otherwise("delivery_minutes")
        .alias("delivery_minutes")
    )
    changed = evaluate(Rule(), later, SINCE, time_zone=ZONE)
    rows = rows_of(delivered, ZONE)
    known = fit_baselines(rows)
    for one in (evaluation, changed):
        bias = one.baselines["median"]["bias_minutes"]
        judged = frame if one is evaluation else later
        actual = judged.filter(pl.col("placed_at") >= SINCE)["delivery_minutes"].to_numpy()
        if one is evaluation:
            assert bias == pytest.approx(known.overall - actual.mean())
        else:
            assert bias == pytest.approx(known.overall - actual.mean(), abs=0.5)


def test_the_own_estimate_loses_its_median_error_of_the_past() -> None:
    evaluation = evaluate(Rule(), orders(), SINCE, time_zone=ZONE)
    own, unbiased = (
        evaluation.baselines["own_estimate"],
        evaluation.baselines["own_estimate_unbiased"],
    )
    assert own["bias_minutes"] == pytest.approx(4, abs=0.5)
    assert unbiased["bias_minutes"] == pytest.approx(0, abs=0.5)


def test_a_store_s_hour_falls_back_to_the_store_the_hour_and_all() -> None:
    def frame(rows: list[tuple[str | None, float | None, float]]) -> pl.DataFrame:
        names = ["store_id", "hour_of_day", "delivery_minutes"]
        return pl.DataFrame(
            rows,
            schema=dict(zip(names, (pl.String, pl.Float64, pl.Float64), strict=True)),
            orient="row",
        )

    past = frame(
        [("a", 12.5, 20.0)] * 10
        + [("a", 20.0, 50.0)] * 9
        + [("a", 18.0, 40.0)] * 9
        + [("b", 18.0, 60.0)] * 9
        + [(None, None, 5.0)] * 30
    )
    asked = frame(
        [("a", 12.1, 1.0), ("a", 18.9, 1.0), ("b", 18.2, 1.0), ("c", 3.0, 1.0), (None, None, 1.0)]
    )
    said = fit_baselines(rows_of(past, ZONE)).forecast(rows_of(asked, ZONE))
    assert said["store_hour_median"].tolist() == [20, 40, 50, 20, 20]
    assert said["median"].tolist() == [20] * 5
    assert set(said) == {"median", "store_hour_median"}


def test_orders_without_dates_are_judged_all_with_a_given_past() -> None:
    frame = orders(800).with_columns(
        hour_of_day=pl.col("placed_at").dt.hour().cast(pl.Float64),
        day_of_week=pl.col("placed_at").dt.weekday().cast(pl.Int64) - 1,
    )
    undated = frame.drop("placed_at")
    evaluation = evaluate(Rule(), undated[400:], time_zone=ZONE, past=undated[:400])
    assert evaluation.figures["n"] == 400
    assert evaluation.past_orders == 400
    assert set(evaluation.baselines) >= {"median", "store_hour_median"}
    assert evaluation.first_placed_at is None
    assert "mae_minutes" in evaluation.intervals
    alone = evaluate(Rule(), undated, time_zone=ZONE)
    assert (alone.past_orders, alone.baselines) == (0, {})


def test_slices_are_the_figures_of_their_orders() -> None:
    frame = orders()
    evaluation = evaluate(Rule(), frame, time_zone=ZONE, min_slice_rows=50)
    assert set(evaluation.slices) == {
        "zone",
        "hour",
        "weekday",
        "rain",
        "distance",
        "store_volume",
        "category",
    }
    wet = frame.filter(pl.col("precipitation_mm") > 0)
    want = metrics(wet["delivery_minutes"].to_numpy(), (29 + 3 * wet["distance_km"]).to_numpy())
    rain = evaluation.slices["rain"]["rain"]
    assert {name: rain[name] for name, value in want.items() if value is not None} == pytest.approx(
        {name: value for name, value in want.items() if value is not None}
    )
    for parts in evaluation.slices.values():
        assert all((figures["n"] or 0) >= 50 for figures in parts.values())
    assert sum(figures["n"] or 0 for figures in evaluation.slices["category"].values()) == 3000
    dimension, label, bias = worst_slices(
        {"rain": evaluation.slices["rain"]}, "bias_minutes", low=True
    )[0]
    assert (dimension, label) == ("rain", "rain")
    assert bias == rain["bias_minutes"]


def test_labels_of_slices() -> None:
    frame = pl.DataFrame(
        {
            "placed_at": [START, START + timedelta(hours=9.9), None],
            "delivery_minutes": [30.0, 31.0, 32.0],
            "distance_km": [0.99, 1.0, None],
            "precipitation_mm": [0.0, 0.1, None],
            "store_id": ["a", "b", "b"],
            "customer_lat": [60.17, None, None],
            "customer_lon": [24.94, 24.94, None],
            "store_lat": [60.17, 60.17, None],
            "store_lon": [24.94, 24.94, None],
        },
        schema_overrides={"placed_at": pl.Datetime("us", "UTC")},
    )
    found = {name: labels.to_list() for name, labels in dimensions(rows_of(frame, ZONE)).items()}
    assert found["hour"] == ["02", "11", None]
    assert found["weekday"] == ["Friday", "Friday", None]
    assert found["rain"] == ["dry", "rain", None]
    assert found["distance"] == ["under 1 km", "1-2 km", None]
    assert found["zone"][0] == found["zone"][1] is not None
    assert found["zone"][2] is None
    assert found["store_volume"] == ["small", "middle", "middle"]


def test_promises_are_those_of_the_policy() -> None:
    figures = evaluate(Rule(), orders(), time_zone=ZONE).figures
    frame = orders()
    promised = np.ceil((29 + 3 * frame["distance_km"].to_numpy() + 3) / 5) * 5
    on_time = frame["delivery_minutes"].to_numpy() <= promised
    assert figures["on_time_share"] == pytest.approx(on_time.mean())
    assert QUANTILES[4] == 0.75


def test_what_cannot_be_evaluated_is_said() -> None:
    frame = orders(50)
    with pytest.raises(InvalidInput, match="no delivered orders placed at or after 2030"):
        evaluate(Rule(), frame, datetime(2030, 1, 1, tzinfo=UTC), time_zone=ZONE)
    with pytest.raises(InvalidInput, match="no delivered orders"):
        evaluate(Rule(), frame[:0], time_zone=ZONE)
    with pytest.raises(InvalidInput, match="since"):
        evaluate(Rule(), frame.drop("placed_at"), SINCE, time_zone=ZONE)
    with pytest.raises(InvalidInput, match="since"):
        evaluate(Rule(), frame, SINCE.replace(tzinfo=None), time_zone=ZONE)
    with pytest.raises(InvalidInput, match="time_zone"):
        evaluate(Rule(), frame, time_zone="Mars/Base")
    holed = frame.with_columns(
        delivery_minutes=pl.when(pl.col("order_id") == "7").then(None).otherwise("delivery_minutes")
    )
    with pytest.raises(InvalidInput, match="row 7, delivery_minutes"):
        evaluate(Rule(), holed, time_zone=ZONE)


def test_a_model_that_forgets_orders_is_our_fault() -> None:
    class Short(Rule):
        def forecast_frame(self, frame: pl.DataFrame) -> pl.DataFrame:
            return super().forecast_frame(frame)[1:]

    with pytest.raises(InternalError):
        evaluate(Short(), orders(50), time_zone=ZONE)


def test_orders_that_name_no_store_and_no_date_are_judged_too() -> None:
    """One restaurant's history: hours and weekdays only."""
    random = np.random.default_rng(3)
    frame = pl.DataFrame(
        {
            "hour_of_day": random.uniform(11, 22, 600),
            "day_of_week": random.integers(0, 7, 600),
            "distance_km": random.gamma(2, 1.2, 600),
        }
    ).with_columns(delivery_minutes=29 + 3 * pl.col("distance_km"))
    found = evaluate(Rule(), frame[300:], time_zone="UTC", past=frame[:300]).to_json()
    assert found["n"] == 300
    assert found["mae_minutes"] == pytest.approx(0, abs=1e-9)
    assert found["baselines"]["store_hour_median"]["mae_minutes"] > 1
