"""Columns that tell the outcome: what is known only after the delivery must not be learned from."""

from collections.abc import Mapping
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from foodex.services.collector.naming import concepts_of
from foodex.services.collector.profiling import Profile

_ROWS: Final = 2_000
_EXACT: Final = 0.9995
_NEARLY: Final = 0.97
_FEW_GROUPS: Final = 50

Floats = NDArray[np.float64]


def told_by_name(name: str) -> str:
    """Why a name says that a column is known only after the delivery; empty if it does not."""
    concepts = set(concepts_of(name))
    if concepts & {"after", "difference"} and not concepts & {"courier", "person", "store"}:
        return "by its name it is known only after the delivery"
    if concepts & {"delivered", "actual"} or concepts >= {"prep", "actual"}:
        return "by its name it is known only after the delivery"
    return ""


def outcome_told(
    outcome: pl.Series, unassigned: Mapping[str, Profile], assigned: Mapping[str, Profile]
) -> dict[str, str]:
    """The unassigned columns from which the outcome can be read off, with the reason.

    A column alone (very high correlation, or groups that differ in hardly anything but the
    outcome), or together with one other by addition: `late = actual - promised`.
    """
    found: dict[str, str] = {}
    step = max(1, len(outcome) // _ROWS)
    y = outcome.gather_every(step).cast(pl.Float64).to_numpy()
    free = {name: _values(p, step) for name, p in unassigned.items() if p.numbers is not None}
    other = {name: _values(p, step) for name, p in assigned.items() if p.numbers is not None}
    for name, x in free.items():
        if _explained(y, x) > _NEARLY:
            found[name] = "it goes up and down with the outcome itself"
    for name, item in unassigned.items():
        if item.numbers is None and 2 <= item.distinct <= _FEW_GROUPS:
            share = _explained_by_groups(outcome, item.texts)
            if share > 0.8:
                found[name] = "its values are hardly more than names for ranges of the outcome"
    names = [name for name in free if name not in found]
    for index, name in enumerate(names):
        partners = {**other, **{later: free[later] for later in names[index + 1 :]}}
        for partner, z in partners.items():
            x = free[name]
            if _explained(y, x, z) > _EXACT and max(_explained(y, x), _explained(y, z)) < 0.99:
                found[name] = f"with {partner!r} it adds up to the outcome"
                if partner in free:
                    found[partner] = f"with {name!r} it adds up to the outcome"
    return found


def _values(item: Profile, step: int) -> Floats:
    assert item.numbers is not None
    return item.numbers.gather_every(step).cast(pl.Float64).fill_null(float("nan")).to_numpy()


def _explained(y: Floats, *columns: Floats) -> float:
    """The share of the outcome's variance that a linear function of the columns explains."""
    there = np.isfinite(y)
    for column in columns:
        there &= np.isfinite(column)
    if there.sum() < 30:
        return 0.0
    target = y[there] - y[there].mean()
    total = float(target @ target)
    matrix = np.column_stack([column[there] - column[there].mean() for column in columns])
    scale = np.abs(matrix).max(axis=0)
    if total == 0 or (scale == 0).any():
        return 0.0
    solution, *_ = np.linalg.lstsq(matrix / scale, target, rcond=None)
    rest = target - (matrix / scale) @ solution
    return 1 - float(rest @ rest) / total


def _explained_by_groups(outcome: pl.Series, groups: pl.Series) -> float:
    frame = pl.DataFrame({"y": outcome, "g": groups}).drop_nulls()
    sizes = frame["g"].value_counts()["count"]
    if len(frame) < 100 or len(sizes) < 2 or len(sizes) > len(frame) / 20:
        return 0.0
    within = frame.select((pl.col("y") - pl.col("y").mean().over("g")).pow(2).sum()).item()
    total = frame.select((pl.col("y") - pl.col("y").mean()).pow(2).sum()).item()
    return 1 - within / total if total else 0.0
