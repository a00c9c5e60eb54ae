"""Texts of a source as instants, days and times of day.

A local time that does not exist (the clock went forward over it) is not readable; one that exists
twice is its first occurrence.
"""

from collections.abc import Sequence
from datetime import date
from functools import partial
from typing import Final

import polars as pl

from foodex.domain.mappings import CLOCK, ISO
from foodex.services.collector.values import Attempt, first_that_fits

INSTANT: Final = pl.Datetime("us", "UTC")
DAY_US: Final = 86_400_000_000
EARLIEST_YEAR: Final = 1990
LATEST_YEAR: Final = 2100
"""No delivery was recorded outside these years: a wrong unit or a wrong format is meant."""

_EPOCHS: Final = {"epoch_s": 1_000_000, "epoch_ms": 1_000, "epoch_us": 1}
_SPREADSHEET_DAYS: Final = (date(1970, 1, 1) - date(1899, 12, 30)).days
_LOCAL: Final = ("%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M")
_OFFSET: Final = ("%Y-%m-%d %H:%M:%S%.f%#z", "%Y-%m-%d %H:%M%#z")
_IN_UTC: Final = ("%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S%.f")
_CLOCK: Final = r"^(\d{1,2})[:hH](\d{2})(?::(\d{2})(\.\d+)?)?\s*([aApP])?\.?[mM]?\.?$"
# A point is a clock's only before "pm": alone, 0.25 is a quarter of a day.
_POINTED: Final = r"^(\d{1,2})\.(\d{2}\s*[aApP]\.?[mM]\.?)$"
_LAST_HOUR: Final = 29


def instants(texts: pl.Series, formats: Sequence[str], zone: str | None) -> pl.Series:
    """Texts as instants in UTC; `zone` is where times without an offset were written."""
    attempts = [partial(_instants, name=name, zone=zone) for name in formats or (ISO,)]
    return _sensible(first_that_fits(texts, attempts))


def _instants(texts: pl.Series, *, name: str, zone: str | None) -> pl.Series:
    if name == ISO:
        return _iso(texts, zone)
    if name in _EPOCHS:
        # Ten thousand years of microseconds still fit; more is no time at all.
        return _from_us(texts.cast(pl.Float64, strict=False) * _EPOCHS[name])
    if name == "excel_days":
        return localised(_excel(texts), zone)
    if "%z" in name or "%:z" in name or "%#z" in name:
        return texts.str.to_datetime(name, strict=False, time_unit="us", time_zone="UTC")
    if name.endswith("Z") and not name.endswith("%Z"):
        found = texts.str.to_datetime(name, strict=False, time_unit="us")
        return found.dt.replace_time_zone("UTC")
    return localised(texts.str.to_datetime(name, strict=False, time_unit="us"), zone)


def _iso(texts: pl.Series, zone: str | None) -> pl.Series:
    if (found := _in_utc(texts)) is not None:
        return found
    spaced = texts.str.replace(r"^(.{10})T", "$1 ")

    def local(left: pl.Series, pattern: str) -> pl.Series:
        found = left.str.to_datetime(pattern, strict=False, time_unit="us")
        return localised(found, zone)

    def offset(left: pl.Series, pattern: str) -> pl.Series:
        tight = left.str.replace(r"\s*(UTC|GMT|Z|z)$", "Z").str.replace(r"\s+([-+])", "$1")
        tight = tight.set(~tight.str.contains(r"(Z|:\d{2}(\.\d+)?[-+]\d{2}(:?\d{2})?)$"), None)
        return tight.str.to_datetime(pattern, strict=False, time_unit="us", time_zone="UTC")

    attempts: list[Attempt] = []
    if zone is not None:
        attempts += [partial(local, pattern=pattern) for pattern in _LOCAL]
    attempts += [partial(offset, pattern=pattern) for pattern in _OFFSET]
    return first_that_fits(spaced, attempts)


def _in_utc(texts: pl.Series) -> pl.Series | None:
    """Texts that are all spelled like `2026-11-21T12:30:00Z`, which takes an eighth of the time."""
    if not texts.str.ends_with("Z").all():
        return None
    bare = texts.str.strip_suffix("Z")
    for pattern in _IN_UTC:
        found = bare.str.to_datetime(pattern, strict=False, time_unit="us")
        if found.null_count() == texts.null_count():
            return found.dt.replace_time_zone("UTC")
    return None


