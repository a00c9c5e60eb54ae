"""Data sets, their rows and the questions asked of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from foodex.domain.deliveries import Kind

ROW_ID: Final = "row_id"
"""Every stored row's own number (int64): `load * ROWS_PER_LOAD + row number in its source`."""
LOAD_ID: Final = "load_id"
"""The load (int64) that brought a row; 0 for rows written by hand."""
ROWS_PER_LOAD: Final = 2**32

NAME_PATTERN: Final = r"^[a-z][a-z0-9_]{0,47}$"
"""What a data set, a model or an extra column may be called."""


class Layer(StrEnum):
    """`raw` holds rows as they came (every value text); `processed` holds the canonical record."""

    RAW = "raw"
    PROCESSED = "processed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of a data set."""

    name: str
    kind: Kind
    meaning: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetSpec:
    """What a data set is to be: `time_zone` is the IANA zone its local hours are meant in."""

    name: str
    layer: Layer = Layer.PROCESSED
    columns: tuple[Column, ...] = ()
    description: str = ""
    time_zone: str = "UTC"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """A data set as it stands. `first_at` and `last_at` bound `placed_at` where there is one."""

    name: str
    layer: Layer
    columns: tuple[Column, ...]
    rows: int
    description: str
    time_zone: str
    created_at: datetime
    changed_at: datetime
    first_at: datetime | None = None
    last_at: datetime | None = None


class Comparison(StrEnum):
    """How a condition compares; `in` takes a list, `null` takes true or false."""

    EQ = "eq"
    NE = "ne"
    LT = "lt"
    LE = "le"
    GT = "gt"
    GE = "ge"
    IN = "in"
    CONTAINS = "contains"
    NULL = "null"


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One condition on rows; several together must all hold."""

    field: str
    comparison: Comparison = Comparison.EQ
    value: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RowsPage:
    """Some rows in order of `row_id`; `next_after` is the cursor of the next page, if any."""

    rows: tuple[Mapping[str, Any], ...]
    next_after: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryLimits:
    """What one analytical question may cost."""

    seconds: float = 30.0
    rows: int = 10_000
    memory_bytes: int = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryResult:
    """The answer to a read-only question; `truncated` says that the row limit cut it."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[Any, ...], ...]
    truncated: bool
    elapsed_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredObject:
    """An object's name and facts."""

    key: str
    size_bytes: int
    changed_at: datetime
    etag: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectsPage:
    """Some objects in order of key; `next_after` is the cursor of the next page, if any."""

    objects: tuple[StoredObject, ...]
    next_after: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One line of the log of actions: who did what to what, when."""

    id: int
    at: datetime
    who: str
    what: str
    target: str
    details: Mapping[str, Any] = field(default_factory=dict)
