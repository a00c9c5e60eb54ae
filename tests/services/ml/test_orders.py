"""Orders and deliveries from outside: taken as they should be, or told what is wrong."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from foodex.core.errors import InvalidInput
from foodex.domain.deliveries import FIELD, Kind
from foodex.domain.deliveries import ORDERS_AHEAD as AHEAD
from foodex.services.ml.orders import Rules

NOW = datetime(2026, 3, 6, 12, tzinfo=UTC)
RULES = Rules({"spice": Kind.NUMBER, "gift": Kind.CATEGORY})


def problems(order: dict[str, Any]) -> dict[str, str]:
    with pytest.raises(InvalidInput) as caught:
        RULES.order(order, NOW)
    return {problem.field: problem.message for problem in caught.value.problems}


def test_an_order_is_taken() -> None:
    found = RULES.order(
        {
            "order_id": 17,
            "placed_at": "2026-03-06T13:30:00+02:00",
            "items": 3,
            "subtotal_minor": 1200.0,
            "spice": 2,
            "gift": True,
            "city": "",
            "vehicle": None,
        },
        NOW,
    )
    assert found == {
        "order_id": "17",
        "placed_at": datetime(2026, 3, 6, 11, 30, tzinfo=UTC),
        "items": 3.0,
        "subtotal_minor": 1200,
        "spice": 2.0,
        "gift": "true",
    }
    assert type(found["subtotal_minor"]) is int


def test_without_a_time_it_is_placed_now() -> None:
    assert RULES.order({}, NOW) == {"placed_at": NOW}


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("items", -1, "is -1, not between 0 and 10000"),
        ("items", "3", "'3' is no number"),
        ("items", True, "True is no number"),
        ("items", [3], "[3] is no number"),
        ("items", float("nan"), "is nan, not between 0 and 10000"),
        ("spice", float("inf"), "is inf, which is no number"),
        ("subtotal_minor", 1.5, "is 1.5, not a whole number"),
        ("store_lat", 91, "is 91, not between -90 and 90"),
        ("city", 1.5, "1.5 is no text"),
        ("city", "x" * 201, "is 201 characters long, more than 200"),
        ("stor_id", "a", "there is no such field; did you mean 'store_id'?"),
        ("delivered_at", "x", "is known only after the order was placed; leave it out"),
        ("courier_id", "x", "is known only after the order was placed; leave it out"),
        ("placed_at", "yesterday", "'yesterday' is no ISO 8601 time"),
        ("placed_at", 1772798400, "1772798400 is no ISO 8601 time"),
    ],
)
def test_what_is_wrong_is_named(field: str, value: Any, message: str) -> None:
    assert problems({field: value, "distance_km": 1.0}) == {field: message}


def test_all_problems_are_told_at_once() -> None:
    found = problems({"items": -1, "placed_at": "2026-03-06T13:30:00", "nothing": 1})
    assert set(found) == {"items", "placed_at", "nothing"}
    assert "has no time zone" in found["placed_at"]


@pytest.mark.parametrize("placed", [datetime(1970, 1, 1, tzinfo=UTC), NOW + AHEAD * 2])
def test_times_out_of_this_world_are_refused(placed: datetime) -> None:
    assert "not between 2000-01-01 and 2026-04-06" in problems({"placed_at": placed})["placed_at"]


def test_rows_are_named() -> None:
    with pytest.raises(InvalidInput) as caught:
        RULES.orders([{}, {"items": -1}, {"spice": "hot"}], NOW)
    assert [(p.row, p.field) for p in caught.value.problems] == [(1, "items"), (2, "spice")]


def test_where_no_model_is_at_hand_unknown_columns_are_passed_over() -> None:
    lenient = Rules(lenient=True)
    assert lenient.order({"spice": 2, "items": 1}, NOW) == {"items": 1.0, "placed_at": NOW}
    with pytest.raises(InvalidInput):
        lenient.order({"delivered_at": "2026-03-06T13:30:00Z"}, NOW)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)


names = st.sampled_from(sorted(FIELD)) | st.text(max_size=5)


@hypothesis.given(st.dictionaries(names, json_values))
def test_anything_is_taken_or_refused_with_its_field(order: dict[str, Any]) -> None:
    given = json.loads(json.dumps(order))
    named: set[str] = set()
    try:
        named = set(RULES.order(given, NOW)) - {"placed_at"}
    except InvalidInput as error:
        named = {problem.field for problem in error.problems}
    assert named <= set(order)


DELIVERY = {"order_id": "1", "placed_at": "2026-03-06T10:00:00Z"}


@pytest.mark.parametrize(
    "outcome", [{"delivered_at": "2026-03-06T10:30:00Z"}, {"delivery_minutes": 30}]
)
def test_a_delivery_gets_both_its_end_and_its_minutes(outcome: dict[str, Any]) -> None:
    (found,) = RULES.deliveries([DELIVERY | outcome], NOW)
    assert found["delivery_minutes"] == 30
    assert found["delivered_at"] - found["placed_at"] == timedelta(minutes=30)


@pytest.mark.parametrize(
    ("delivery", "field"),
    [
        (DELIVERY, "delivered_at"),
        ({"placed_at": DELIVERY["placed_at"], "delivery_minutes": 3}, "order_id"),
        ({"order_id": "1", "delivery_minutes": 3}, "placed_at"),
        (DELIVERY | {"delivered_at": "2026-03-06T09:30:00Z"}, "delivered_at"),
        (DELIVERY | {"delivered_at": "2026-03-06T14:30:00Z"}, "delivered_at"),
        (DELIVERY | {"delivery_minutes": 3000}, "delivery_minutes"),
        (
            DELIVERY | {"delivery_minutes": 3, "delivered_at": "2026-03-06T10:30:00Z"},
            "delivery_minutes",
        ),
        (
            {"order_id": "1", "placed_at": "2027-03-06T10:00:00Z", "delivery_minutes": 3},
            "placed_at",
        ),
    ],
)
def test_a_delivery_that_makes_no_sense_is_refused(delivery: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        RULES.deliveries([DELIVERY | {"delivery_minutes": 3}, delivery], NOW)
    assert [(p.row, p.field) for p in caught.value.problems] == [(1, field)]
