"""The SQL of the warehouse: names and values quoted strictly, kinds and conditions as text."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import pyarrow as pa

from foodex.core.errors import FieldProblem, InvalidInput, NotFound
from foodex.domain.datasets import LOAD_ID, ROW_ID, Column, Comparison, Condition
from foodex.domain.deliveries import Kind

TYPES: Final[Mapping[Kind, str]] = {
    Kind.TEXT: "Nullable(String)",
    Kind.CATEGORY: "LowCardinality(Nullable(String))",
    Kind.NUMBER: "Nullable(Float64)",
    Kind.INTEGER: "Nullable(Int64)",
    Kind.TIME: "Nullable(DateTime64(6, 'UTC'))",
}
KINDS: Final[Mapping[str, Kind]] = {sql: kind for kind, sql in TYPES.items()} | {
    "Int64": Kind.INTEGER
}
ARROW: Final[Mapping[Kind, pa.DataType]] = {
    Kind.TEXT: pa.string(),
    Kind.CATEGORY: pa.string(),
    Kind.NUMBER: pa.float64(),
    Kind.INTEGER: pa.int64(),
    Kind.TIME: pa.timestamp("us", "UTC"),
}
_SIGNS: Final[Mapping[Comparison, str]] = {
    Comparison.EQ: "=",
    Comparison.NE: "!=",
    Comparison.LT: "<",
    Comparison.LE: "<=",
    Comparison.GT: ">",
    Comparison.GE: ">=",
}
_TABLE: Final = re.compile(r"^[a-z][a-z0-9_]{0,79}$")
EARLIEST: Final = datetime(1900, 1, 1, tzinfo=UTC)
LATEST: Final = datetime(2300, 1, 1, tzinfo=UTC)
"""What ClickHouse's DateTime64 holds; it wraps around silently beyond."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MARKS: Final = "_loads"
"""The table of committed loads; a row there is what makes a load's rows seen."""


def name(*parts: str) -> str:
    """A quoted name, of a table with its database or of a column."""
    return ".".join("`" + part.replace("\\", "\\\\").replace("`", "\\`") + "`" for part in parts)


def literal(value: Any) -> str:
    """A value as SQL that reads back as exactly that value."""
    match value:
        case None:
            return "NULL"
        case bool():
            return "true" if value else "false"
        case int():
            return f"toInt64({value})" if -(2**63) <= value < 2**63 else str(value)
        case float() if math.isfinite(value):
            # Hexadecimal, because decimal texts are not always read to the last bit.
            sign = "-" if math.copysign(1.0, value) < 0 else ""
            return f"({sign}toFloat64({abs(value).hex()}))"
        case float():
            return f"toFloat64('{value}')"
        case datetime():
            micros = (value.astimezone(UTC) - _EPOCH) // (datetime.resolution)
            return f"fromUnixTimestamp64Micro(toInt64({micros}), 'UTC')"
        case str():
            return "'" + value.replace("\\", "\\\\").replace("'", "\\'").replace("\0", "\\0") + "'"
    raise InvalidInput(f"A value of type {type(value).__name__} cannot be stored")


def check_table(table: str) -> None:
    """Pass a table's name; `NotFound` for one that no table could have."""
    if not _TABLE.match(table):
        raise NotFound(f"There is no table '{table}'")


def check_columns(columns: Iterable[Column]) -> None:
    """Pass columns that a table can have; `InvalidInput` names each that it cannot."""
    problems, seen = [], set()
    for column in columns:
        text = column.name
        if text in (ROW_ID, LOAD_ID):
            problems.append(FieldProblem(text, "is a column that every table has by itself"))
        elif not text.strip() or len(text.encode()) > 200 or not text.isprintable():
            problems.append(FieldProblem(text[:50], "is not a name for a column"))
        elif text in seen:
            problems.append(FieldProblem(text, "is there twice"))
        seen.add(text)
    if problems:
        raise InvalidInput("These columns cannot be", problems=problems)


def definition(column: Column) -> str:
    """A column's name and type."""
    return f"{name(column.name)} {TYPES[column.kind]}"


def where(conditions: Sequence[Condition], kinds: Mapping[str, Kind]) -> list[str]:
    """The conditions as SQL; `InvalidInput` names each that makes no sense for its column."""
    found, problems = [], []
    for condition in conditions:
        kind = kinds.get(condition.field)
        if kind is None:
            problems.append(FieldProblem(condition.field, "there is no such column"))
            continue
        try:
            found.append(_condition(condition, kind))
        except ValueError as error:
            problems.append(FieldProblem(condition.field, str(error)))
    if problems:
        raise InvalidInput("The rows cannot be filtered so", problems=problems)
    return found


def _condition(condition: Condition, kind: Kind) -> str:
    column, value = name(condition.field), condition.value
    match condition.comparison:
        case Comparison.NULL:
            if not isinstance(value, bool):
                raise ValueError("`null` takes true or false")
            return f"isNull({column})" if value else f"isNotNull({column})"
        case Comparison.IN:
            if isinstance(value, str) or not isinstance(value, Sequence):
                raise ValueError("`in` takes a list")
            values = ", ".join(literal(fitting(inner, kind)) for inner in value)
            return f"{column} IN ({values})" if values else "false"
        case Comparison.CONTAINS:
            if kind not in (Kind.TEXT, Kind.CATEGORY) or not isinstance(value, str):
                raise ValueError("`contains` compares texts")
            return f"position({column}, {literal(value)}) > 0"
        case comparison:
            if value is None:
                raise ValueError(f"`{comparison}` takes a value; use `null` to find empty ones")
            return f"{column} {_SIGNS[comparison]} {literal(fitting(value, kind))}"


def fitting(value: Any, kind: Kind) -> Any:
    """The value as a column of that kind holds it; ValueError says why it does not fit."""
    if value is None:
        return None
    match kind:
        case Kind.TEXT | Kind.CATEGORY:
            if isinstance(value, str) and not any("\ud800" <= sign <= "\udfff" for sign in value):
                return value
            raise ValueError("takes a text")
        case Kind.NUMBER:
            if isinstance(value, int | float) and not isinstance(value, bool):
                return float(value)
            raise ValueError("takes a number")
        case Kind.INTEGER:
            if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63:
                return value
            if isinstance(value, float) and value.is_integer() and abs(value) < 2**63:
                return int(value)
            raise ValueError("takes a whole number")
        case Kind.TIME:
            if isinstance(value, str):
                try:
                    value = datetime.fromisoformat(value)
                except ValueError:
                    raise ValueError("takes a time in ISO 8601") from None
            if isinstance(value, datetime) and value.tzinfo is not None:
                if EARLIEST <= value < LATEST:
                    return value.astimezone(UTC)
                raise ValueError("takes a time from 1900 to 2299")
            raise ValueError("takes a time with its zone, such as 2026-01-31T18:05:00+02:00")
