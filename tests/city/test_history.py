import io
import subprocess
import sys
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foodex.city import CITY_NAME, simulate_history
from foodex.city.records import SCHEMA
from foodex.city.streets import load_streets
from foodex.city.weather import Weather
from foodex.core.errors import InvalidInput
from foodex.domain.deliveries import FIELDS, Kind
from tests.city.conftest import HISTORY_SEED, START

STREETS = load_streets()


def small(seed: int, *, start: datetime = START, days: int = 1) -> pl.DataFrame:
    return simulate_history(
        seed=seed, start=start, days=days, orders_per_day=60, stores=4, streets=STREETS
    )


def csv(frame: pl.DataFrame) -> bytes:
    return frame.write_csv().encode()


def test_it_is_the_canonical_record(history: pl.DataFrame) -> None:
    assert dict(history.schema) == dict(SCHEMA)
    assert history.columns == [field.name for field in FIELDS]
    assert history.null_count().sum_horizontal().item() == 0
    for field in FIELDS:
        if field.kind in (Kind.NUMBER, Kind.INTEGER):
            values = history[field.name]
            assert field.low is None or values.min() >= field.low, field.name
            assert field.high is None or values.max() <= field.high, field.name
    assert history["placed_at"].is_sorted()
    assert history["order_id"].is_unique().all()


def test_it_says_everywhere_that_it_is_simulated(history: pl.DataFrame) -> None:
    assert history["city"].unique().to_list() == [CITY_NAME]
    assert "simulated" in CITY_NAME
    for name in ("order_id", "store_id", "courier_id"):
        assert history[name].str.starts_with("sim-").all()


def test_times_follow_their_causes(history: pl.DataFrame) -> None:
    placed, accepted, ready, picked, delivered = (
        history[name]
        for name in ("placed_at", "accepted_at", "ready_at", "picked_up_at", "delivered_at")
    )
    assert (placed <= accepted).all()
    assert (accepted <= ready).all()
    assert (ready <= picked).all()
    assert (picked < delivered).all()
    minutes = (delivered - placed).dt.total_seconds() / 60
    assert np.allclose(minutes.to_numpy(), history["delivery_minutes"].to_numpy())
    assert history["distinct_items"].le(history["items"]).all()
    assert history["couriers_busy"].le(history["couriers_on_shift"]).all()
    local = placed.dt.convert_time_zone("Europe/Helsinki")
    hours = local.dt.hour() + local.dt.minute() / 60 + local.dt.second() / 3600
    assert np.allclose(hours.to_numpy(), history["hour_of_day"].to_numpy(), atol=1e-3)
    assert (local.dt.weekday() - 1 == history["day_of_week"]).all()


def test_durations_look_like_deliveries(history: pl.DataFrame) -> None:
    minutes = history["delivery_minutes"]
    assert 27 < minutes.median() < 38
    assert 42 < minutes.quantile(0.9) < 60
    # Skewed to the right: the long side is the longer one.
    assert minutes.quantile(0.95) - minutes.median() > 1.5 * (
        minutes.median() - minutes.quantile(0.05)
    )
    assert minutes.min() > 5
    assert minutes.max() < 240


def test_there_is_something_to_learn(history: pl.DataFrame) -> None:
    minutes = history["delivery_minutes"].to_numpy()
    for name in ("orders_open", "distance_km", "items"):
        assert np.corrcoef(history[name].to_numpy(), minutes)[0, 1] > 0.05, name
    by_store = history.group_by("store_id").agg(pl.col("delivery_minutes").median(), pl.len())
    usual = by_store.filter(pl.col("len") > 60)["delivery_minutes"]
    assert usual.max() > usual.min() + 10
    # The company's own estimate knows something, and not everything.
    error = np.abs(minutes - history["own_estimate_minutes"].to_numpy()).mean()
    assert 4 < error < np.abs(minutes - np.median(minutes)).mean()
    assert (history["own_estimate_minutes"] % 5 == 0).all()


