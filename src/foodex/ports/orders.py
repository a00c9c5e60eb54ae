"""Files of orders: read piece by piece, each row either an order or refused with its reason.

Readers and scorers are functions of modules: they are handed over by name to the process that
does the work, as `ports.work.Work` is.
"""

import importlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Protocol

import polars as pl

from foodex.core.errors import InternalError
from foodex.domain.deliveries import Kind
from foodex.domain.loads import Format

ROW: Final = "row"
"""The column with the row's number in its file, from 1; the header does not count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadRule:
    """How a file of orders is read.

    `mapping` is TOML; without it the file's columns are called as the delivery record's fields,
    or as one of the `extras` that the model reads. Orders must be placed before `latest`.
    """

    mapping: str | None = None
    extras: Mapping[str, Kind] = field(default_factory=dict)
    latest: datetime
    rows_at_once: int = 32_768
    file_bytes: int = 2 << 30
    line_bytes: int = 1 << 20
    columns: int = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """What a file of orders is: how many rows it has, broken ones among them."""

    format: Format
    rows: int
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Some rows of a file, in order.

    `came` is `row` and the columns as they came, of every row but broken lines; `lines` are those
    rows as they were written, where that is JSON. `orders` is `row` and canonical columns of the
    rows that can be used. `refused` is `row`, `field`, `rule`, `reason` and `values` (JSON) of the
    others, broken lines among them. `progress` is the share of the file read.
    """

    came: pl.DataFrame
    lines: tuple[str, ...] | None
    orders: pl.DataFrame
    refused: pl.DataFrame
    progress: float


Read = Callable[[Path, ReadRule], Iterator[Piece]]
"""Reads a file; `InvalidInput` or `TooLarge` for one that cannot be read, or does not fit."""

Examine = Callable[[Path, ReadRule], Examined]
"""Counts a file's rows and sees whether it can be read; raises as `Read` does."""


class Scoring(Protocol):
    """A version of a model and its history, ready to forecast many orders, for several threads."""

    @property
    def extras(self) -> Mapping[str, Kind]:
        """The columns beyond the delivery record that it reads."""
        ...

    @property
    def now(self) -> datetime:
        """When orders that do not say so are placed."""
        ...

    @property
    def model(self) -> str:
        """The model's name."""
        ...

    @property
    def version(self) -> int:
        """Its version."""
        ...

    def score(self, orders: pl.DataFrame) -> pl.DataFrame:
        """Forecasts in the order of the rows: quantiles in minutes as `q05` to `q95`,
        `promise_minutes`, `earliest_minutes` and `source`."""
        ...


Scorer = Callable[[Path, int], Scoring]
"""Loads what the ml service packed into a folder; each call then uses up to so many threads."""


def name_of(function: Callable[..., Any]) -> str:
    """The name under which another process finds a function of a module."""
    if "." in function.__qualname__ or function.__module__ == "__main__":
        raise TypeError(f"{function!r} is not a function of a module that can be imported")
    return f"{function.__module__}:{function.__qualname__}"


def named(name: str) -> Any:
    """The function of that name."""
    module, _, function = name.partition(":")
    try:
        return getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise InternalError(f"There is no function {name}") from error
