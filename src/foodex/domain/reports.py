"""Reports: documents made to be forwarded, as values. How they look is told elsewhere.

A report holds all it says: the same value is the same document, to the byte.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final
from zoneinfo import ZoneInfo

from foodex.core.errors import FieldProblem, InvalidInput
from foodex.domain.money import Money

MAX_CELLS: Final = 20_000
"""Cells of all tables and charts together; more is an export, not a report."""

Cell = str | int | float | None
"""What stands in a table: a text, a number of its column's unit, or nothing."""


class Unit(StrEnum):
    """What a number counts, which decides how it is written."""

    TEXT = "text"
    COUNT = "count"
    NUMBER = "number"
    MINUTES = "minutes"
    SHARE = "share"
    """From 0 to 1; written as percent."""
    POINTS = "points"
    """A difference of shares, -1 to 1; written as percentage points."""
    MONEY = "money"
    """Whole minor units of `currency`."""


class Better(StrEnum):
    """Which way a figure is good."""

    HIGHER = "higher"
    LOWER = "lower"
    NEITHER = "neither"


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """From `since` on, before `until`; both zone-aware, shown as days of `time_zone`."""

    since: datetime
    until: datetime
    time_zone: str = "UTC"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A figure that matters, with what it is to be compared with, where there is such.

    `other` is a number of the same unit and `versus` says whose; `low` and `high` are the ends of
    its 95 % interval.
    """

    name: str
    value: int | float | None
    unit: Unit
    currency: str = ""
    other: int | float | None = None
    versus: str = ""
    better: Better = Better.NEITHER
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of a table."""

    title: str
    unit: Unit = Unit.TEXT
    currency: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows under titled columns; every row has as many cells."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""


class ChartKind(StrEnum):
    """How values are drawn."""

    BARS = "bars"
    """Upright bars, side by side where there are several series."""
    RANKING = "ranking"
    """Lying bars with long labels, in the order given."""
    LINES = "lines"
    HEAT = "heat"
    """A row for each series, a column for each label, darker where there is more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Values aligned with the chart's labels; None where there is none."""

    name: str
    values: tuple[int | float | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A picture of numbers. `says` is what it shows in words, for who cannot see it.

    `mark` draws a line at that value, named `mark_name`. A heat map of what should be `LOWER` is
    drawn in warning colours.
    """

    kind: ChartKind
    title: str
    says: str
    labels: tuple[str, ...]
    series: tuple[Series, ...]
    unit: Unit = Unit.NUMBER
    label_title: str = ""
    value_title: str = ""
    mark: float | None = None
    mark_name: str = ""
    better: Better = Better.NEITHER
    currency: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A part of a report: some sentences, then charts, then tables."""

    title: str
    text: tuple[str, ...] = ()
    charts: tuple[Chart, ...] = ()
    tables: tuple[Table, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """One thing the report was made from: a data set, a model's version, a hash."""

    name: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A document: what it is, what it found in words, figures, sections, and how it was made.

    `made_at` is zone-aware. Raises InvalidInput where rows or series do not fit their columns or
    labels, or where there is more than a report can hold.
    """

    title: str
    subtitle: str
    made_at: datetime
    made_from: tuple[Origin, ...]
    summary: tuple[str, ...]
    figures: tuple[Figure, ...]
    sections: tuple[Section, ...]
    method: tuple[str, ...]
    period: Period | None = None

    def __post_init__(self) -> None:
        problems: list[FieldProblem] = []
        moments = {"made_at": self.made_at}
        if self.period:
            moments |= {"since": self.period.since, "until": self.period.until}
        for name, moment in moments.items():
            if moment.utcoffset() is None:
                problems.append(FieldProblem(name, "has no time zone"))
        cells = 0
        for section in self.sections:
            for table in section.tables:
                cells += len(table.rows) * len(table.columns)
                if any(len(row) != len(table.columns) for row in table.rows):
                    problems.append(FieldProblem(table.title, "has rows of another length"))
            for chart in section.charts:
                cells += len(chart.series) * len(chart.labels)
                if any(len(series.values) != len(chart.labels) for series in chart.series):
                    problems.append(FieldProblem(chart.title, "has series of another length"))
        if cells > MAX_CELLS:
            problems.append(FieldProblem("sections", f"have {cells:,} cells, above {MAX_CELLS:,}"))
        if problems:
            raise InvalidInput("The report cannot be made so", problems=problems)


NOTHING: Final = "–"
_SPACE: Final = "\u00a0"
"""Between a number and its unit no line breaks."""
_ROUGH_MONEY: Final = 1000


def shown(value: Cell, unit: Unit = Unit.TEXT, currency: str = "", *, rough: bool = False) -> str:
    """A value as people read it: 1,234, 17.3 min, 83 %, 12,345.60 EUR.

    `rough` leaves out the cents of amounts in the thousands.
    """
    if value is None:
        return NOTHING
    if isinstance(value, str):
        return value
    match unit:
        case Unit.COUNT | Unit.TEXT:
            return signed(f"{value:,.0f}" if isinstance(value, float) else f"{value:,}")
        case Unit.MINUTES:
            return signed(f"{value:,.1f}{_SPACE}min")
        case Unit.SHARE:
            return signed(f"{100 * value:.{_digits(value)}f}{_SPACE}%")
        case Unit.POINTS:
            return signed(f"{100 * value:+.1f} points")
        case Unit.MONEY:
            return signed(_money(Money(amount_minor=round(value), currency=currency), rough))
    return signed(f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}")


def _money(money: Money, rough: bool) -> str:
    amount, _, currency = str(money).partition(" ")
    whole, dot, rest = amount.lstrip("-").partition(".")
    sign = "-" if money.amount_minor < 0 else ""
    if rough and int(whole) >= _ROUGH_MONEY:
        whole, dot, rest = str(round(float(f"{whole}.{rest or 0}"))), "", ""
    return f"{sign}{int(whole):,}{dot}{rest}{_SPACE if currency else ''}{currency}"


def _digits(share: float) -> int:
    # 99.7 % on time is not all of them.
    return 1 if 0 < share < 0.1 or 0.99 <= share < 1 else 0


def signed(text: str) -> str:
    """With a real minus sign, and no minus before a zero."""
    if text.startswith("-"):
        return text[1:] if not any(digit in text for digit in "123456789") else "−" + text[1:]
    return text


def of_hundred(share: float) -> str:
    """A share in words that stay true at the ends: 83 of 100, all, more than 99 of 100."""
    if share >= 1:
        return "all"
    if share <= 0:
        return "none"
    if share >= 0.995:
        return "more than 99 of 100"
    if share <= 0.005:
        return "fewer than 1 of 100"
    return f"{round(100 * share)} of 100"


def days(period: Period) -> str:
    """The period in words: 2 to 15 November 2026."""
    zone = ZoneInfo(period.time_zone)
    first, last = period.since.astimezone(zone), period.until.astimezone(zone)
    # An end at midnight is the end of the day before.
    if last > first and (last.hour, last.minute, last.second, last.microsecond) == (0, 0, 0, 0):
        last -= timedelta(days=1)
    if first.date() == last.date():
        return f"{first.day} {first:%B %Y}"
    start = f"{first.day}"
    if first.year != last.year:
        start += f" {first:%B %Y}"
    elif first.month != last.month:
        start += f" {first:%B}"
    return f"{start} to {last.day} {last:%B %Y}"


def listed(names: tuple[str, ...] | list[str]) -> str:
    """Names in a sentence: a, b and c."""
    return ", ".join(names[:-1]) + " and " + names[-1] if len(names) > 1 else "".join(names)
