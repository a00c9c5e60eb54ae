"""Every row is kept or rejected with its reason."""

from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foodex.domain.deliveries import MAX_DELIVERY_MINUTES
from foodex.domain.mapping_toml import read_mapping
from foodex.services.collector.applying import ROW, Applied, apply, columns_of

BASE = """
time_zone = "Europe/Helsinki"
[fields]
placed_at = { column = "ts" }
delivery_minutes = { column = "took" }
"""
NOON = "2020-08-01 12:00:00"


def applied(toml: str, *rows: dict[str, str | None]) -> Applied:
    names = dict.fromkeys(name for row in rows for name in row)
    frame = pl.DataFrame(
        {ROW: range(1, len(rows) + 1)} | {n: [row.get(n) for row in rows] for n in names},
        schema={ROW: pl.Int64} | dict.fromkeys(names, pl.String),
    )
    return apply(read_mapping(toml), frame)


def one(toml: str, **row: str | None) -> dict[str, Any]:
    result = applied(toml, {"ts": NOON, "took": "30", **row})
    assert result.rejected.is_empty(), result.rejected.to_dicts()
    return result.kept.to_dicts()[0]


def refused(toml: str, **row: str | None) -> dict[str, Any]:
    result = applied(toml, {"ts": NOON, "took": "30", **row})
    assert result.kept.is_empty()
    return result.rejected.to_dicts()[0]


def test_a_plain_row() -> None:
    row = one(BASE)
    assert row["placed_at"] == datetime(2020, 8, 1, 9, tzinfo=UTC)
    assert row["delivered_at"] == datetime(2020, 8, 1, 9, 30, tzinfo=UTC)
    assert row["delivery_minutes"] == 30.0


@pytest.mark.parametrize(
    ("line", "row", "rule", "field", "told"),
    [
        ("", {"ts": ""}, "missing_time", "placed_at", "missing"),
        ("", {"ts": "NaN "}, "missing_time", "placed_at", "missing"),
        ("", {"ts": "yesterday"}, "bad_time", "placed_at", "'yesterday' is no time"),
        ("", {"ts": "2020-02-30 10:00:00"}, "bad_time", "placed_at", "2020-02-30"),
        ("", {"ts": "0999-01-01 10:00:00"}, "bad_time", "placed_at", "0999"),
        ("", {"ts": "2021-03-28 03:30:00"}, "bad_time", "placed_at", "03:30"),
        ("", {"took": "-"}, "missing_duration", "delivery_minutes", "missing"),
        ("", {"took": "soon"}, "bad_number", "delivery_minutes", "'soon' is no number"),
        ("", {"took": "inf"}, "bad_number", "delivery_minutes", "'inf' is no number"),
        ("", {"took": "-5"}, "negative_duration", "delivery_minutes", "-5.0 minutes"),
        ("", {"took": "1441"}, "out_of_range", "delivery_minutes", "outside 0 to 1440 min"),
        ('store_lat = { column = "x" }', {"x": "999"}, "impossible_coordinate", "store_lat",
         "999.0 is outside -90 to 90"),
        ('cloud_cover = { column = "x" }', {"x": "75"}, "out_of_range", "cloud_cover", "75.0"),
        ('items = { column = "x" }', {"x": "many"}, "bad_number", "items", "'many'"),
        ('day_of_week = { column = "x" }', {"x": "Frieday1"}, "bad_weekday", "day_of_week", "Frie"),
        ('delivered_at = { column = "x" }', {"x": "2020-08-01 11:00:00"}, "negative_duration",
         "delivered_at", "before the order"),
    ],
)  # fmt: skip
def test_a_bad_value_names_rule_field_and_value(
    line: str, row: dict[str, str], rule: str, field: str, told: str
) -> None:
    found = refused(BASE + line, **row)
    assert (found["rule"], found["field"]) == (rule, field)
    assert told in found["reason"]
    assert found[ROW] == 1


def test_a_row_with_several_faults_is_one_rejection_that_tells_all() -> None:
    found = refused(BASE + 'items = { column = "x" }', ts="never", took="-3", x="?!")
    assert (found["rule"], found["field"]) == ("bad_time", "placed_at")
    for part in ("'never'", "'?!'", "-3.0 minutes"):
        assert part in found["reason"]


def test_a_value_that_is_not_needed_may_be_taken_for_missing() -> None:
    result = applied(
        BASE + 'items = { column = "x", on_bad = "missing" }',
        {"ts": NOON, "took": "30", "x": "many"},
        {"ts": NOON, "took": "30", "x": "-1"},
    )
    assert result.kept["items"].to_list() == [None, None]
    assert result.repaired == {"bad_number:items": 1, "out_of_range:items": 1}


