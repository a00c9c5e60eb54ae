"""A mapping as a form: its TOML and a file's columns in, what to show out; what was chosen back
into TOML."""

import re
import tomllib
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any, Final

import msgspec
import tomli_w

from foodex.core.errors import BadRequest, FieldProblem, InvalidInput
from foodex.domain.datasets import NAME_PATTERN
from foodex.domain.deliveries import FIELD, FIELDS, Kind
from foodex.domain.mappings import (
    CLOCK_FORMATS,
    TIME_FORMATS,
    UNKNOWN_ZONE,
    WEEKDAY_NUMBERINGS,
    units_of,
)

NEEDED: Final = ("placed_at", "delivered_at", "delivery_minutes", "own_estimate_minutes")
"""Shown first, mapped or not: the promise is learned from them and judged by them."""
FIXED: Final = ("city", "currency")
"""What may be the same for every row and stand in no column."""
UNDATED: Final = ("hour_of_day", "day_of_week")
MOST_OTHERS: Final = 200

_INSTANTS: Final = (
    *TIME_FORMATS,
    "%d.%m.%Y %H:%M:%S",
    "%d.%m.%Y %H:%M",
    "%d/%m/%Y %H:%M:%S",
    "%d/%m/%Y %H:%M",
    "%m/%d/%Y %H:%M:%S",
    "%m/%d/%Y %H:%M",
    "%m/%d/%Y %I:%M %p",
    "%d-%m-%Y %H:%M:%S",
    "%d-%m-%Y %H:%M",
    "%Y/%m/%d %H:%M:%S",
)
_DATES: Final = ("iso", "excel_days", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%Y/%m/%d")
_EXAMPLE: Final = datetime(2026, 3, 31, 18, 5, 30)  # noqa: DTZ001
_SAMPLES: Final = 5
_LONGEST: Final = 60
_SEPARATOR: Final = " | "
"""Between several formats in one choice."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a file beside its mapping; goes with the form, so nothing is read twice.

    `columns` gives the first values of each column, empty where a row has none; `sure` is how sure
    a guess is by its field; `reasons` and `doubts` are by column.
    """

    columns: Mapping[str, Sequence[str]]
    sure: Mapping[str, float] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)
    doubts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldChoice:
    """One field of the record as the form shows it."""

    name: str
    kind: Kind
    column: str
    clock: str = ""
    value: str = ""
    unit: str = ""
    units: tuple[str, ...] = ()
    formats: str = ""
    clock_formats: str = ""
    numbering: str = ""
    sure: float | None = None
    doubt: str = ""
    samples: tuple[str, ...] = ()
    unknown_column: bool = False

    @property
    def is_mapped(self) -> bool:
        """Whether something feeds it."""
        return bool(self.column or self.value)

    @property
    def is_day_only(self) -> bool:
        """Whether the column has days, so that the time of day must stand in another."""
        return bool(self.clock or self.samples) and not any(":" in one for one in self.samples)

    @property
    def doubts_day_or_month(self) -> bool:
        """Whether it is open which of the day and the month comes first."""
        return "both can read every value" in self.doubt


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherChoice:
    """A column that feeds no field: kept as a number or a category, or left out (`kind` empty)."""

    number: int
    column: str
    kind: str
    reason: str
    samples: tuple[str, ...]


def facts_of(suggestion: Mapping[str, Any]) -> Facts:
    """The facts within a suggestion, as the API tells it."""
    sample = suggestion["sample"]
    columns = {name: _samples(row.get(name) for row in sample) for name in sample[0]}
    doubts = {}
    for question in suggestion["questions"]:
        column, _, doubt = question.partition(": ")
        if column in columns:
            doubts[column] = doubt
    guesses = suggestion["guesses"]
    return Facts(
        columns=columns,
        sure={one["field"]: one["confidence"] for one in guesses if one["field"]},
        reasons={one["column"]: one["reason"] for one in guesses if not one["field"]},
        doubts=doubts,
    )


def _samples(values: Any) -> tuple[str, ...]:
    return tuple("" if v is None else str(v)[:_LONGEST] for v in islice(values, _SAMPLES))


def read_facts(text: str) -> Facts:
    """Facts that came back with a form."""
    try:
        return msgspec.json.decode(text, type=Facts)
    except msgspec.DecodeError as error:
        raise BadRequest("The form cannot be read; open the file again") from error


def table_of(toml: str) -> dict[str, Any]:
    """A mapping's TOML as a table, whatever it says; `InvalidInput` where it is none."""
    try:
        return tomllib.loads(toml)
    except tomllib.TOMLDecodeError as error:
        problem = FieldProblem("mapping", str(error))
        raise InvalidInput("The mapping is not valid TOML", problems=[problem]) from None


def toml_of(table: Mapping[str, Any]) -> str:
    """A table as TOML."""
    return tomli_w.dumps(table)


