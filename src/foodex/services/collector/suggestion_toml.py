"""Writing a suggested mapping as TOML that explains itself."""

import json
from dataclasses import dataclass, field
from typing import Any, Final

from foodex.domain.deliveries import FIELD
from foodex.domain.mappings import UNKNOWN_ZONE

_SURE: Final = 0.6


@dataclass
class Entry:
    """One field or extra being drafted."""

    columns: tuple[str, ...]
    sure: float
    keys: dict[str, Any] = field(default_factory=dict)
    doubt: str = ""


@dataclass
class Draft:
    """A mapping being drafted."""

    file: str = ""
    delimiter: str | None = None
    headerless: tuple[str, ...] = ()
    time_zone: str | None = None
    fields: dict[str, Entry] = field(default_factory=dict)
    extras: dict[str, Entry] = field(default_factory=dict)
    skip: list[tuple[str, list[str]]] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)
    questions: list[str] = field(default_factory=list)


def write(draft: Draft) -> str:
    """The draft as TOML with comments."""
    lines = [
        f"# A first mapping for {_plain(draft.file)}: guesses, to be read through and corrected.",
        "# Per cent tell how sure each guess is.",
    ]
    if draft.questions:
        lines += ["#", "# To be answered by you:"]
        lines += [f"#  {number}. {_plain(text)}" for number, text in enumerate(draft.questions, 1)]
    lines.append("")
    if draft.time_zone is not None:
        hint = "  # <- where does the business live?" if draft.time_zone == UNKNOWN_ZONE else ""
        lines += [f"time_zone = {_value(draft.time_zone)}{hint}", ""]
    if draft.delimiter not in (None, ",") or draft.headerless:
        lines.append("[file]")
        if draft.delimiter not in (None, ","):
            lines.append(f"delimiter = {_value(draft.delimiter)}")
        if draft.headerless:
            lines += ["header = false", f"columns = {_value(list(draft.headerless))}"]
        lines.append("")
    lines.append("[fields]")
    for name in FIELD:
        if name in draft.fields:
            lines += _entry(name, draft.fields[name], told=True)
    if draft.extras:
        lines += ["", "[extras]"]
        for name, entry in draft.extras.items():
            lines += _entry(name, entry, told=False)
    for column, values in draft.skip:
        lines += ["", "[[skip_where]]", f"column = {_value(column)}", f"is = {_value(values)}"]
    if draft.left_out:
        lines += ["", "# Left out:"]
        lines += [f"#  {_plain(name)}: {_plain(why)}" for name, why in draft.left_out]
    return "\n".join(lines) + "\n"


def _entry(name: str, entry: Entry, *, told: bool) -> list[str]:
    inside = ", ".join(f"{key} = {_value(value)}" for key, value in entry.keys.items())
    notes = []
    if told:
        notes.append(f"{round(entry.sure * 100)} %" + ("" if entry.sure >= _SURE else ", doubtful"))
    if entry.doubt:
        notes.append(_plain(entry.doubt))
    ending = f"  # {'; '.join(notes)}" if notes else ""
    return [f"{name} = {{ {inside} }}{ending}"]


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    # A JSON string is a TOML basic string, but for the delete character.
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")


def _plain(text: str) -> str:
    """A text that can stand in a comment."""
    return "".join(char if char.isprintable() else " " for char in text)