@pytest.mark.parametrize(
    ("rule", "given_text", "field", "wanted"),
    [
        ('subtotal_minor = { column = "x", unit = "major" }', "€ 1,234.56", "subtotal_minor", None),
        ('subtotal_minor = { column = "x", unit = "major" }', "1,234.56", "subtotal_minor", 123456),
        ('subtotal_minor = { column = "x", unit = "major", number_in_text = true }', "€ 12.50",
         "subtotal_minor", 1250),
        ('distance_km = { column = "x", decimal = "," }', "1.234,5", "distance_km", None),
        ('distance_km = { column = "x", decimal = "," }', "3,25", "distance_km", 3.25),
        ('distance_km = { column = "x", unit = "miles" }', " 2 ", "distance_km", 3.218688),
        ('cloud_cover = { column = "x", unit = "percent" }', "40%", "cloud_cover", 0.4),
        ('weather_condition = { column = "x", strip = ["conditions "] }', "conditions Fog",
         "weather_condition", "Fog"),
        ('weather_condition = { column = "x", strip = ["conditions "] }', "conditions NaN",
         "weather_condition", None),
        ('city = { column = "x", values = { "Metropolitian" = "Metropolitan" } }', "Metropolitian",
         "city", "Metropolitan"),
        ('currency = { value = "EUR" }', "", "currency", "EUR"),
        ('day_of_week = { column = "x" }', "thursday", "day_of_week", 3),
        ('day_of_week = { column = "x", numbering = "sunday_1" }', "1", "day_of_week", 6),
        ('day_of_week = { column = "x", numbering = "monday_1" }', "Mon", "day_of_week", 0),
        ('hour_of_day = { column = "x" }', "17.5", "hour_of_day", 17.5),
        ('hour_of_day = { column = "x", time_formats = ["clock"] }', "5:30 pm", "hour_of_day",
         17.5),
        ('accepted_at = { column = "x", minutes_after = "placed_at" }', "1.5", "accepted_at",
         datetime(2020, 8, 1, 9, 1, 30, tzinfo=UTC)),
        ('accepted_at = { column = "x", time_zone = "UTC" }', "2020-08-01 09:02", "accepted_at",
         datetime(2020, 8, 1, 9, 2, tzinfo=UTC)),
    ],
)  # fmt: skip
def test_values(rule: str, given_text: str, field: str, wanted: Any) -> None:
    result = applied(BASE + rule, {"ts": NOON, "took": "30", "x": given_text})
    if wanted is None and not given_text.startswith("conditions"):
        if result.kept.is_empty():
            assert result.rejected["rule"][0] in ("bad_number", "out_of_range")
        else:
            assert result.kept[field][0] == pytest.approx(1234.5)
        return
    value = result.kept[field][0]
    assert value == (pytest.approx(wanted) if isinstance(wanted, float) else wanted)


def test_a_duration_may_be_written_as_a_clock() -> None:
    assert one(BASE.replace('"took" }', '"took", unit = "clock" }'), took="00:32:30") == {
        ROW: 1,
        "placed_at": datetime(2020, 8, 1, 9, tzinfo=UTC),
        "delivered_at": datetime(2020, 8, 1, 9, 32, 30, tzinfo=UTC),
        "delivery_minutes": 32.5,
    }


def test_of_time_end_and_duration_the_third_follows() -> None:
    by_end = BASE.replace("delivery_minutes", "delivered_at")
    assert one(by_end, took="2020-08-01 12:40:00")["delivery_minutes"] == 40.0
    assert refused(by_end, took="2020-08-01 11:40:00")["rule"] == "negative_duration"
    assert refused(by_end, took="2020-08-03 11:40:00")["rule"] == "out_of_range"
    assert refused(by_end, took="")["rule"] == "missing_duration"
    by_start = BASE.replace("placed_at", "delivered_at")
    assert one(by_start)["placed_at"] == datetime(2020, 8, 1, 8, 30, tzinfo=UTC)


