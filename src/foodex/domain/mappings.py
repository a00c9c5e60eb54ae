"""Mappings: how one company's export becomes the canonical delivery record.

A mapping is written in TOML (`domain.mapping_toml` reads it) and held as these frozen values.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from foodex.domain.deliveries import FIELD, Kind
from foodex.domain.loads import Format, Rejection

UNKNOWN_ZONE: Final = "?"
"""What a suggestion writes where only a person knows the time zone; reading refuses it."""

ISO: Final = "iso"
"""Any ISO 8601 date and time, with or without an offset."""
INSTANT_FORMATS: Final = ("epoch_s", "epoch_ms", "epoch_us")
"""Numbers that count from 1970 in UTC."""
CLOCK: Final = "clock"
"""`17:15`, `7:05:30`, `5:15 pm`; `24:10` up to `29:59` are hours of the following day."""
CLOCK_FORMATS: Final = (CLOCK, "day_fraction", "decimal_hour")
"""Times of day; a day fraction is a spreadsheet's: 0.875 is 21:00 and 1 the next midnight."""
TIME_FORMATS: Final = (ISO, *INSTANT_FORMATS, "excel_days")
"""Whole instants; `excel_days` counts days since 1899-12-30, the day's time as a fraction."""

_MINUTES: Final = {"minutes": 1.0, "seconds": 1 / 60, "hours": 60.0, "milliseconds": 1 / 60_000}
_LINEAR: Final[Mapping[str, Mapping[str, float]]] = {
    "min": _MINUTES,
    "km": {"km": 1.0, "m": 0.001, "miles": 1.609344, "feet": 0.0003048, "yards": 0.0009144},
    "m/s": {"m/s": 1.0, "km/h": 1 / 3.6, "mph": 0.44704, "knots": 1852 / 3600},
    "mm": {"mm": 1.0, "cm": 10.0, "m": 1000.0, "inches": 25.4},
    "0-1": {"share": 1.0, "percent": 0.01, "oktas": 0.125},
    "h": {"hours": 1.0, "minutes": 1 / 60, "seconds": 1 / 3600},
}
_AFFINE: Final[Mapping[str, Mapping[str, tuple[float, float]]]] = {
    # The scale and the offset that follows it.
    "°C": {"c": (1.0, 0.0), "f": (5 / 9, -160 / 9), "k": (1.0, -273.15)}
}
_NO_MINOR: Final = "BIF,CLP,DJF,GNF,ISK,JPY,KMF,KRW,PYG,RWF,UGX,VND,VUV,XAF,XOF,XPF"
_THOUSANDTHS: Final = "BHD,IQD,JOD,KWD,LYD,OMR,TND"
_MINOR_DIGITS: Final[Mapping[str, int]] = {
    # ISO 4217 currencies whose minor unit is not a hundredth.
    **dict.fromkeys(_NO_MINOR.split(","), 0),
    **dict.fromkeys(_THOUSANDTHS.split(","), 3),
}

WEEKDAY_NUMBERINGS: Final[Mapping[str, tuple[int, int]]] = MappingProxyType(
    # The number of Monday, and the lowest number used.
    {"monday_0": (0, 0), "monday_1": (1, 1), "sunday_0": (1, 0), "sunday_1": (2, 1)}
)


def units_of(name: str) -> tuple[str, ...]:
    """The units a canonical field may be given in, its own first; empty where it has none."""
    unit = FIELD[name].unit
    if unit == "minor units":
        return ("minor", "major")
    if unit == "min":
        return (*_MINUTES, "clock")
    return tuple(_LINEAR.get(unit) or _AFFINE.get(unit) or ())


