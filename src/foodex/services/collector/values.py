"""Texts of a source as numbers and words: vectorised, and nothing that fails is lost sight of.

Every function takes a series of texts and gives a series in which null means missing or not
readable; comparing with the nulls of the input tells the two apart.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

import polars as pl

from foodex.domain.mappings import WEEKDAY_NUMBERINGS, FieldRule

Attempt = Callable[[pl.Series], pl.Series]

_NUMBER: Final = r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?"
_WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_SPACES: Final = " \t\r\n\u00a0\u202f"


def first_that_fits(values: pl.Series, attempts: Iterable[Attempt]) -> pl.Series:
    """Each value by the first attempt that can read it; later ones see only what is left."""
    found: pl.Series | None = None
    for attempt in attempts:
        if found is None:
            found = attempt(values)
            continue
        left = found.is_null() & values.is_not_null()
        if not left.any():
            break
        found = found.scatter(left.arg_true(), attempt(values.filter(left)))
    if found is None:
        raise ValueError("there must be an attempt")
    return found


def clean(values: pl.Series, rule: FieldRule, missing: Sequence[str]) -> pl.Series:
    """The texts without blanks around them, prefixes stripped, what means missing as null."""
    texts = values.str.strip_chars(_SPACES)
    for prefix in rule.strip:
        texts = texts.str.strip_prefix(prefix.strip()).str.strip_chars(_SPACES)
    if rule.values:
        texts = texts.replace(dict(rule.values))
    words = _spellings(missing if rule.missing is None else rule.missing)
    absent = texts.is_in(words)
    return texts.set(absent, None) if absent.any() else texts


def _spellings(words: Iterable[str]) -> list[str]:
    found = {
        text
        for word in (item.strip() for item in words)
        for text in (word, word.lower(), word.upper(), word.capitalize())
    }
    return sorted(found)


def numbers(texts: pl.Series, *, decimal: str, in_text: bool = False) -> pl.Series:
    """Texts as finite float64; a thousands separator and a sign of percent are understood."""
    if decimal == ",":
        texts = texts.str.replace_all(".", "", literal=True).str.replace(",", ".", literal=True)
    attempts: list[Attempt] = [_plain, _dressed]
    if in_text:
        attempts.append(lambda left: _plain(left.str.extract(f"({_NUMBER})")))
    return first_that_fits(texts, attempts)


def _plain(texts: pl.Series) -> pl.Series:
    found = texts.cast(pl.Float64, strict=False)
    wrong = ~found.is_finite()
    return found.set(wrong, None) if wrong.any() else found


def _dressed(texts: pl.Series) -> pl.Series:
    bare = texts.str.replace_all(r"[\s\u{a0}\u{202f}']", "").str.strip_suffix("%")
    grouped = bare.str.contains(r"^[-+]?\d{1,3}(,\d{3})+(\.\d*)?$")
    return _plain(bare.zip_with(~grouped, bare.str.replace_all(",", "", literal=True)))


def weekdays(texts: pl.Series, numbering: str | None) -> pl.Series:
    """Weekdays by name (`Thu`, `thursday`) or number as int64, Monday being 0."""
    monday, low = WEEKDAY_NUMBERINGS[numbering or "monday_0"]
    names = {name: str((index + monday - low) % 7 + low) for index, name in enumerate(_WEEKDAYS)}
    short = texts.str.to_lowercase().str.slice(0, 3)
    named = texts.str.contains(r"^[A-Za-z]{3,9}\.?$")
    given = _plain(texts.zip_with(~named, short.replace_strict(names, default=None)))
    whole = (given == given.floor()) & given.is_between(low, low + 6)
    return ((given.set(~whole, None) - monday) % 7).cast(pl.Int64)
