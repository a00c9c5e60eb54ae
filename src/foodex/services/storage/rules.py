"""What a data set and its values may be."""

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from foodex.core.errors import FieldProblem, InvalidInput
from foodex.domain.datasets import (
    LOAD_ID,
    NAME_PATTERN,
    ROW_ID,
    Column,
    Comparison,
    Condition,
    DatasetSpec,
    Layer,
)
from foodex.domain.deliveries import EXTRA_KINDS, FIELD, Kind

_NAME: Final = re.compile(NAME_PATTERN)
_OWN: Final[Mapping[str, Kind]] = {ROW_ID: Kind.INTEGER, LOAD_ID: Kind.INTEGER}


def check_spec(spec: DatasetSpec) -> None:
    """Pass a data set that can be; `InvalidInput` names everything that is wrong with it."""
    problems = [] if _NAME.fullmatch(spec.name) else [FieldProblem("name", _NAMING)]
    problems += zone_problems(spec.time_zone)
    seen: set[str] = set()
    for column in spec.columns:
        why = _why_not(column, spec.layer)
        if why is None and column.name in seen:
            why = "is there twice"
        if why:
            problems.append(FieldProblem(f"columns.{column.name}", why))
        seen.add(column.name)
    if problems:
        raise InvalidInput("The data set cannot be made so", problems=problems)


_NAMING: Final = (
    "begins with a small letter and has small letters, digits and underscores, at most 48"
)


def _why_not(column: Column, layer: Layer) -> str | None:
    if column.name in _OWN:
        return "is a column that every data set has by itself"
    if layer is Layer.RAW:
        return None if column.kind is Kind.TEXT else "is text, as every column of a raw data set"
    if field := FIELD.get(column.name):
        return None if field.kind is column.kind else f"is of kind {field.kind}"
    if column.kind not in EXTRA_KINDS:
        return f"beyond the delivery record is of kind {' or '.join(EXTRA_KINDS)}"
    return None if _NAME.fullmatch(column.name) else _NAMING


def zone_problems(time_zone: str) -> list[FieldProblem]:
    """What is wrong with a time zone's name."""
    try:
        ZoneInfo(time_zone)
    except (KeyError, ValueError, OSError):
        return [FieldProblem("time_zone", f"'{time_zone}' is not a zone such as Europe/Helsinki")]
    return []


def kinds_of(columns: Iterable[Column]) -> dict[str, Kind]:
    """The kind of every column, `row_id` and `load_id` among them."""
    return {**_OWN, **{column.name: column.kind for column in columns}}


def checked_rows(
    rows: Sequence[Mapping[str, Any]], kinds: Mapping[str, Kind]
) -> list[dict[str, Any]]:
    """The rows with their values as they are stored; `InvalidInput` names field and row."""
    problems: list[FieldProblem] = []
    checked = [_checked(row, kinds, number, problems) for number, row in enumerate(rows)]
    if problems:
        raise InvalidInput("The rows cannot be stored", problems=problems[:100])
    return checked


def checked_values(values: Mapping[str, Any], kinds: Mapping[str, Kind]) -> dict[str, Any]:
    """Values to set as they are stored; `InvalidInput` names the field."""
    problems: list[FieldProblem] = []
    if not values:
        problems.append(FieldProblem("values", "says nothing to change"))
    checked = _checked(values, kinds, None, problems)
    if problems:
        raise InvalidInput("The rows cannot be changed so", problems=problems)
    return checked


def _checked(
    row: Mapping[str, Any],
    kinds: Mapping[str, Kind],
    number: int | None,
    problems: list[FieldProblem],
) -> dict[str, Any]:
    checked = {}
    for name, value in row.items():
        if name not in kinds or name in _OWN:
            problems.append(FieldProblem(name, "is not a column to be written", number))
            continue
        try:
            checked[name] = _value(value, kinds[name])
            _check_bounds(name, checked[name])
        except ValueError as error:
            problems.append(FieldProblem(name, str(error), number))
    return checked