def choices(table: Mapping[str, Any], facts: Facts) -> list[FieldChoice]:
    """Every field of the record as it stands in the mapping."""
    fields = table.get("fields") or {}
    return [_choice(one.name, fields.get(one.name) or {}, facts) for one in FIELDS]


def _choice(name: str, entry: Mapping[str, Any], facts: Facts) -> FieldChoice:
    column = str(entry.get("column") or entry.get("date") or "")
    clock = str(entry.get("time") or "")
    kind = FIELD[name].kind
    timely = kind is Kind.TIME or name == "hour_of_day"
    units = () if kind is Kind.TIME else units_of(name)
    written = "date_formats" if clock else "formats" if kind is Kind.TIME else "time_formats"
    seen = facts.columns.get(column, ())
    if clock:
        later = facts.columns.get(clock, ())
        seen = [f"{one} + {two}" for one, two in zip(seen, later, strict=False)]
    return FieldChoice(
        name=name,
        kind=kind,
        column=column,
        clock=clock,
        value=str(entry.get("value", "")),
        unit=str(entry.get("unit") or (units[0] if units else "")),
        units=units,
        formats=_joined(entry.get(written)) if timely else "",
        clock_formats=_joined(entry.get("time_formats")),
        numbering=str(entry.get("numbering") or ""),
        sure=facts.sure.get(name),
        doubt=facts.doubts.get(column, "") if column else "",
        samples=tuple(dict.fromkeys(one for one in seen if one)),
        unknown_column=bool(column) and column not in facts.columns,
    )


def others(table: Mapping[str, Any], facts: Facts) -> list[OtherChoice]:
    """The columns that feed no field."""
    used = {
        entry.get(key)
        for entry in (table.get("fields") or {}).values()
        for key in ("column", "date", "time")
    }
    kinds = {
        one.get("column"): str(one.get("kind")) for one in (table.get("extras") or {}).values()
    }
    left = [(n, name) for n, name in enumerate(facts.columns) if name not in used or name in kinds]
    return [
        OtherChoice(
            number=number,
            column=name,
            kind=kinds.get(name, ""),
            reason=facts.reasons.get(name, ""),
            samples=tuple(dict.fromkeys(one for one in facts.columns[name] if one)),
        )
        for number, name in left[:MOST_OTHERS]
    ]


def zone_of(table: Mapping[str, Any]) -> str:
    """The zone the mapping says; empty where only a person knows."""
    zone = str(table.get("time_zone") or "")
    return "" if zone == UNKNOWN_ZONE else zone


def written_in(table: Mapping[str, Any]) -> str:
    """In which zone the file's times are written, where it is not the business's own."""
    zones = {
        str(entry.get("time_zone") or "")
        for name, entry in (table.get("fields") or {}).items()
        if name in FIELD and FIELD[name].kind is Kind.TIME
    }
    return zones.pop() if len(zones) == 1 else ""


def formats_to_choose(name: str, current: str, *, clock: bool, part: str) -> list[tuple[str, str]]:
    """Formats as (value, example); an empty example where the format has a name of its own.

    `part` is `clock` for the time of day of a pair.
    """
    offered: Sequence[str] = _DATES if clock else _INSTANTS
    if part == "clock" or name == "hour_of_day":
        offered = CLOCK_FORMATS
    values = list(offered) if not current or current in offered else [current, *offered]
    return [(value, example_of(value)) for value in values]


def example_of(formats: str) -> str:
    """How a time looks in these formats; empty for those that go by a name."""
    if "%" not in formats:
        return ""
    return _SEPARATOR.join(
        _EXAMPLE.strftime(one.replace("%.f", "")) if "%" in one else one
        for one in formats.split(_SEPARATOR)
    )


def numberings() -> tuple[str, ...]:
    """How weekdays may be numbered."""
    return tuple(WEEKDAY_NUMBERINGS)


def chosen(table: Mapping[str, Any], given: Mapping[str, str], facts: Facts) -> dict[str, Any]:
    """The mapping with what the form says; what the form does not ask stays as it is."""
    made = dict(table)
    before = table.get("fields") or {}
    fields = {name: dict(entry) for name, entry in before.items()}
    for name in FIELD:
        if f"column.{name}" not in given:
            continue
        entry = _entry(name, fields.get(name) or {}, given, facts)
        fields.pop(name, None)
        if entry:
            fields[name] = entry
    _follow_the_order(fields)
    _write_zone(made, fields, given)
    made["fields"] = {name: fields[name] for name in (*FIELD, *fields) if name in fields}
    used = {entry.get(key) for entry in fields.values() for key in ("column", "date", "time")}
    extras = _extras(table.get("extras") or {}, given, facts)
    made["extras"] = {name: one for name, one in extras.items() if one.get("column") not in used}
    skip = [
        rule
        for number, rule in enumerate(table.get("skip_where") or ())
        if "skips" not in given or given.get(f"skip.{number}")
    ]
    made.pop("skip_where", None)
    if skip:
        made["skip_where"] = skip
    return {name: value for name, value in made.items() if value != {}}