def conversion(name: str, unit: str, currency: str | None = None) -> tuple[float, float]:
    """Scale and offset that bring a value of `unit` into the field's own unit."""
    own = FIELD[name].unit
    if own == "minor units":
        digits = _MINOR_DIGITS.get((currency or "").upper(), 2)
        return (10.0**digits if unit == "major" else 1.0), 0.0
    if own in _AFFINE:
        return _AFFINE[own][unit]
    return _LINEAR.get(own, {}).get(unit, 1.0), 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRule:
    """How the file is written. What is None is found out by looking."""

    format: Format = Format.AUTO
    encoding: str | None = None
    delimiter: str | None = None
    quote: str = '"'
    header: bool = True
    columns: tuple[str, ...] = ()
    """The columns' names where the file has no header."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldRule:
    """How one canonical field or extra is filled.

    Exactly one origin: a `column`; a `date` column with a `time` column; or a fixed `value`.
    """

    name: str
    kind: Kind
    column: str | None = None
    date: str | None = None
    time: str | None = None
    value: str | None = None
    unit: str | None = None
    formats: tuple[str, ...] = ()
    date_formats: tuple[str, ...] = ()
    time_formats: tuple[str, ...] = ()
    time_zone: str | None = None
    """The zone in which times are written, where it is not the mapping's own."""
    not_before: str | None = None
    """A time field that this one follows: a time of day before it belongs to the next day."""
    minutes_after: str | None = None
    """The column holds a duration (in `unit`) that starts at this time field."""
    numbering: str | None = None
    missing: tuple[str, ...] | None = None
    """What means missing here, instead of the mapping's own list."""
    strip: tuple[str, ...] = ()
    """Text in front of the value to take away, such as `conditions `."""
    number_in_text: bool = False
    """Take the first number found in the text: 24 from `(min) 24`."""
    decimal: str | None = None
    values: Mapping[str, str] = field(default_factory=dict)
    """Replacements of whole values."""
    on_bad: str = "reject"
    """`reject` the row of a value that cannot be, or take the value for `missing`."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The source's columns it reads."""
        return tuple(name for name in (self.column, self.date, self.time) if name is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class SkipRule:
    """Rows to leave out: those whose `column` is one of `values`, or is none of them."""

    column: str
    values: tuple[str, ...]
    unless: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordMapping:
    """A whole mapping.

    `impossible_coordinates` are beyond ±90 and ±180 degrees. `doubtful_coordinates` are pairs at
    the empty sea around (0, 0), which means that nobody knew, and a store and a customer more than
    500 km apart. `time_zone` is where the business lives; None if no value needs one.
    """

    time_zone: str | None
    missing: tuple[str, ...]
    decimal: str
    impossible_coordinates: str
    doubtful_coordinates: str
    file: FileRule
    fields: tuple[FieldRule, ...]
    extras: tuple[FieldRule, ...]
    skip: tuple[SkipRule, ...]

    def rule(self, name: str) -> FieldRule | None:
        """The rule of a canonical field, if it is mapped."""
        return next((rule for rule in self.fields if rule.name == name), None)

    @property
    def columns(self) -> tuple[tuple[str, str], ...]:
        """Every source column that is needed, with the key of the mapping that needs it."""
        found = [(f"fields.{rule.name}", name) for rule in self.fields for name in rule.columns]
        found += [(f"extras.{rule.name}", name) for rule in self.extras for name in rule.columns]
        found += [("skip_where", rule.column) for rule in self.skip]
        return tuple((name, key) for key, name in found)


MISSING: Final = ("", "NA", "N/A", "NaN", "nan", "null", "NULL", "None", "-", "?")
"""What means missing where a mapping does not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Guess:
    """What was guessed of one column: `field` is None for a column left out.

    `confidence` goes from 0 to 1; below 0.6 the suggestion says that it doubts.
    """

    column: str
    field: str | None
    confidence: float
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestion:
    """A first mapping as TOML, why it is so, and what only a person can tell.

    `sample` is the first rows as they came, to look at beside the guesses.
    """

    toml: str
    guesses: tuple[Guess, ...]
    questions: tuple[str, ...]
    sample: tuple[Mapping[str, str | None], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What a mapping makes of a source's first rows; nothing of it is kept.

    `rows` are the first delivery records, their times in ISO 8601; `rejections` the first rows
    refused; `repaired` counts, by `rule:field`, values taken for missing. Orders are not compared
    with those already there.
    """

    rows_read: int
    rows_kept: int
    rejected_by_rule: Mapping[str, int]
    repaired: Mapping[str, int]
    rows: tuple[Mapping[str, Any], ...]
    rejections: tuple[Rejection, ...]
