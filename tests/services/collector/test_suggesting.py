"""Suggestions for exports that nobody has described."""

import random
import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from foodex.core.errors import InvalidInput
from foodex.domain.mapping_toml import read_mapping
from foodex.domain.mappings import FileRule, RecordMapping, Suggestion
from foodex.services.collector.applying import ROW, apply
from foodex.services.collector.naming import by_name
from foodex.services.collector.opening import Limits
from foodex.services.collector.sampling import suggestion_for

COUNT = 400
rng = random.Random(5)
START = datetime(2024, 1, 10)  # noqa: DTZ001
MOMENTS = sorted(START + timedelta(minutes=rng.randrange(60 * 24 * 50)) for _ in range(COUNT))
MINUTES = [max(8, round(rng.gauss(35, 9))) for _ in range(COUNT)]
ENDS = [moment + timedelta(minutes=took) for moment, took in zip(MOMENTS, MINUTES, strict=True)]


def stamp(moments: Sequence[datetime], pattern: str) -> list[str]:
    return [moment.strftime(pattern) for moment in moments]


def pick(*values: Any) -> list[Any]:
    return [rng.choice(values) for _ in range(COUNT)]


def suggested(tmp_path: Path, columns: dict[str, Any], separator: str = ",") -> Suggestion:
    path = tmp_path / "export.csv"
    pl.DataFrame(columns, strict=False).write_csv(path, separator=separator)
    return suggestion_for(path, FileRule(), Limits())


def answered(suggestion: Suggestion) -> RecordMapping:
    return read_mapping(suggestion.toml.replace('time_zone = "?"', 'time_zone = "Europe/Berlin"'))


def columns_of(mapping: RecordMapping) -> dict[str, Any]:
    return {rule.name: rule.columns[-1] for rule in mapping.fields}


def test_a_marketplace_export_with_two_instants(tmp_path: Path) -> None:
    suggestion = suggested(
        tmp_path,
        {
            "market_id": pick("1.0", "2.0", "NA"),
            "created_at": stamp(MOMENTS, "%Y-%m-%d %H:%M:%S"),
            "actual_delivery_time": stamp(ENDS, "%Y-%m-%d %H:%M:%S"),
            "store_id": pick("a1", "b2", "c3"),
            "store_primary_category": pick("thai", "pizza"),
            "total_items": pick(1, 2, 3),
            "subtotal": [rng.randrange(700, 6000) for _ in range(COUNT)],
            "total_onshift_couriers": pick(-1, 5, 9, 12, 14, 18, 20, 25, 30),
            "estimated_store_to_consumer_driving_duration": [
                rng.randrange(100, 1100) for _ in range(COUNT)
            ],
        },
    )
    mapping = answered(suggestion)
    assert columns_of(mapping) == {
        "city": "market_id",
        "store_id": "store_id",
        "placed_at": "created_at",
        "delivered_at": "actual_delivery_time",
        "store_category": "store_primary_category",
        "items": "total_items",
        "subtotal_minor": "subtotal",
        "travel_minutes_estimate": "estimated_store_to_consumer_driving_duration",
        "couriers_on_shift": "total_onshift_couriers",
    }
    units = {rule.name: rule.unit for rule in mapping.fields}
    assert units["travel_minutes_estimate"] == "seconds"
    assert units["subtotal_minor"] == "minor"
    assert any("cents" in question for question in suggestion.questions)
    on_shift = mapping.rule("couriers_on_shift")
    assert on_shift is not None
    assert on_shift.on_bad == "missing"


def test_a_european_till_with_commas_and_two_columns_for_time(tmp_path: Path) -> None:
    suggestion = suggested(
        tmp_path,
        {
            "Order date": stamp(MOMENTS, "%d.%m.%Y"),
            "Order time": stamp(MOMENTS, "%H:%M"),
            "Delivered at": stamp(ENDS, "%H:%M"),
            "Restaurant": pick("Da Mario", "Wok"),
            "Distance (km)": [f"{rng.uniform(0.5, 6):.2f}".replace(".", ",") for _ in MINUTES],
            "Total": [f"€ {rng.uniform(9, 60):.2f}".replace(".", ",") for _ in MINUTES],
            "Promised minutes": pick(25, 30, 40, 45),
            "Late": ["yes" if took > 38 else "no" for took in MINUTES],
            "Status": pick(*["delivered"] * 19, "cancelled"),
        },
        ";",
    )
    mapping = answered(suggestion)
    assert mapping.file.delimiter == ";"
    placed, ended = mapping.rule("placed_at"), mapping.rule("delivered_at")
    assert placed is not None
    assert ended is not None
    assert (placed.date, placed.time, placed.date_formats) == (
        "Order date", "Order time", ("%d.%m.%Y",),
    )  # fmt: skip
    assert (ended.time, ended.not_before) == ("Delivered at", "placed_at")
    assert mapping.skip[0].values == ("cancelled",)
    assert "Late" not in {rule.column for rule in mapping.extras}
    frame = pl.read_csv(tmp_path / "export.csv", separator=";", infer_schema=False)
    result = apply(mapping, frame.with_row_index(ROW, 1).cast({ROW: pl.Int64}))
    assert set(result.rejected["rule"]) == {"skipped"}
    assert result.kept["subtotal_minor"].is_between(900, 6000).all()
    assert result.kept["delivery_minutes"].is_between(7, 90).all()


