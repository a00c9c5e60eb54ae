"""The texts of all pages, one folder a language, one file a page."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

LANGUAGES: Final = {"en": "English", "ru": "Русский"}
DEFAULT: Final = "en"
_FOLDER: Final = Path(__file__).parent / "texts"


@dataclass(frozen=True, slots=True)
class Texts:
    """The texts of one language by dotted key; the default language stands in for a missing one."""

    language: str
    texts: Mapping[str, str]
    otherwise: Mapping[str, str]

    def __call__(self, key: str, **values: Any) -> str:
        """The text of a key with `{name}` filled in.

        With a whole number `n`, `key.one`, `key.few` or `key.many` is taken where there is one.
        A key nobody has is told as it is: a test finds those.
        """
        found = None
        if isinstance(n := values.get("n"), int):
            found = self._find(f"{key}.{plural(self.language, n)}")
        if found is None:
            found = self._find(key)
        if found is None:
            return key
        return found.format(**values) if values else found

    def has(self, key: str) -> bool:
        """Whether there is such a text."""
        return self._find(key) is not None

    def _find(self, key: str) -> str | None:
        return self.texts.get(key, self.otherwise.get(key))


def plural(language: str, n: int) -> str:
    """`one`, `few` or `many`, as CLDR has it for whole numbers."""
    n = abs(n)
    if language == "ru":
        if n % 10 == 1 and n % 100 != 11:
            return "one"
        return "few" if n % 10 in (2, 3, 4) and n % 100 not in (12, 13, 14) else "many"
    return "one" if n == 1 else "many"


@cache
def texts_of(language: str) -> Texts:
    """The texts of a language; of the default one where there is no such."""
    known = language if language in LANGUAGES else DEFAULT
    return Texts(known, read(known), read(DEFAULT))


@cache
def read(language: str) -> Mapping[str, str]:
    """All texts of a language, as `file.key` or `file.part.key`."""
    found: dict[str, str] = {}
    for path in sorted((_FOLDER / language).glob("*.toml")):
        _flatten(path.stem, tomllib.loads(path.read_text(encoding="utf-8")), found)
    return found


def _flatten(name: str, value: Any, into: dict[str, str]) -> None:
    if isinstance(value, dict):
        for key, inner in value.items():
            _flatten(f"{name}.{key}", inner, into)
    else:
        into[name] = str(value)


def chosen(cookie: str | None, accept_language: str) -> str:
    """The language to answer in: the one chosen, else the first the browser asks for that is."""
    if cookie in LANGUAGES:
        return cookie
    for part in accept_language.split(","):
        wanted = part.partition(";")[0].strip().lower().partition("-")[0]
        if wanted in LANGUAGES:
            return wanted
    return DEFAULT
