"""Columns: what every computation here is done on, whether for a million orders or for one.

A column is a one-dimensional array, one value an order:

- number and integer fields: float64, NaN where missing;
- times: float64 microseconds since 1970 in UTC (exact up to the year 2255), NaN where missing;
- texts and categories: object arrays of `str`, None where missing.

A field that no order has is absent from the mapping.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import repeat
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from foodex.core.errors import FieldProblem, InvalidInput
from foodex.domain.deliveries import FIELD, Kind
from foodex.eta.threads import each

Columns = dict[str, NDArray[Any]]
"""Field name -> array; all arrays of one length."""

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

US_PER_MINUTE: Final = 60_000_000.0
_TEXTS: Final = (Kind.TEXT, Kind.CATEGORY)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def columns_of_frame(frame: pl.DataFrame) -> Columns:
    """The columns of a canonical frame; fields outside the record are extras, kept by their type.

    Raises:
        InvalidInput: a column of the record whose values are of the wrong kind.
    """

    def read(series: pl.Series) -> NDArray[Any] | FieldProblem | None:
        field = FIELD.get(series.name)
        kind = field.kind if field else _kind_of_extra(series.dtype)
        if kind is None or series.null_count() == len(series):
            return None
        try:
            return _array(series, kind)
        except (pl.exceptions.PolarsError, TypeError, ValueError):
            return FieldProblem(series.name, f"is {series.dtype}, which is no {kind.value}")

    found = each(read, frame.get_columns(), len(frame))
    problems = [column for column in found if isinstance(column, FieldProblem)]
    if problems:
        raise InvalidInput("The frame is not a canonical one", problems=problems)
    return {
        name: column
        for name, column in zip(frame.columns, found, strict=True)
        if isinstance(column, np.ndarray)
    }


class Texts(np.ndarray[tuple[int], np.dtype[np.object_]]):
    """A text column of which it is also known which texts there are, and which each order has.

    `names` are the different values in order of appearance, None among them if any is missing;
    `codes` says for each order which of them it has. What is taken from it by an index is a plain
    column, whose `codes` are None; `cut` keeps them.
    """

    names: list[str | None]
    codes: Integers | None

    def __new__(cls, names: list[str | None], codes: Integers) -> "Texts":
        """The column of these names by these codes."""
        table = np.empty(len(names), dtype=object)
        table[:] = names
        found = table[codes].view(cls)
        found.names, found.codes = names, codes
        return found

    def __array_finalize__(self, made_of: Any) -> None:
        """NumPy makes every view by this; a view does not know its codes."""
        self.names, self.codes = [], None

    def cut(self, some: slice) -> "Texts":
        """Some of the orders."""
        found: Texts = self[some]  # type: ignore[assignment]
        if self.codes is not None:
            found.names, found.codes = self.names, self.codes[some]
        return found


def distinct(column: NDArray[Any]) -> list[Any]:
    """The different values of a text column in order of appearance, None among them."""
    if isinstance(column, Texts) and column.codes is not None:
        return column.names
    return list(dict.fromkeys(column.tolist()))


def look_up(column: NDArray[Any], table: Mapping[Any, float], other: float) -> Floats:
    """What the table says of each text, (n,), or `other` where it says nothing."""
    if isinstance(column, Texts) and column.codes is not None:
        told = np.array([table.get(name, other) for name in column.names], dtype=np.float64)
        return told[column.codes]
    return np.fromiter(map(table.get, column.tolist(), repeat(other)), np.float64, len(column))


def cut(columns: Columns, some: slice) -> Columns:
    """The columns of some of the orders; views, not copies."""
    return {
        name: column.cut(some) if isinstance(column, Texts) else column[some]
        for name, column in columns.items()
    }


def _kind_of_extra(dtype: pl.DataType) -> Kind | None:
    if dtype.is_numeric():
        return Kind.NUMBER
    if dtype == pl.Boolean or dtype == pl.String or dtype in (pl.Categorical, pl.Enum):
        return Kind.CATEGORY
    return None


def _array(series: pl.Series, kind: Kind) -> NDArray[Any]:
    if kind in _TEXTS:
        return _texts(series.cast(pl.String))
    if kind is Kind.TIME:
        if not isinstance(series.dtype, pl.Datetime) or series.dtype.time_zone is None:
            raise TypeError
        series = series.dt.cast_time_unit("us").dt.timestamp("us")
    elif series.dtype == pl.String:
        raise TypeError
    # Often the frame's own memory, which cannot be written to.
    return np.asarray(series.cast(pl.Float64).to_numpy(), dtype=np.float64)


def _texts(series: pl.Series) -> NDArray[Any]:
    if len(series) < _FEWEST_CODED or series.head(_SAMPLE).n_unique() > _SAMPLE // 2:
        return series.to_numpy()
    # Categories of this column's own: those of polars at large are kept as long as any column is.
    coded = series.cast(pl.Categorical(pl.Categories.random()))
    present = coded.unique(maintain_order=True).drop_nulls()
    names: list[str | None] = [*present.cast(pl.String), None]
    places = present.to_physical().to_numpy()
    order = np.full(int(places.max()) + 1, len(present), dtype=np.int64)
    order[places] = np.arange(len(present))
    order = np.append(order, len(present))
    return Texts(names, order[coded.to_physical().fill_null(len(order) - 1).to_numpy()])


_FEWEST_CODED: Final = 4_096
"""Texts from which it is worth knowing which of them are the same."""
_SAMPLE: Final = 10_000
"""Texts looked at to see whether they repeat; those that do not are better left as they are."""


def columns_of_orders(orders: Sequence[Mapping[str, Any]]) -> Columns:
    """The columns of a few orders given as mappings of field to value; times are zone-aware.

    An extra that is neither number nor text is passed over.

    Raises:
        InvalidInput: a value that its field cannot hold; the problem names the field and the row.
    """
    if len(orders) == 1:
        found = {}
        for name, value in orders[0].items():
            if value is not None and (name in _KINDS or isinstance(value, _EXTRAS)):
                found[name] = _one(name, value, 0)
        return found
    columns: Columns = {}
    for name in dict.fromkeys(name for order in orders for name in order):
        values = [order.get(name) for order in orders]
        if name not in _KINDS:
            values = [value if isinstance(value, _EXTRAS) else None for value in values]
        arrays = [None if v is None else _one(name, v, row) for row, v in enumerate(values)]
        present = [array for array in arrays if array is not None]
        if not present:
            continue
        if all(array.dtype == np.float64 for array in present):
            columns[name] = np.array([np.nan if a is None else a[0] for a in arrays])
        else:
            column = np.empty(len(orders), dtype=object)
            column[:] = [None if value is None else str(value) for value in values]
            columns[name] = column
    return columns


_EXTRAS: Final = (str, bool, int, float, np.number)
"""Types of value that an extra may have; others are passed over, as in a frame."""
_KINDS: Final = {name: field.kind for name, field in FIELD.items()}


def _one(name: str, value: Any, row: int) -> NDArray[Any]:
    kind = _KINDS.get(name)
    if kind is None:
        kind = Kind.CATEGORY if isinstance(value, str | bool) else Kind.NUMBER
    if kind is Kind.TIME:
        return np.array([microseconds(name, value, row)])
    if kind in _TEXTS:
        column = np.empty(1, dtype=object)
        column[0] = value if type(value) is str else _text(value)
        return column
    try:
        if isinstance(value, str | bytes):
            raise TypeError
        found = np.array([value], dtype=np.float64)
        if found.shape != (1,):
            raise TypeError
        return found
    except (TypeError, ValueError, OverflowError):
        problem = FieldProblem(name, f"{value!r} is no number", row)
        raise InvalidInput("An order has a value that cannot be used", problems=[problem]) from None


def _text(value: Any) -> str:
    # Polars writes booleans so; one order must read as a frame does.
    return str(value).lower() if isinstance(value, bool) else str(value)


def microseconds(name: str, value: Any, row: int = 0) -> float:
    """A zone-aware time as microseconds since 1970 in UTC.

    Raises:
        InvalidInput: no time, or a time without its zone.
    """
    if not isinstance(value, datetime) or value.tzinfo is None:
        problem = FieldProblem(name, f"{value!r} is no zone-aware time", row)
        raise InvalidInput("An order has a value that cannot be used", problems=[problem])
    since = value - _EPOCH
    return since.days * 86_400e6 + since.seconds * 1e6 + since.microseconds


def length(columns: Columns) -> int:
    """How many orders the columns are of."""
    return len(next(iter(columns.values()))) if columns else 0