def test_dirt_of_the_usual_kinds(tmp_path: Path) -> None:
    mapping = answered(
        suggested(
            tmp_path,
            {
                "ID": [f"0x{n:04x} " for n in range(COUNT)],
                "Order_Date": stamp(MOMENTS, "%d-%m-%Y"),
                "Time_Orderd": [
                    "NaN " if n % 20 == 0 else f"{(m.hour * 60 + m.minute) / 1440:.9f}"
                    if n % 9 == 0 else m.strftime("%H:%M:%S")
                    for n, m in enumerate(MOMENTS)
                ],
                "Weatherconditions": pick("conditions Sunny", "conditions Fog", "conditions NaN"),
                "Road_traffic_density": pick("Low ", "Jam ", "NaN "),
                "Time_taken(min)": [f"(min) {took}" for took in MINUTES],
            },
        )
    )  # fmt: skip
    assert columns_of(mapping) == {
        "order_id": "ID",
        "placed_at": "Time_Orderd",
        "weather_condition": "Weatherconditions",
        "traffic_level": "Road_traffic_density",
        "delivery_minutes": "Time_taken(min)",
    }
    frame = pl.read_csv(tmp_path / "export.csv", infer_schema=False)
    result = apply(mapping, frame.with_row_index(ROW, 1).cast({ROW: pl.Int64}))
    assert dict(result.rejected["rule"].value_counts().iter_rows()) == {"missing_time": 20}
    assert set(result.kept["weather_condition"].drop_nulls()) == {"Sunny", "Fog"}
    assert result.kept["delivery_minutes"].to_list()[:3] == MINUTES[1:4]


def test_columns_that_tell_the_outcome_are_left_out(tmp_path: Path) -> None:
    promised = pick(20, 30, 40)
    first = [rng.randrange(2, took - 2) for took in MINUTES]
    suggestion = suggested(
        tmp_path,
        {
            "ts": stamp(MOMENTS, "%Y-%m-%dT%H:%M:%SZ"),
            "deliverySeconds": [took * 60 for took in MINUTES],
            "promisedMinutes": promised,
            "x1": [took - said for took, said in zip(MINUTES, promised, strict=True)],
            "x2": [took * 2 + 3 for took in MINUTES],
            "leg_a": first,
            "leg_b": [took - part for took, part in zip(MINUTES, first, strict=True)],
            "speed_class": ["slow" if t > 42 else "fast" if t < 28 else "usual" for t in MINUTES],
            "customerRating": pick(1, 5),
            "tables": pick(1, 2, 3),
            "kitchen": pick("a", "b"),
        },
    )
    mapping = answered(suggestion)
    assert {rule.column for rule in mapping.extras} <= {"tables", "speed_class"}
    assert "tables" in {rule.column for rule in mapping.extras}
    told = {guess.column: guess.reason for guess in suggestion.guesses}
    assert "adds up to the outcome" in told["x1"]
    assert "up and down" in told["x2"]
    assert "adds up" in told["leg_a"]
    assert mapping.time_zone == "UTC"


def test_hour_weekday_and_a_family_of_counts(tmp_path: Path) -> None:
    suggestion = suggested(
        tmp_path,
        {
            "time_to_delivery": [took + rng.random() for took in MINUTES],
            "hour": [round(11 + 9 * rng.random(), 3) for _ in MINUTES],
            "day": pick("Mon", "Tue", "Sun"),
            "distance": [round(rng.uniform(1, 8), 2) for _ in MINUTES],
            **{f"dish_{n:02}": pick(0, 0, 1, 2) for n in range(1, 6)},
            "split": pick("train", "validation"),
        },
    )
    mapping = read_mapping(suggestion.toml)
    assert columns_of(mapping) == {
        "hour_of_day": "hour",
        "day_of_week": "day",
        "distance_km": "distance",
        "delivery_minutes": "time_to_delivery",
    }
    kinds = {rule.name: str(rule.kind) for rule in mapping.extras}
    assert kinds == {**{f"dish_{n:02}": "number" for n in range(1, 6)}, "split": "category"}
    assert any("miles" in question for question in suggestion.questions)


