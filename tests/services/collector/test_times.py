"""Times in the ways that people write them."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foodex.services.collector.times import clocks, days, instants

HELSINKI = ZoneInfo("Europe/Helsinki")
moments = st.datetimes(
    datetime(1991, 1, 1),  # noqa: DTZ001
    datetime(2099, 12, 31),  # noqa: DTZ001
)


def instant(text: str, *formats: str, zone: str | None = "Europe/Helsinki") -> datetime | None:
    found: datetime | None = instants(pl.Series([text]), formats, zone)[0]
    return found


@pytest.mark.parametrize(
    ("text", "formats"),
    [
        ("2020-08-01 12:30:00", ()),
        ("2020-08-01T12:30", ()),
        ("2020-08-01 12:30:00.000", ()),
        ("2020-08-01T09:30:00Z", ()),
        ("2020-08-01 09:30:00 UTC", ()),
        ("2020-08-01T12:30:00+03:00", ()),
        ("2020-08-01T12:30:00.000+0300", ()),
        ("2020-08-01 12:30:00 +03", ()),
        ("2020-08-01T12:30+03:00", ()),
        ("01-08-2020 12:30", ("%d-%m-%Y %H:%M",)),
        ("08/01/20 12:30 PM", ("iso", "%m/%d/%y %I:%M %p")),
        ("1596274200", ("epoch_s",)),
        ("1596274200000", ("epoch_ms",)),
        ("1596274200.0", ("epoch_s",)),
        ("44044.520833333", ("excel_days",)),
        ("01/Aug/2020:12:30:00 +0300", ("%d/%b/%Y:%H:%M:%S %z",)),
    ],
)
def test_instants(text: str, formats: tuple[str, ...]) -> None:
    assert instant(text, *formats) == datetime(2020, 8, 1, 9, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    "text", ["2020-08-01", "12:30", "", "1596274200", "2020-13-01 00:00", "2020-08-01 25:00:00"]
)
def test_what_is_no_instant(text: str) -> None:
    assert instant(text) is None


@pytest.mark.parametrize("text", ["1596274200000", "-1", "1e300", "nan", "12"])
def test_seconds_of_no_sensible_year_are_no_instant(text: str) -> None:
    assert instant(text, "epoch_s") is None


def test_without_a_zone_only_offsets_count() -> None:
    assert instant("2020-08-01 12:30:00", zone=None) is None
    assert instant("2020-08-01 12:30:00+03:00", zone=None) == datetime(
        2020, 8, 1, 9, 30, tzinfo=UTC
    )


@given(moments)
def test_any_local_time_is_what_the_zone_database_says(moment: datetime) -> None:
    moment = moment.replace(fold=0)
    found = instant(moment.isoformat(" ", "microseconds"))
    aware = moment.replace(tzinfo=HELSINKI)
    exists = aware.astimezone(UTC).astimezone(HELSINKI).replace(tzinfo=None) == moment
    assert found == (aware.astimezone(UTC) if exists else None)


@given(moments, st.integers(-14 * 60, 14 * 60))
def test_an_offset_is_believed(moment: datetime, offset_minutes: int) -> None:
    sign = "-" if offset_minutes < 0 else "+"
    hours, minutes = divmod(abs(offset_minutes), 60)
    text = f"{moment.isoformat('T', 'seconds')}{sign}{hours:02}:{minutes:02}"
    wanted = moment.replace(tzinfo=UTC, microsecond=0) - timedelta(minutes=offset_minutes)
    assert instant(text, zone=None) == wanted


@given(st.times())
def test_a_time_of_day_in_any_form(moment: time) -> None:
    seconds = moment.hour * 3600 + moment.minute * 60 + moment.second
    texts = [
        moment.strftime("%H:%M:%S"),
        f"{moment.hour}:{moment.minute:02}:{moment.second:02}",
        moment.strftime("%I:%M:%S %p"),
        repr(seconds / 86_400),
        f"{seconds / 86_400:.9f}",
    ]
    assert clocks(pl.Series(texts), ()).to_list() == [seconds * 1_000_000] * len(texts)


@pytest.mark.parametrize(
    ("text", "minutes"),
    [
        ("24:10", 24 * 60 + 10),
        ("29:59", 29 * 60 + 59),
        ("1", 24 * 60),
        ("0", 0),
        ("12:05 am", 5),
        ("12.05 PM", 12 * 60 + 5),
        ("7h45", 7 * 60 + 45),
    ],
)
def test_odd_times_of_day(text: str, minutes: int) -> None:
    assert clocks(pl.Series([text]), ())[0] == minutes * 60_000_000


@pytest.mark.parametrize(
    "text", ["30:00", "12:60", "13:00 pm", "1.5", "noon", "-0.1", "1:2:3:4", "17.15"]
)
def test_what_is_no_time_of_day(text: str) -> None:
    assert clocks(pl.Series([text]), ())[0] is None


def test_decimal_hours_and_dates() -> None:
    assert clocks(pl.Series(["17.5"]), ("decimal_hour",))[0] == 17.5 * 3.6e9
    texts = pl.Series(["13-02-2022", "2022-02-13 00:00:00", "44605", "30-02-2022", "13-02-22"])
    assert days(texts, ("%d-%m-%Y", "iso", "excel_days")).to_list() == [
        *[date(2022, 2, 13)] * 3,
        None,
        None,
    ]
