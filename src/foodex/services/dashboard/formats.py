"""How pages write figures. Times are written by scripts, in the viewer's zone."""

import math
from datetime import UTC, datetime
from typing import Any, Final

from markupsafe import Markup, escape

NOTHING: Final = "–"
_THIN: Final = "\N{NARROW NO-BREAK SPACE}"
_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB")


def number(value: float | None, digits: int = 0, language: str = "en") -> str:
    """`1,234.5`, in Russian `1 234,5`; a dash for nothing."""
    if value is None or not math.isfinite(value):
        return NOTHING
    text = f"{value:,.{digits}f}"
    if language == "ru":
        return text.replace(",", _THIN).replace(".", ",")
    return text


def percent(share: float | None, digits: int = 0, language: str = "en") -> str:
    """A share of 1 in per cent."""
    if share is None:
        return NOTHING
    text = number(share * 100, digits, language)
    return f"{text}{_THIN}%" if language == "ru" else f"{text}%"


def money(minor: int | None, currency: str | None, language: str = "en") -> str:
    """Minor units as an amount with its currency."""
    if minor is None:
        return NOTHING
    sign = "−" if minor < 0 else ""
    whole, part = divmod(abs(minor), 100)
    separator = "," if language == "ru" else "."
    return f"{sign}{number(whole, 0, language)}{separator}{part:02d}{_THIN}{currency or ''}".strip()


def minutes(value: float | None, language: str = "en", digits: int = 0) -> str:
    """Minutes with their unit."""
    unit = "мин" if language == "ru" else "min"
    return NOTHING if value is None else f"{number(value, digits, language)}{_THIN}{unit}"


def seconds(value: float | None, language: str = "en") -> str:
    """A duration: `12 s`, `3 min 20 s`, `2 h 5 min`."""
    if value is None:
        return NOTHING
    s, m, h = ("с", "мин", "ч") if language == "ru" else ("s", "min", "h")
    whole = round(value)
    if whole < 60:
        return f"{number(value, 1 if value < 10 else 0, language)}{_THIN}{s}"
    if whole < 3600:
        return f"{whole // 60}{_THIN}{m} {whole % 60}{_THIN}{s}"
    return f"{whole // 3600}{_THIN}{h} {whole % 3600 // 60}{_THIN}{m}"


def size(count: int | None, language: str = "en") -> str:
    """Bytes in the unit that fits."""
    if count is None:
        return NOTHING
    value, unit = float(count), 0
    while value >= 1024 and unit < len(_UNITS) - 1:
        value, unit = value / 1024, unit + 1
    return f"{number(value, 1 if unit and value < 100 else 0, language)}{_THIN}{_UNITS[unit]}"


def when(moment: str | datetime | None, style: str = "datetime") -> Markup:
    """A moment as `<time>`, which the page's script writes in the viewer's zone and language.

    `style` is `datetime`, `date`, `time`, `day` (weekday, date and hour) or `ago`.
    """
    if not moment:
        return Markup(NOTHING)
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment)
    utc = moment.astimezone(UTC)
    plain = utc.strftime({"date": "%Y-%m-%d", "time": "%H:%M UTC"}.get(style, "%Y-%m-%d %H:%M UTC"))
    iso = utc.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return Markup('<time datetime="{}" data-style="{}">{}</time>').format(iso, style, plain)


def plain(value: Any) -> str:
    """Any value of a table's cell as text."""
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.6g}"
    return str(escape(value).unescape())
