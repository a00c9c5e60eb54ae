"""What a column's values look like: the evidence behind a suggestion."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

from foodex.domain.deliveries import Kind
from foodex.domain.mappings import CLOCK, ISO, MISSING, FieldRule
from foodex.services.collector import times
from foodex.services.collector.values import clean, numbers

_LOOKED_AT: Final = 4_000
ENOUGH: Final = 0.97
"""The share of values that must be readable in one way."""

_DATES: Final = (
    ISO,
    *("%d-%m-%Y", "%m-%d-%Y", "%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%Y/%m/%d", "%Y.%m.%d"),
    *("%Y%m%d", "%d/%m/%y", "%m/%d/%y", "%d-%m-%y", "%d.%m.%y", "%d %b %Y", "%b %d, %Y"),
    *("%d-%b-%Y", "%d-%b-%y", "%d %B %Y", "%B %d, %Y"),
)
_CLOCKS: Final = ("%H:%M:%S%.f", "%H:%M", "%I:%M:%S %p", "%I:%M %p", "%H.%M")
_JOINTS: Final = (" ", ", ", "T")
_WEEKDAY: Final = r"^(?i)(mon|tue|wed|thu|fri|sat|sun)[a-z]{0,6}\.?$"
# A unit or a sign of money around a number; a letter right before digits is an identifier's.
_DRESSED: Final = (
    r"^(?:[A-Za-z]{0,4}[^\w\s-]{1,3}\s*|[A-Za-z]{1,4}\s)?[-+]?\d[\d.,]*\s*[^\d]{0,12}$"
)
_SPLITS: Final = frozenset(
    ("train", "training", "validation", "valid", "val", "test", "testing", "holdout", "dev")
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One column of a sample.

    `shape` is `empty`, `constant`, `number`, `instant`, `date`, `clock`, `weekday` or `text`;
    `numbers` holds the values of a number, null where missing. `zoned` tells that instants carry
    their offset; `doubt` why a format might be another.
    """

    name: str
    shape: str
    count: int
    distinct: int
    missing_share: float
    numbers: pl.Series | None = None
    formats: tuple[str, ...] = ()
    zoned: bool = False
    strip: tuple[str, ...] = ()
    number_in_text: bool = False
    decimal: str = "."
    around: str = ""
    doubt: str = ""
    texts: pl.Series

    @property
    def whole(self) -> bool:
        """Whether all numbers are whole."""
        values = self.present
        return bool((values == values.floor()).all()) if len(values) else False

    @property
    def present(self) -> pl.Series:
        """The numbers that are there."""
        return pl.Series(dtype=pl.Float64) if self.numbers is None else self.numbers.drop_nulls()

    def quantile(self, share: float) -> float:
        """A quantile of the numbers; 0 without any."""
        found = self.present.quantile(share)
        return 0.0 if found is None else float(found)

    @property
    def is_split(self) -> bool:
        """Whether it says which part of an experiment a row belongs to."""
        words = {str(value).lower() for value in self.texts.drop_nulls().unique()}
        return 1 < len(words) <= 4 and words <= _SPLITS


def profile(column: pl.Series, *, comma_possible: bool) -> Profile:
    """Look at one column of texts; `comma_possible` says that a decimal comma may occur."""
    rule = FieldRule(name=column.name, kind=Kind.TEXT)
    texts = clean(column, rule, MISSING)
    there = texts.drop_nulls()
    about: dict[str, object] = {
        "name": column.name,
        "count": len(there),
        "distinct": there.n_unique() if len(there) else 0,
        "missing_share": 1 - len(there) / max(len(column), 1),
    }
    if there.is_empty():
        return Profile(shape="empty", texts=texts, **about)  # type: ignore[arg-type]
    about["texts"] = texts
    shape, found = _shape(texts, _sample(there), comma_possible)
    strip = _prefix(there) if shape == "text" else ""
    if strip:
        texts = clean(column, FieldRule(name="", kind=Kind.TEXT, strip=(strip,)), MISSING)
        about |= {"strip": (strip,), "around": strip, "texts": texts}
        shape, found = _shape(texts, _sample(texts.drop_nulls()), comma_possible)
    if about["distinct"] == 1 and shape not in ("instant", "date"):
        shape = "constant"
    return Profile(shape=shape, **(about | found))  # type: ignore[arg-type]


