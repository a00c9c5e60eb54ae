"""Mappings are read exactly: each mistake is named by its path."""

import pytest

from foodex.core.errors import InvalidInput
from foodex.domain.mapping_toml import read_mapping
from foodex.domain.mappings import conversion, units_of

GOOD = """
time_zone = "Europe/Helsinki"
[fields]
placed_at = { column = "ts" }
delivery_minutes = { column = "took", unit = "seconds" }
"""


def problems(toml: str) -> dict[str, str]:
    with pytest.raises(InvalidInput) as caught:
        read_mapping(toml)
    return {problem.field: problem.message for problem in caught.value.problems}


def test_a_good_mapping_says_what_it_says() -> None:
    mapping = read_mapping(GOOD + '[extras]\nspice = { column = "Spice", kind = "number" }\n')
    assert mapping.time_zone == "Europe/Helsinki"
    assert [rule.name for rule in mapping.fields] == ["placed_at", "delivery_minutes"]
    assert mapping.columns == (
        ("ts", "fields.placed_at"),
        ("took", "fields.delivery_minutes"),
        ("Spice", "extras.spice"),
    )


@pytest.mark.parametrize(
    ("addition", "path", "told"),
    [
        ('plaecd_at = { column = "x" }', "fields.plaecd_at", "did you mean placed_at"),
        ('items = { colum = "x" }', "fields.items.colum", "did you mean column"),
        ('items = { column = 3 }', "fields.items.column", "needs a text, not 3"),
        ("items = 3", "fields.items", "needs a table"),
        ("items = {}", "fields.items", "exactly one origin"),
        ('items = { column = "x", unit = "kg" }', "fields.items.unit", "means nothing"),
        ('distance_km = { column = "x", unit = "mile" }', "fields.distance_km.unit", "miles"),
        ('accepted_at = { date = "x" }', "fields.accepted_at", "`date` and `time`"),
        ('accepted_at = { column = "x", formats = ["day"] }', "fields.accepted_at.formats",
         "'day'"),
        ('accepted_at = { column = "x", time_zone = "Mars" }', "fields.accepted_at.time_zone",
         "no IANA time zone"),
        ('accepted_at = { column = "x", not_before = "ready_at" }',
         "fields.accepted_at.not_before", "no mapped time field"),
        ('items = { column = "x", on_bad = "keep" }', "fields.items.on_bad", "reject, missing"),
        ('items = { column = "x", number_in_text = 1 }', "fields.items.number_in_text", "true"),
        ('day_of_week = { column = "x", numbering = "one" }', "fields.day_of_week.numbering",
         "sunday_0"),
        ('[extras]\nItems = { column = "x", kind = "number" }', "extras.Items", "small letters"),
        ('[extras]\nspice = { column = "x" }', "extras.spice.kind", "is missing"),
        ('[extras]\nrow_id = { column = "x", kind = "number" }', "extras.row_id", "extra"),
        ('[file]\ndelimiter = ";;"', "file.delimiter", "one ASCII character"),
        ('[file]\nencoding = "utf-9"', "file.encoding", "no known encoding"),
        ("[file]\nheader = false", "file.columns", "is needed"),
        ("[[skip_where]]\ncolumn = 'x'", "skip_where[0]", "`is` or `is_not`"),
        ("[feilds]", "feilds", "did you mean"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_by_its_path(addition: str, path: str, told: str) -> None:
    found = problems(GOOD + addition)
    assert told in found[path]
    assert len(found) == 1


def test_all_mistakes_are_told_at_once() -> None:
    assert set(problems(GOOD + 'a = {}\nitems = { colum = "x", column = "y" }')) == {
        "fields.a",
        "fields.items.colum",
    }


def test_what_is_required_is_asked_for() -> None:
    assert set(problems('time_zone = "UTC"')) == {"fields.placed_at", "fields.delivery_minutes"}


def test_hour_and_weekday_do_without_a_zone() -> None:
    toml = """[fields]
    hour_of_day = { column = "h" }
    day_of_week = { column = "d" }
    delivery_minutes = { column = "m" }"""
    assert read_mapping(toml).time_zone is None


def test_an_open_question_is_refused_in_plain_words() -> None:
    found = problems(GOOD.replace("Europe/Helsinki", "?"))
    assert "only you can answer this" in found["time_zone"]
    assert len(found) == 1


def test_local_times_without_a_zone_are_refused() -> None:
    toml = GOOD.replace('time_zone = "Europe/Helsinki"', "").replace(
        '{ column = "ts" }', '{ column = "ts", formats = ["%d.%m.%Y %H:%M"] }'
    )
    assert "carry no offset" in problems(toml)["time_zone"]


def test_broken_toml_is_no_traceback() -> None:
    assert "line" in problems("[fields]\nx = = 3")["mapping"]


@pytest.mark.parametrize(
    ("name", "unit", "given", "wanted"),
    [
        ("distance_km", "miles", 1.0, 1.609344),
        ("distance_km", "m", 250.0, 0.25),
        ("delivery_minutes", "seconds", 90.0, 1.5),
        ("delivery_minutes", "hours", 0.5, 30.0),
        ("temperature_c", "f", 50.0, 10.0),
        ("temperature_c", "k", 273.15, 0.0),
        ("wind_mps", "km/h", 36.0, 10.0),
        ("wind_mps", "mph", 10.0, 4.4704),
        ("cloud_cover", "percent", 40.0, 0.4),
        ("cloud_cover", "oktas", 4.0, 0.5),
        ("subtotal_minor", "major", 12.5, 1250.0),
    ],
)
def test_units(name: str, unit: str, given: float, wanted: float) -> None:
    assert unit in units_of(name)
    scale, offset = conversion(name, unit)
    assert given * scale + offset == pytest.approx(wanted, abs=1e-9)


def test_money_knows_its_currency() -> None:
    assert conversion("subtotal_minor", "major", "JPY") == (1.0, 0.0)
    assert conversion("subtotal_minor", "major", "KWD") == (1000.0, 0.0)