@pytest.mark.parametrize(
    ("pattern", "wanted"),
    [
        ("%Y-%m-%d %H:%M:%S", "iso"),
        ("%d/%m/%Y %H:%M", "%d/%m/%Y %H:%M"),
        ("%m/%d/%Y %I:%M %p", "%m/%d/%Y %I:%M %p"),
        ("%m/%d/%y %H:%M", "%m/%d/%y %H:%M"),
        ("%d.%m.%Y, %H:%M:%S", "%d.%m.%Y, %H:%M:%S%.f"),
        ("%b %d, %Y %I:%M %p", "%b %d, %Y %I:%M %p"),
        ("%s", "epoch_s"),
    ],
)
def test_formats_of_time(tmp_path: Path, pattern: str, wanted: str) -> None:
    suggestion = suggested(tmp_path, {"ordered": stamp(MOMENTS, pattern), "minutes": MINUTES})
    rule = answered(suggestion).rule("placed_at")
    assert rule is not None
    assert rule.formats == (wanted,)


def test_day_and_month_that_could_be_swapped_are_a_question(tmp_path: Path) -> None:
    early = [datetime(2024, 1 + n % 3, 1 + n % 12, 12, n % 60) for n in range(100)]  # noqa: DTZ001
    columns = {"order time": stamp(early, "%d/%m/%Y %H:%M"), "minutes": MINUTES[:100]}
    assert any("%m/%d/%Y" in question for question in suggested(tmp_path, columns).questions)


def test_the_zone_is_asked_and_never_guessed(tmp_path: Path) -> None:
    columns = {"order time": stamp(MOMENTS, "%Y-%m-%d %H:%M"), "minutes": MINUTES}
    suggestion = suggested(tmp_path, columns)
    assert "time zone" in suggestion.questions[0]
    with pytest.raises(InvalidInput, match="only you can answer"):
        read_mapping(suggestion.toml)


def test_what_is_missing_is_a_question(tmp_path: Path) -> None:
    suggestion = suggested(tmp_path, {"name": pick("a", "b"), "colour": pick("red", "blue")})
    assert len(suggestion.questions) == 2
    with pytest.raises(InvalidInput, match="is required"):
        read_mapping(suggestion.toml)


def test_a_file_without_header_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("2024-01-10 12:00,31,4.5\n2024-01-10 12:09,22,1.5\n")
    suggestion = suggestion_for(path, FileRule(), Limits())
    assert 'columns = ["column_1", "column_2", "column_3"]' in suggestion.toml


def test_awkward_names_make_sound_toml(tmp_path: Path) -> None:
    columns = {'the "order" time\\': stamp(MOMENTS, "%Y-%m-%d %H:%M"), "took\tminutes": MINUTES}
    mapping = answered(suggested(tmp_path, {**columns, "ÄÖ %$": pick(1, 2), "2nd": pick(1, 2)}))
    assert {rule.name for rule in mapping.extras} == {"column", "c_2nd"}


NAMES = """
order_id: OrderID order_no orderNumber order_uuid
store_id: restaurant_id vendorId MERCHANT_ID shop_code
courier_id: rider_id driverId dasher_id courier_uuid
placed_at: order_time orderPlacedAt ordered_at created_at order_created_timestamp
delivered_at: delivered_at deliveredTime order_delivered_at actual_delivery_time
picked_up_at: picked_up_at pickedUpAt order_picked_time
store_lat: restaurant_latitude pickup_lat VENUE_LAT originLat
customer_lon: dropoff_lng customer_longitude USER_LONG destLon
distance_km: distance distance_km trip_distance_miles haversine_distance
items: item_count num_items total_items itemCount
subtotal_minor: subtotal order_value basket_value order_total_price
delivery_minutes: delivery_minutes time_taken delivery_duration deliverySeconds Delivery_Time_min
own_estimate_minutes: eta_minutes promised_minutes estimated_delivery_minutes quotedMinutes
temperature_c: temperature temp_c air_temperature
couriers_on_shift: couriers_on_shift onshift_riders available_drivers
orders_open: open_orders outstanding_orders activeOrders
"""


@pytest.mark.parametrize(
    ("field", "name"),
    [(field, name) for field, names in re.findall(r"(\w+): (.+)", NAMES) for name in names.split()],
)
def test_names_in_several_conventions(field: str, name: str) -> None:
    scores = by_name(name)
    assert max(scores, key=lambda key: scores[key]) == field, scores
