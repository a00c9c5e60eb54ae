"""A mapping through its form and back: what is chosen is what is written."""

from typing import Any

import pytest

from foodex.core.errors import BadRequest, InvalidInput
from foodex.domain.deliveries import FIELD
from foodex.domain.mapping_toml import read_mapping
from foodex.domain.mappings import units_of
from foodex.services.dashboard import mapping_forms as forms
from foodex.services.dashboard.catalogue import read

TOML = """
time_zone = "?"
[fields]
order_id = { column = "Nr" }
placed_at = { column = "Ordered", formats = ["%d.%m.%Y %H:%M:%S%.f"] }
delivered_at = { date = "Day", time = "Clock", date_formats = ["iso"], not_before = "placed_at" }
delivery_minutes = { column = "Took (s)", unit = "seconds", number_in_text = true }
[extras]
channel = { column = "App", kind = "category" }
[[skip_where]]
column = "State"
is = ["cancelled"]
"""
FACTS = forms.Facts(
    columns={
        "Nr": ("1", "2"),
        "Ordered": ("02.03.2026 18:42:00", ""),
        "When": ("03/31/2026 18:42", "03/30/2026 08:01"),
        "Day": ("2026-03-02", "2026-03-02"),
        "Clock": ("19:15", "20:15"),
        "Took (s)": ("about 1980", "about 2000"),
        "App": ("ios", "web"),
        "State": ("ok", "cancelled"),
        "Rating": ("5", "4"),
    },
    sure={"order_id": 0.97, "placed_at": 0.5},
    doubts={"Ordered": "%d.%m.%Y or %m.%d.%Y? both can read every value"},
)


def given(**changes: str) -> dict[str, str]:
    """What the form sends when nothing is touched, with changes; `__` stands for a dot."""
    table = forms.table_of(TOML)
    said: dict[str, str] = {"zone": forms.zone_of(table), "written_in": "", "skips": "1"}
    said["skip.0"] = "1"
    for one in forms.choices(table, FACTS):
        said[f"column.{one.name}"] = one.column
        if one.column and one.kind == "time":
            said |= {f"format.{one.name}": one.formats, f"clock.{one.name}": one.clock}
            if one.clock:
                said[f"clock_format.{one.name}"] = one.clock_formats
        elif one.units:
            said[f"unit.{one.name}"] = one.unit
    said |= {f"extra.{one.number}": one.kind for one in forms.others(table, FACTS)}
    return said | {name.replace("__", "."): value for name, value in changes.items()}


def chosen(**changes: str) -> dict[str, Any]:
    return forms.chosen(forms.table_of(TOML), given(**changes), FACTS)


def test_what_nobody_touched_stays_as_it_was() -> None:
    made = chosen()
    assert made["time_zone"] == "?"
    assert made["fields"] == forms.table_of(TOML)["fields"] | {
        "delivered_at": {
            "date": "Day",
            "time": "Clock",
            "date_formats": ["iso"],
            "time_formats": ["clock"],
            "not_before": "placed_at",
        }
    }
    assert made["extras"] == {"channel": {"column": "App", "kind": "category"}}
    assert made["skip_where"] == [{"column": "State", "is": ["cancelled"]}]
    with pytest.raises(InvalidInput, match="where does the business live"):
        read_mapping(forms.toml_of(made))


def test_an_answered_zone_makes_it_a_mapping() -> None:
    made = chosen(zone="Europe/Berlin", written_in="UTC")
    mapping = read_mapping(forms.toml_of(made))
    assert mapping.time_zone == "Europe/Berlin"
    assert {rule.time_zone for rule in mapping.fields if rule.kind == "time"} == {"UTC"}
    assert forms.written_in(made) == "UTC"


def test_another_column_forgets_what_was_found_out_of_the_first() -> None:
    fields = chosen(column__placed_at="When", column__delivery_minutes="Nr")["fields"]
    assert fields["placed_at"] == {"column": "When", "formats": ["%m/%d/%Y %H:%M"]}
    assert fields["delivery_minutes"] == {"column": "Nr", "unit": "seconds"}
    # Its own unit needs no word.
    fields = chosen(unit__delivery_minutes="minutes")["fields"]
    assert fields["delivery_minutes"] == {"column": "Took (s)", "number_in_text": True}


def test_fields_that_are_given_up_are_referred_to_no_more() -> None:
    fields = chosen(column__placed_at="")["fields"]
    assert "placed_at" not in fields
    assert "not_before" not in fields["delivered_at"]


def test_other_columns_are_kept_or_left_out() -> None:
    others = {one.column: one for one in forms.others(forms.table_of(TOML), FACTS)}
    assert {name: one.kind for name, one in others.items()} == {
        "When": "",
        "App": "category",
        "State": "",
        "Rating": "",
    }
    rating, app = others["Rating"].number, others["App"].number
    made = chosen(**{f"extra__{rating}": "number", f"extra__{app}": ""}, skip__0="")
    assert made["extras"] == {"rating": {"column": "Rating", "kind": "number"}}
    assert "skip_where" not in made
    # A column that now feeds a field is no extra beside it.
    assert "extras" not in chosen(column__order_type="App")


def test_rows_of_the_form_say_what_is_sure_and_what_is_not() -> None:
    rows = {one.name: one for one in forms.choices(forms.table_of(TOML), FACTS)}
    assert list(rows) == list(FIELD)
    assert (rows["order_id"].sure, rows["order_id"].is_mapped) == (0.97, True)
    assert rows["placed_at"].doubts_day_or_month
    assert not rows["placed_at"].is_day_only
    assert rows["delivered_at"].samples == ("2026-03-02 + 19:15", "2026-03-02 + 20:15")
    assert not rows["city"].is_mapped
    gone = forms.choices({"fields": {"city": {"column": "Town"}}}, FACTS)
    assert next(one for one in gone if one.name == "city").unknown_column
    assert forms.example_of("%d.%m.%Y %H:%M:%S%.f") == "31.03.2026 18:05:30"


def test_names_are_made_plain_and_do_not_meet() -> None:
    assert forms.plain_name("Überkatalog 1") == "berkatalog_1"
    assert forms.plain_name("1. Nr") == "column_1_nr"
    assert forms.plain_name("items", FIELD) == "items_2"
    assert forms.plain_name("…") == "column"


def test_what_cannot_be_read_is_said() -> None:
    with pytest.raises(InvalidInput, match="not valid TOML"):
        forms.table_of("fields = ")
    with pytest.raises(BadRequest):
        forms.read_facts("{")


@pytest.mark.parametrize("language", ["en", "ru"])
def test_every_field_unit_and_format_has_words(language: str) -> None:
    texts = read(language)
    needed = [f"data.{kind}.{name}" for kind in ("field", "about") for name in FIELD]
    needed += [f"data.unit.{u.replace('/', '_')}" for name in FIELD for u in units_of(name)]
    offered = [
        forms.formats_to_choose("placed_at", "", clock=clock, part=part)
        for clock, part in ((False, ""), (True, ""), (True, "clock"))
    ]
    needed += [f"data.format.{name}" for one in offered for name, example in one if not example]
    needed += [f"data.numbering.{name}" for name in forms.numberings()]
    assert [key for key in needed if key not in texts] == []