def _from_us(microseconds: pl.Series) -> pl.Series:
    possible = microseconds.is_finite() & (microseconds.abs() < 3e17)
    return microseconds.set(~possible, None).round().cast(pl.Int64).cast(INSTANT)


def _excel(texts: pl.Series) -> pl.Series:
    days = texts.cast(pl.Float64, strict=False)
    seconds = (days.set(~days.is_between(1, 200_000), None) * 86_400).round()
    since_1970 = (seconds * 1_000_000).cast(pl.Int64) - _SPREADSHEET_DAYS * DAY_US
    return since_1970.cast(pl.Datetime("us"))


def localised(naive: pl.Series, zone: str | None) -> pl.Series:
    """Naive local times of a zone as instants in UTC; without a zone nothing can be known."""
    if zone is None:
        return pl.Series(naive.name, [None] * len(naive), dtype=INSTANT)
    placed = naive.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
    return placed.dt.convert_time_zone("UTC")


def _sensible(found: pl.Series) -> pl.Series:
    wrong = ~found.dt.year().is_between(EARLIEST_YEAR, LATEST_YEAR)
    return found.set(wrong, None) if wrong.any() else found


def days(texts: pl.Series, formats: Sequence[str]) -> pl.Series:
    """Texts as dates."""

    def attempt(left: pl.Series, name: str) -> pl.Series:
        if name == "excel_days":
            return _excel(left).dt.date()
        if name != ISO:
            return left.str.to_date(name, strict=False)
        # An export may write a date with the midnight of its day.
        bare = left.str.replace(r"[ T]00:00(:00(\.0+)?)?Z?$", "")
        return bare.str.to_date("%Y-%m-%d", strict=False)

    found = first_that_fits(texts, [partial(attempt, name=name) for name in formats or (ISO,)])
    return _sensible(found)


def clocks(texts: pl.Series, formats: Sequence[str]) -> pl.Series:
    """Texts as microseconds since midnight (int64); 24:10 is ten past the next midnight."""
    return first_that_fits(
        texts, [partial(_clocks, name=name) for name in formats or (CLOCK, "day_fraction")]
    )


def _clocks(texts: pl.Series, *, name: str) -> pl.Series:
    if name in ("day_fraction", "decimal_hour"):
        given = texts.cast(pl.Float64, strict=False)
        fraction = given / 24 if name == "decimal_hour" else given
        fraction = fraction.set(~fraction.is_between(0, 1), None)
        return (fraction * 86_400).round().cast(pl.Int64) * 1_000_000
    if name != CLOCK:
        return texts.str.to_time(name, strict=False).cast(pl.Int64) // 1_000
    parts = texts.str.replace(_POINTED, "$1:$2").str.extract_groups(_CLOCK).struct.unnest()
    hour, minute, second = (parts.to_series(index).cast(pl.Int64) for index in (0, 1, 2))
    fraction = parts.to_series(3).cast(pl.Float64).fill_null(0.0)
    half = parts.to_series(4).str.to_lowercase()
    twelve = half.is_not_null()
    hour = hour.set(twelve & ~hour.is_between(1, 12), None)
    evening = (half == "p").fill_null(value=False).cast(pl.Int64) * 12
    hour = hour.zip_with(~twelve, hour % 12 + evening)
    second = second.fill_null(0)
    possible = hour.is_between(0, _LAST_HOUR) & (minute < 60) & (second < 60)
    whole = ((hour * 60 + minute) * 60 + second) * 1_000_000
    found = whole + (fraction * 1e6).round().cast(pl.Int64)
    return found.set(~possible.fill_null(value=False), None)


def joined(dates: pl.Series, clock: pl.Series, zone: str | None) -> pl.Series:
    """Local dates with microseconds since their midnight as instants in UTC."""
    naive = (dates.cast(pl.Datetime("us")).cast(pl.Int64) + clock).cast(pl.Datetime("us"))
    return _sensible(localised(naive, zone))
