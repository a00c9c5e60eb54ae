"""Guessing the unit of a column from its name and its values."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from foodex.services.collector.naming import words_of
from foodex.services.collector.profiling import Profile

_NAMED: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    "min": {
        "seconds": ("seconds", "second", "sec", "secs", "s"),
        "minutes": ("minutes", "minute", "min", "mins", "m"),
        "hours": ("hours", "hrs", "hr", "h"),
        "milliseconds": ("ms", "millis", "milliseconds", "msec"),
    },
    "km": {
        "km": ("km", "kms", "kilometers", "kilometres", "kilometer", "kilometre"),
        "miles": ("mi", "mile", "miles"),
        "m": ("m", "meter", "meters", "metre", "metres"),
        "feet": ("ft", "feet", "foot"),
        "yards": ("yd", "yards"),
    },
    "°C": {
        "c": ("c", "celsius", "centigrade", "degc"),
        "f": ("f", "fahrenheit", "degf"),
        "k": ("k", "kelvin"),
    },
    "m/s": {
        "m/s": ("mps", "ms"),
        "km/h": ("kmh", "kph", "kmph"),
        "mph": ("mph",),
        "knots": ("kn", "kt", "kts", "knots"),
    },
    "mm": {"mm": ("mm",), "inches": ("in", "inch", "inches"), "cm": ("cm",)},
    "0-1": {
        "percent": ("percent", "pct", "percentage", "perc"),
        "oktas": ("oktas", "okta", "eighths"),
        "share": ("share", "fraction"),
    },
    "minor units": {
        "minor": ("minor", "cents", "cent", "pence", "paise", "kopecks", "öre", "ore"),
        "major": ("eur", "usd", "gbp", "inr", "dollars", "euros", "rupees", "pounds"),
    },
}


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit, and whether it was only guessed from the size of the values."""

    name: str
    doubt: str = ""


def unit_of(own: str, item: Profile) -> Unit | None:
    """The unit a column is in, for a field whose own unit is `own`; None if it has none."""
    if own not in _NAMED:
        return None
    if item.shape == "clock":
        return Unit("clock")
    words = [*words_of(item.name), *words_of(item.around)]
    if own == "m/s" and {"km", "h"} <= set(words):
        return Unit("km/h")
    for word in reversed(words):
        for unit, names in _NAMED[own].items():
            if word in names:
                return Unit(unit)
    if own == "0-1" and "%" in item.around:
        return Unit("percent")
    return _by_size(own, item)


def _by_size(own: str, item: Profile) -> Unit:
    middle, high = item.quantile(0.5), item.quantile(1.0)
    if own == "min":
        if middle > 20_000:
            return Unit("milliseconds", "the values are large enough for milliseconds")
        if middle > 240:
            return Unit("seconds", "the values are too large for minutes")
        if middle < 2.5:
            return Unit("hours", "the values are small enough for hours")
        return Unit("minutes")
    if own == "km":
        if middle > 150:
            return Unit("m", "the values are too large for kilometres")
        return Unit("km", "kilometres or miles? nothing tells")
    if own == "°C":
        if middle > 200:
            return Unit("k")
        return Unit("f") if middle > 45 else Unit("c")
    if own == "m/s":
        if middle > 12:
            return Unit("km/h", "the values are large for m/s")
        return Unit("m/s")
    if own == "0-1":
        if high <= 1:
            return Unit("share")
        return Unit("oktas") if high <= 8 and item.whole else Unit("percent")
    if own == "minor units":
        if not item.whole:
            return Unit("major")
        if middle >= 500:
            return Unit("minor", "whole numbers of this size look like cents")
        return Unit("major", "whole numbers: whole units of money, or cents?")
    return Unit("mm")