def test_lunch_and_dinner_are_peaks(history: pl.DataFrame) -> None:
    def orders_in(hour: int, days: pl.Expr) -> int:
        return history.filter(days & (pl.col("hour_of_day").floor() == hour)).height

    working_days, weekend = pl.col("day_of_week") < 5, pl.col("day_of_week") >= 5
    assert orders_in(11, working_days) > 1.5 * orders_in(14, working_days)
    assert orders_in(18, working_days) > 2 * orders_in(14, working_days)
    assert orders_in(18, weekend) > 1.3 * orders_in(13, weekend)
    by_day = history.group_by("day_of_week").len().sort("day_of_week")["len"]
    assert by_day[5] > 1.1 * by_day[0]
    hours = history["hour_of_day"]
    assert 10 <= hours.min() < hours.max() <= 22.75


def test_traffic_is_worst_when_offices_close(history: pl.DataFrame) -> None:
    working = history.filter(pl.col("day_of_week") < 5)
    by_hour = working.group_by(pl.col("hour_of_day").floor()).agg(pl.col("traffic_ratio").mean())
    worst = by_hour.sort("traffic_ratio")["hour_of_day"][0]
    assert worst in (16, 17)


def test_the_weather_is_what_was_known_when_the_order_was_placed(history: pl.DataFrame) -> None:
    weather = Weather(HISTORY_SEED)
    placed = history["placed_at"].dt.epoch("s").to_list()
    assert history["precipitation_mm"].max() > 0
    assert history["precipitation_mm"].to_list() == [
        weather.at(seconds - 3600).precipitation_mm for seconds in placed
    ]
    assert history["temperature_c"].to_list() == [
        weather.at(seconds).temperature_c for seconds in placed
    ]


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**63 - 1))
def test_a_seed_is_a_city(seed: int) -> None:
    assert csv(small(seed)) == csv(small(seed))
    assert csv(small(seed)) != csv(small((seed + 1) % 2**63))


def test_it_is_the_same_in_another_process() -> None:
    code = (
        "import sys; from datetime import UTC, datetime; from foodex.city import simulate_history\n"
        "sys.stdout.write(simulate_history(seed=4, start=datetime(2026, 8, 3, 6, tzinfo=UTC), "
        "days=1, orders_per_day=60, stores=4).write_csv())"
    )
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
    assert there == csv(small(4))


def test_a_day_has_the_same_orders_whenever_the_history_starts() -> None:
    asked = ["order_id", "placed_at", "store_id", "customer_lat", "items", "temperature_c"]
    both = small(9, days=2).filter(pl.col("order_id").str.contains("20260804"))
    alone = small(9, start=datetime(2026, 8, 4, 12, tzinfo=UTC))
    assert both.select(asked).equals(alone.select(asked))


def test_clocks_that_change_leave_opening_hours_alone() -> None:
    zone = ZoneInfo("Europe/Helsinki")
    for start in (datetime(2026, 3, 28, 12, tzinfo=zone), datetime(2026, 10, 24, 12, tzinfo=zone)):
        frame = small(2, start=start, days=3)
        local = frame["placed_at"].dt.convert_time_zone("Europe/Helsinki")
        assert local.dt.date().n_unique() == 3
        assert local.dt.hour().is_between(10, 22).all()
        assert (local.dt.hour() == frame["hour_of_day"].floor().cast(pl.Int8)).all()


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("seed", -1),
        ("seed", 2**63),
        ("start", datetime(2026, 8, 3)),  # noqa: DTZ001
        ("start", datetime(1900, 1, 1, tzinfo=UTC)),
        ("days", 0),
        ("days", 10**9),
        ("orders_per_day", 0),
        ("orders_per_day", float("nan")),
        ("stores", 0),
    ],
)
def test_arguments_that_make_no_city_are_told(argument: str, value: object) -> None:
    arguments = {"seed": 1, "start": START, "days": 1, argument: value}
    with pytest.raises(InvalidInput) as caught:
        simulate_history(**arguments)  # type: ignore[arg-type]
    assert [problem.field for problem in caught.value.problems] == [argument]


def test_the_frame_is_written_and_read_alike(history: pl.DataFrame) -> None:
    buffer = io.BytesIO()
    history.head(100).write_parquet(buffer)
    buffer.seek(0)
    assert pl.read_parquet(buffer).equals(history.head(100))