def _entry(
    name: str, old: Mapping[str, Any], given: Mapping[str, str], facts: Facts
) -> dict[str, Any]:
    column, clock = given[f"column.{name}"], given.get(f"clock.{name}", "")
    value = given.get(f"value.{name}", "").strip()
    if not column:
        return {"value": value} if value else {}
    was = (str(old.get("column") or old.get("date") or ""), str(old.get("time") or ""))
    same = was == (column, clock)
    # What was found out of one column says nothing of another.
    entry = dict(old) if same else {}
    for key in ("column", "date", "time", "value", "formats", "date_formats", "time_formats"):
        entry.pop(key, None)
    kind = FIELD[name].kind
    if kind is Kind.TIME:
        entry |= _written(column, clock, given, name, facts, guess=not same)
    else:
        entry["column"] = column
    _put(entry, "unit", given.get(f"unit.{name}"), unless=(units_of(name) or ("",))[0])
    _put(entry, "numbering", given.get(f"numbering.{name}"))
    if name == "hour_of_day":
        _put(entry, "time_formats", _split(given.get(f"format.{name}", "")))
    return entry


def _written(
    column: str, clock: str, given: Mapping[str, str], name: str, facts: Facts, *, guess: bool
) -> dict[str, Any]:
    formats = _split(given.get(f"format.{name}", ""))
    if guess:
        formats = guessed_formats(facts.columns.get(column, ()), _DATES if clock else _INSTANTS)
    if not clock:
        return {"column": column, "formats": formats or ["iso"]}
    clocks = ["clock"] if guess else _split(given.get(f"clock_format.{name}", ""))
    return {
        "date": column,
        "time": clock,
        "date_formats": formats or ["iso"],
        "time_formats": clocks or ["clock"],
    }


def guessed_formats(samples: Sequence[str], offered: Sequence[str]) -> list[str]:
    """The first pattern that reads all samples; none where only a name of a format may."""
    present = [sample for sample in samples if sample]
    for pattern in (one for one in offered if "%" in one):
        with suppress(ValueError):
            for sample in present:
                datetime.strptime(sample, pattern)  # noqa: DTZ007
            return [pattern] if present else []
    return []


def _follow_the_order(fields: dict[str, dict[str, Any]]) -> None:
    """Times of day after midnight belong to the next day; what is not mapped is not referred to."""
    for name, entry in fields.items():
        if "date" in entry and name != "placed_at" and "placed_at" in fields:
            entry.setdefault("not_before", "placed_at")
        for key in ("not_before", "minutes_after"):
            if entry.get(key) is not None and entry[key] not in fields:
                del entry[key]


def _write_zone(
    made: dict[str, Any], fields: Mapping[str, dict[str, Any]], given: Mapping[str, str]
) -> None:
    if "zone" in given:
        zone = given["zone"].strip()
        timely = [name for name in fields if name in FIELD and FIELD[name].kind is Kind.TIME]
        made.pop("time_zone", None)
        if zone or timely:
            # An unanswered question stays one.
            made = _first(made, "time_zone", zone or UNKNOWN_ZONE)
    if "written_in" in given:
        for name, entry in fields.items():
            if name in FIELD and FIELD[name].kind is Kind.TIME:
                entry.pop("time_zone", None)
                _put(entry, "time_zone", given["written_in"])


def _first(table: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    rest = dict(table)
    table.clear()
    table[key] = value
    table.update(rest)
    return table


def _extras(
    before: Mapping[str, Any], given: Mapping[str, str], facts: Facts
) -> dict[str, dict[str, Any]]:
    names = list(facts.columns)
    wanted = {
        names[int(key.removeprefix("extra."))]: kind
        for key, kind in given.items()
        if key.startswith("extra.") and key[6:].isdigit() and int(key[6:]) < len(names)
    }
    made = {}
    for name, entry in before.items():
        kind = wanted.pop(entry.get("column"), entry.get("kind"))
        if kind:
            made[name] = {**entry, "kind": kind}
    for column, kind in wanted.items():
        if kind:
            made[plain_name(column, {*FIELD, *made})] = {"column": column, "kind": kind}
    return made


def plain_name(text: str, taken: Collection[str] = ()) -> str:
    """A name of small letters, digits and underscores after a text, and not one of `taken`."""
    base = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")[:40]
    if not re.fullmatch(NAME_PATTERN, base):
        base = f"column_{base}".rstrip("_")
    name, again = base, 2
    while name in taken:
        name, again = f"{base}_{again}", again + 1
    return name


def _put(entry: dict[str, Any], key: str, value: Any, *, unless: str = "") -> None:
    if value is None:
        return
    entry.pop(key, None)
    if value and value != unless:
        entry[key] = value


def _joined(formats: Any) -> str:
    return _SEPARATOR.join([formats] if isinstance(formats, str) else formats or ())


def _split(formats: str) -> list[str]:
    return [one for one in formats.split(_SEPARATOR) if one]
