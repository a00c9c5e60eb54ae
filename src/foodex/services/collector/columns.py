"""The columns of data sets that loads fill, and whether a mapping fits its file."""

import re
from collections.abc import Iterable
from difflib import get_close_matches

from foodex.core.errors import FieldProblem, InvalidInput
from foodex.domain.datasets import LOAD_ID, ROW_ID, Column
from foodex.domain.deliveries import FIELD, Kind
from foodex.domain.mappings import RecordMapping
from foodex.services.collector.applying import columns_of

_LONGEST = 48


def plain_name(name: str, taken: Iterable[str] = ()) -> str:
    """A column's name in small letters, digits and `_`, unlike those taken."""
    spaced = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name)
    base = re.sub(r"[^a-z0-9]+", "_", spaced.lower()).strip("_") or "column"
    base = (base if base[0].isalpha() else f"c_{base}")[:_LONGEST]
    found, number = base, 2
    while found in taken:
        ending = f"_{number}"
        found, number = base[: _LONGEST - len(ending)] + ending, number + 1
    return found


def raw_names(columns: Iterable[str]) -> dict[str, str]:
    """The names under which a source's columns stand in the raw data set."""
    taken = {ROW_ID, LOAD_ID}
    found: dict[str, str] = {}
    for column in columns:
        found[column] = plain_name(column, taken)
        taken.add(found[column])
    return found


def raw_columns(names: dict[str, str]) -> tuple[Column, ...]:
    """Columns of a raw data set: all text, each telling what it was called."""
    return tuple(
        Column(name=name, kind=Kind.TEXT, meaning=f"as it came in {column!r}")
        for column, name in names.items()
    )


def processed_columns(mapping: RecordMapping) -> tuple[Column, ...]:
    """Columns of a processed data set that this mapping fills."""
    origin = {rule.name: rule.column or "" for rule in mapping.extras}
    return tuple(
        Column(
            name=name,
            kind=kind,
            meaning=FIELD[name].meaning if name in FIELD else f"column {origin[name]!r}",
        )
        for name, kind in columns_of(mapping).items()
    )


def check_columns(mapping: RecordMapping, columns: Iterable[str], file: str) -> None:
    """Refuse a mapping that reads columns which the file does not have.

    Raises:
        InvalidInput: each missing column, with close names.
    """
    there = list(columns)
    problems = []
    for column, key in mapping.columns:
        if column not in there:
            folded = {name.casefold(): name for name in there}
            close = get_close_matches(column.casefold(), folded, n=2, cutoff=0.5)
            names = " or ".join(repr(folded[name]) for name in close)
            hint = f"; did you mean {names}?" if close else ""
            problems.append(FieldProblem(key, f"the file has no column {column!r}{hint}"))
    if problems:
        shown = ", ".join(there[:40]) + (", …" if len(there) > 40 else "")
        raise InvalidInput(
            f"The mapping does not fit {file}, whose columns are: {shown}", problems=problems
        )