def _check_bounds(name: str, value: Any) -> None:
    field = FIELD.get(name)
    if field is None or not isinstance(value, int | float):
        return
    if (field.low is not None and value < field.low) or (
        field.high is not None and value > field.high
    ):
        raise ValueError(f"is not between {field.low:g} and {field.high:g} {field.unit}".rstrip())


def _value(value: Any, kind: Kind) -> Any:
    if value is None:
        return None
    match kind:
        case Kind.TEXT | Kind.CATEGORY if isinstance(value, str):
            return value
        case Kind.NUMBER if isinstance(value, int | float) and not isinstance(value, bool):
            if math.isfinite(value):
                return float(value)
        case Kind.INTEGER if isinstance(value, int) and not isinstance(value, bool):
            if -(2**63) <= value < 2**63:
                return value
        case Kind.INTEGER if isinstance(value, float) and value.is_integer():
            if abs(value) < 2**63:
                return int(value)
        case Kind.TIME:
            return _time(value)
        case _:
            pass
    raise ValueError(f"takes {_TAKES[kind]}")


_TAKES: Final[Mapping[Kind, str]] = {
    Kind.TEXT: "a text",
    Kind.CATEGORY: "a text",
    Kind.NUMBER: "a number",
    Kind.INTEGER: "a whole number",
    Kind.TIME: "a time with its zone, such as 2026-01-31T18:05:00+02:00, from 1900 to 2299",
}


def _time(value: Any) -> datetime:
    try:
        instant = datetime.fromisoformat(value) if isinstance(value, str) else value
        if isinstance(instant, datetime) and instant.tzinfo is not None:
            instant = instant.astimezone(UTC)
            if 1900 <= instant.year <= 2299:
                return instant
    except (ValueError, OverflowError):
        pass
    raise ValueError(f"takes {_TAKES[Kind.TIME]}")


def checked_conditions(
    conditions: Sequence[Condition], kinds: Mapping[str, Kind]
) -> list[Condition]:
    """The conditions with values of their columns' kinds, where a text may stand for any value."""
    problems: list[FieldProblem] = []
    checked = []
    for condition in conditions:
        kind = kinds.get(condition.field)
        if kind is None:
            problems.append(FieldProblem(condition.field, "there is no such column"))
            continue
        try:
            value = _compared(condition, kind)
        except ValueError as error:
            problems.append(FieldProblem(condition.field, str(error)))
        else:
            checked.append(
                Condition(field=condition.field, comparison=condition.comparison, value=value)
            )
    if problems:
        raise InvalidInput("The rows cannot be filtered so", problems=problems)
    return checked


def _compared(condition: Condition, kind: Kind) -> Any:
    value = condition.value
    match condition.comparison:
        case Comparison.NULL:
            value = {"true": True, "false": False}.get(value, value) if value != "" else True
            if not isinstance(value, bool):
                raise ValueError("`null` takes true or false")
            return value
        case Comparison.IN:
            if isinstance(value, str):
                value = _listed(value)
            if not isinstance(value, list | tuple):
                raise ValueError("`in` takes a list")
            return [_read(one, kind) for one in value]
        case Comparison.CONTAINS:
            if kind not in (Kind.TEXT, Kind.CATEGORY) or not isinstance(value, str):
                raise ValueError("`contains` compares texts")
            return value
    if value is None:
        raise ValueError("takes a value; `null` finds the empty ones")
    return _read(value, kind)


def _listed(text: str) -> Any:
    if not text.startswith("["):
        return text.split(",")
    try:
        return json.loads(text)
    except ValueError:
        raise ValueError("`in` takes a list: a,b,c or JSON") from None


def _read(value: Any, kind: Kind) -> Any:
    if isinstance(value, str) and kind in (Kind.NUMBER, Kind.INTEGER):
        try:
            value = float(value) if kind is Kind.NUMBER else int(value)
        except ValueError:
            raise ValueError(f"takes {_TAKES[kind]}") from None
    return _value(value, kind)
