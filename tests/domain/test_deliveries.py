"""The delivery record: one description of every field."""

from foodex.domain.deliveries import FIELD, FIELDS, Kind


def test_every_field_is_there_once() -> None:
    assert len(FIELD) == len(FIELDS)
    assert list(FIELD) == [field.name for field in FIELDS]


def test_only_numbers_have_bounds_and_they_hold_something() -> None:
    for field in FIELDS:
        measured = field.kind in (Kind.NUMBER, Kind.INTEGER)
        assert (field.low is not None, field.high is not None) == (
            (False, False) if not measured else (True, True)
        ), field.name
        if field.low is not None and field.high is not None:
            assert field.low < field.high, field.name


def test_what_comes_after_the_order_is_not_known_at_the_order() -> None:
    later = {field.name for field in FIELDS if not field.known_at_order}
    assert later == {
        "courier_id",
        "accepted_at",
        "ready_at",
        "picked_up_at",
        "delivered_at",
        "delivery_minutes",
    }


def test_a_unit_in_a_name_is_the_unit_of_the_field() -> None:
    units = {"_km": "km", "_minutes": "min", "_c": "°C", "_mm": "mm", "_mps": "m/s"}
    for field in FIELDS:
        for ending, unit in units.items():
            if field.name.endswith(ending):
                assert field.unit == unit, field.name
