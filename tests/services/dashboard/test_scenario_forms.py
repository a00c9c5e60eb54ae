"""Forms from schemas: every scenario has one, and what is typed arrives in the schema's shape."""

import pytest

from foodex.core.errors import FieldProblem
from foodex.services.dashboard.catalogue import LANGUAGES, read
from foodex.services.dashboard.scenario_forms import (
    Field,
    by_field,
    fields_of,
    wanted_names,
)
from foodex.services.dashboard.scenario_forms import (
    read as read_form,
)
from foodex.services.gateway.scenario import Scenario
from foodex.services.gateway.scenarios import found_scenarios

KNOWN = {
    "datasets": ("orders",),
    "versions": ("eta:1", "eta:2"),
    "models": ("eta",),
    "fields": ("items", "distance_km"),
    "sources": (),
    "mappings": ("export",),
}
SCHEMA = {
    "properties": {
        "count": {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "null"}]},
        "share": {"type": "number", "maximum": 0.95},
        "since": {"type": "string", "format": "date-time"},
        "sure": {"type": "boolean", "default": False},
        "names": {"type": "array", "items": {"type": "string"}},
        "kind": {"anyOf": [{"$ref": "#/$defs/Kind"}, {"type": "null"}], "default": None},
        "order": {"type": "object", "examples": [{"store_id": "s", "items": 3}]},
    },
    "required": ["share", "order"],
    "$defs": {"Kind": {"enum": ["a", "b"], "type": "string"}},
}


def test_each_field_is_of_the_kind_that_its_schema_says() -> None:
    fields = {field.name: field for field in fields_of(SCHEMA, {})}
    kinds = {name: field.kind for name, field in fields.items()}
    assert kinds == {
        "count": "whole",
        "share": "number",
        "since": "moment",
        "sure": "flag",
        "names": "many",
        "kind": "one",
        "order": "pairs",
    }
    assert fields["count"].low == 1
    assert fields["share"].high == 0.95
    assert fields["share"].required
    assert fields["kind"].choices == ("a", "b")


def test_what_is_typed_arrives_in_the_schemas_shape() -> None:
    pairs = [
        ("_zone", "Europe/Helsinki"),
        ("count", "12"),
        ("share", "0,5"),
        ("since", "2026-03-01T08:30"),
        ("sure", "false"),
        ("sure", "true"),
        ("names", "a, b"),
        ("names", "c"),
        ("kind", ""),
        ("order.store_id", "17"),
        ("order.items", "4"),
        ("order:name", "courier_id"),
        ("order:value", "9"),
        ("order:name", "rain"),
        ("order:value", "1.5"),
        ("order:name", ""),
        ("order:value", "lost"),
    ]
    assert read_form(fields_of(SCHEMA, {}), pairs) == {
        "count": 12,
        "share": 0.5,
        "since": "2026-03-01T08:30:00+02:00",
        "sure": True,
        "names": ["a", "b", "c"],
        "order": {"store_id": "17", "items": 4, "courier_id": "9", "rain": 1.5},
    }


def test_what_cannot_be_read_is_left_to_the_api_to_refuse() -> None:
    pairs = [("count", "many"), ("since", "yesterday"), ("_zone", "../etc"), ("share", "inf")]
    found = read_form(fields_of(SCHEMA, {}), pairs)
    assert found == {"count": "many", "since": "yesterday", "share": "inf"}


def test_nothing_typed_is_nothing_given() -> None:
    assert read_form(fields_of(SCHEMA, {}), []) == {}


def test_problems_go_to_their_fields() -> None:
    fields = fields_of(SCHEMA, {})
    at, others = by_field(
        fields,
        [
            FieldProblem("count", "is too small"),
            FieldProblem("order.items", "is -3"),
            FieldProblem("order", "is empty"),
            FieldProblem("names.0", "is wrong"),
            FieldProblem("parameters", "nothing is changed"),
        ],
    )
    assert at == {
        "count": "is too small",
        "order": "items: is -3; is empty",
        "names": "is wrong",
    }
    assert [one.field for one in others] == ["parameters"]


def test_an_example_fills_a_form_but_for_its_time() -> None:
    field = Field(
        name="order",
        kind="pairs",
        title="Order",
        description="",
        required=True,
        example={"items": 3, "placed_at": "2026-03-06T18:42:00+02:00"},
    )
    assert field.rows(None) == [
        ("items", "3", "3"),
        ("placed_at", "", "2026-03-06T18:42:00+02:00"),
    ]
    assert field.rows({"items": 5, "rain": 1}) == [
        ("items", "5", "3"),
        ("placed_at", "", "2026-03-06T18:42:00+02:00"),
        ("rain", "1", ""),
    ]


@pytest.mark.parametrize("scenario", found_scenarios().values(), ids=lambda one: one.name)
def test_every_scenario_has_a_form_in_every_language(scenario: Scenario) -> None:  # type: ignore[type-arg]
    schema = scenario.describe().parameters
    assert wanted_names(schema) <= set(KNOWN)
    fields = fields_of(schema, KNOWN)
    assert {field.name for field in fields} == set(schema["properties"])
    for field in fields:
        if field.kind == "text":
            # What names something there is can be chosen.
            assert field.names_of in ("", *(n for n in KNOWN if field.or_new)), field
    for language in LANGUAGES:
        texts = read(language)
        assert f"scenarios.of.{scenario.name}.title" in texts
        for field in fields:
            assert f"scenarios.field.{field.name}" in texts
            assert f"scenarios.hint.{scenario.name}.{field.name}" in texts