def _sample(there: pl.Series) -> pl.Series:
    return there.gather_every(max(1, len(there) // _LOOKED_AT)).head(_LOOKED_AT)


def _shape(texts: pl.Series, sample: pl.Series, comma: bool) -> tuple[str, dict[str, object]]:
    number = _number(texts, sample, comma)
    if number is None:
        formats, share = _covering(sample, (CLOCK, "day_fraction"), "clock")
        if share >= ENOUGH and CLOCK in formats:
            return "clock", {"formats": formats}
        if sample.str.contains(_WEEKDAY).mean() == 1.0:
            return "weekday", {}
        timely = _timely(sample)
        if timely is not None:
            return timely
        number = _dressed(texts, sample)
        return ("number", number) if number else ("text", {})
    values = number["numbers"]
    assert isinstance(values, pl.Series)
    there = values.drop_nulls()
    low, high = float(there.min() or 0), float(there.max() or 0)  # type: ignore[arg-type]
    for name, scale in (("epoch_s", 1), ("epoch_ms", 1_000), ("epoch_us", 1_000_000)):
        if 0.9e9 * scale < low and high < 2.5e9 * scale:
            return "instant", {"formats": (name,), "zoned": True, **number}
    if low >= 19_900_101 and high <= 21_001_231:
        formats, share = _covering(sample, ("%Y%m%d",), "date")
        if share >= ENOUGH:
            return "date", {"formats": formats}
    return "number", number


def _number(texts: pl.Series, sample: pl.Series, comma: bool) -> dict[str, object] | None:
    for decimal in (".", ",") if comma else (".",):
        if decimal == "," and not sample.str.contains(r"^[-+]?\d+,\d{1,2}$|\d,\d{4,}$").any():
            continue
        found = numbers(sample, decimal=decimal)
        if found.is_not_null().mean() >= ENOUGH:  # type: ignore[operator]
            return {"numbers": numbers(texts, decimal=decimal), "decimal": decimal}
    return None


def _dressed(texts: pl.Series, sample: pl.Series) -> dict[str, object] | None:
    """Numbers with something around them: `24 min`, `$12.50`."""
    if sample.str.contains(_DRESSED).mean() < ENOUGH:  # type: ignore[operator]
        return None
    bare = sample.str.replace_all(r"[\d.,+\s-]", "").str.to_lowercase()
    if bare.n_unique() > 3:
        return None
    comma = bool(sample.str.contains(r"\d,\d{1,2}\D*$").all())
    decimal = "," if comma else "."
    found = numbers(texts, decimal=decimal, in_text=True)
    around = str(bare.mode()[0])
    return {"numbers": found, "number_in_text": True, "decimal": decimal, "around": around}


def _prefix(there: pl.Series) -> str:
    """Words that stand before every value, such as `conditions ` before `Sunny`."""
    distinct = there.unique().head(200).to_list()
    if len(distinct) < 2:
        return ""
    first, last = min(distinct), max(distinct)
    length = next(
        (i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b),
        min(len(first), len(last)),
    )
    found = re.match(r"^.*[\s)\]:]", first[:length])
    prefix = found.group(0) if found else ""
    return prefix if re.search(r"[A-Za-z]", prefix) and not re.search(r"\d", prefix) else ""


def _timely(sample: pl.Series) -> tuple[str, dict[str, object]] | None:
    formats, share = _covering(sample, _DATES, "date")
    if share >= ENOUGH:
        return "date", {"formats": formats, "doubt": _doubt(sample, formats, "date")}
    instants = [ISO, "%Y-%m-%dT%H:%M:%S%.fZ"]
    instants += (
        [f"{day}{joint}{clock}" for day in _DATES[1:] for joint in _JOINTS for clock in _CLOCKS]
        if sample.str.contains(r"\d[:.]\d\d").any()
        else []
    )
    formats, share = _covering(sample, instants, "instant")
    if share < ENOUGH:
        return None
    zoned = bool(sample.str.contains(r"(Z|UTC|GMT|[-+]\d{2}:?\d{2})$").all())
    return "instant", {
        "formats": formats,
        "zoned": zoned,
        "doubt": _doubt(sample, formats, "instant"),
    }


def _read(sample: pl.Series, name: str, shape: str) -> pl.Series:
    if shape == "clock":
        return times.clocks(sample, (name,))
    if shape == "date":
        return times.days(sample, (name,))
    return times.instants(sample, (name,), "UTC")


def _covering(sample: pl.Series, names: Sequence[str], shape: str) -> tuple[tuple[str, ...], float]:
    """The fewest formats that read the sample, best first, and the share they read."""
    found: list[str] = []
    left = sample
    while len(left) and len(found) < 4:
        probe = left.head(40)
        scores = []
        for order, name in enumerate(names):
            # A format that reads none of the first values is not worth the rest.
            few = _read(probe, name, shape)
            if few.null_count() == len(few):
                continue
            read = _read(left, name, shape)
            scores.append((-int(read.count()), _spread(read, shape), order, name, read))
        if not scores or -min(scores)[0] < max(1, 0.005 * len(sample)):
            break
        best = min(scores, key=lambda score: score[:3])
        found.append(best[3])
        left = left.filter(best[4].is_null())
    return tuple(found), 1 - len(left) / max(len(sample), 1)


def _spread(read: pl.Series, shape: str) -> float:
    """How far the values lie apart in time: a month read as a day scatters them."""
    if shape == "clock" or read.null_count() == len(read):
        return 0.0
    days = read.cast(pl.Date).cast(pl.Int32).drop_nulls().cast(pl.Float64)
    steps = days.diff().abs().mean()
    return float(steps or 0.0)  # type: ignore[arg-type]


def _doubt(sample: pl.Series, formats: tuple[str, ...], shape: str) -> str:
    """Another format that reads everything as well: the day and the month might be swapped."""
    name = formats[0] if len(formats) == 1 else ""
    if "%m" not in name or "%d" not in name or name.startswith("%Y"):
        return ""
    swapped = name.replace("%d", "\0").replace("%m", "%d").replace("\0", "%m")
    if _read(sample, swapped, shape).null_count() == 0:
        return f"{name} or {swapped}? both can read every value"
    return ""