def test_a_date_and_a_time_of_day_make_an_instant_and_midnight_is_crossed() -> None:
    toml = """
    time_zone = "Asia/Kolkata"
    [fields]
    placed_at = { date = "d", time = "t", date_formats = ["%d-%m-%Y"] }
    picked_up_at = { date = "d", time = "p", date_formats = ["%d-%m-%Y"], not_before = "placed_at" }
    delivery_minutes = { column = "took" }
    """
    row = {"d": "13-02-2022", "took": "30"}
    late = one(toml, **row, t="23:55", p="0.006944444")
    assert late["placed_at"] == datetime(2022, 2, 13, 18, 25, tzinfo=UTC)
    assert late["picked_up_at"] == datetime(2022, 2, 13, 18, 40, tzinfo=UTC)
    assert one(toml, **row, t="0.875", p="24:05:00")["placed_at"].hour == 15
    assert refused(toml, **row, t="", p="")["rule"] == "missing_time"
    assert refused(toml, **row, t="noonish", p="")["reason"] == (
        "'13-02-2022 noonish' is no time that can be read"
    )


def test_ambiguous_local_times_are_the_first_of_the_two() -> None:
    assert one(BASE, ts="2021-10-31 03:30:00")["placed_at"] == datetime(
        2021, 10, 31, 0, 30, tzinfo=UTC
    )


PLACES = """
store_lat = { column = "a" }
store_lon = { column = "b" }
customer_lat = { column = "c" }
customer_lon = { column = "d" }
"""


@pytest.mark.parametrize(
    ("row", "kept"),
    [
        ({"a": "60.1", "b": "24.9", "c": "60.2", "d": "24.8"}, [60.1, 24.9, 60.2, 24.8]),
        ({"a": "0.0", "b": "0.0", "c": "60.2", "d": "24.8"}, [None, None, 60.2, 24.8]),
        ({"a": "0", "b": "0", "c": "0.07", "d": "0.07"}, [None] * 4),
        ({"a": "-60.1", "b": "24.9", "c": "60.2", "d": "24.8"}, [None] * 4),
    ],
)
def test_doubtful_places_are_missing_unless_the_mapping_says_otherwise(
    row: dict[str, str], kept: list[float | None]
) -> None:
    names = ["store_lat", "store_lon", "customer_lat", "customer_lon"]
    found = one(BASE + PLACES, **row)
    assert [found[name] for name in names] == kept
    if None in kept:
        strict = 'doubtful_coordinates = "reject"\n' + BASE + PLACES
        assert refused(strict, **row)["rule"] == "doubtful_coordinate"
        free = 'doubtful_coordinates = "keep"\n' + BASE + PLACES
        assert [one(free, **row)[name] for name in names] == [float(v) for v in row.values()]


def test_impossible_places_can_be_taken_for_missing() -> None:
    toml = 'impossible_coordinates = "missing"\n' + BASE + PLACES
    found = one(toml, a="95", b="24.9", c="60.2", d="24.8")
    assert (found["store_lat"], found["store_lon"]) == (None, 24.9)


def test_rows_can_be_left_out() -> None:
    skip = '[[skip_where]]\ncolumn = "state"\nis = ["cancelled"]\n'
    assert refused(BASE + skip, state="cancelled")["rule"] == "skipped"
    assert one(BASE + skip, state="done")
    only = '[[skip_where]]\ncolumn = "state"\nis_not = ["done"]\n'
    assert refused(BASE + only, state=None)["rule"] == "skipped"


def test_extras_that_are_no_numbers_are_told() -> None:
    toml = BASE + '[extras]\nspice = { column = "x", kind = "number" }\n'
    assert one(toml, x="3")["spice"] == 3.0
    assert refused(toml, x="hot")["field"] == "spice"


cell = st.one_of(
    st.none(),
    st.sampled_from(["", "NaN", "0", "-1", "30", "1e9", "inf", NOON, "2021-03-28 03:30", "24:00"]),
    st.text(max_size=12),
    st.floats().map(str),
)


@given(
    st.lists(st.fixed_dictionaries(dict.fromkeys(("ts", "took", "a", "b", "c", "d", "x"), cell)))
)
def test_counts_add_up_and_only_sound_rows_are_kept(rows: list[dict[str, str | None]]) -> None:
    toml = BASE + PLACES + 'delivered_at = { column = "x" }\n'
    result = applied(toml, *rows)
    assert len(result.kept) + len(result.rejected) == len(rows)
    assert sorted([*result.kept[ROW], *result.rejected[ROW]]) == list(range(1, len(rows) + 1))
    assert result.kept["placed_at"].null_count() == 0
    assert result.kept["delivery_minutes"].is_between(0, MAX_DELIVERY_MINUTES).all()
    assert list(columns_of(read_mapping(toml))) == result.kept.columns[1:]
    # A row is judged by itself alone.
    for number, row in enumerate(rows[:3], start=1):
        alone = applied(toml, row)
        assert len(alone.kept) == (number in result.kept[ROW].to_list())
