"""Arrow tables in the warehouse's types, and Arrow batches as plain values."""

from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from foodex.adapters.warehouse.sql import ARROW, EARLIEST, LATEST
from foodex.core.errors import FieldProblem, InvalidInput
from foodex.domain.datasets import LOAD_ID, ROW_ID
from foodex.domain.deliveries import Kind


def schema_of(kinds: Mapping[str, Kind]) -> pa.Schema:
    """The Arrow schema of columns of these kinds."""
    return pa.schema([(column, ARROW[kind]) for column, kind in kinds.items()])


def aligned(rows: pa.Table, load_id: int, kinds: Mapping[str, Kind]) -> pa.Table:
    """The rows in the table's own types, with their load.

    Raises `InvalidInput` for columns the table lacks, values that do not fit, or a missing
    `row_id`. Columns that the rows lack stay empty.
    """
    problems, columns = [], {LOAD_ID: _repeated(load_id, rows.num_rows)}
    if ROW_ID not in rows.column_names:
        problems.append(FieldProblem(ROW_ID, "is missing"))
    for column in rows.column_names:
        if column == LOAD_ID:
            continue
        if column not in kinds:
            problems.append(FieldProblem(column, "there is no such column"))
            continue
        try:
            columns[column] = _cast(rows[column], kinds[column])
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError) as error:
            problems.append(FieldProblem(column, f"does not fit {kinds[column]}: {error}"))
    if problems:
        raise InvalidInput("The rows do not fit the table", problems=problems)
    if columns[ROW_ID].null_count:
        raise InvalidInput("Every row needs a `row_id`")
    return pa.table(columns)


def _repeated(value: int, count: int) -> pa.Array:
    return pl.repeat(value, count, dtype=pl.Int64(), eager=True).to_arrow()


def _cast(values: pa.ChunkedArray, kind: Kind) -> pa.ChunkedArray:
    if kind is Kind.TIME:
        if pa.types.is_timestamp(values.type) and values.type.tz is None:
            raise ValueError("these times have no zone")
        values = values.cast(ARROW[kind], safe=False)
        bounds = pc.min_max(values).as_py()
        first, last = bounds["min"], bounds["max"]
        if first is not None and (first < EARLIEST or last >= LATEST):
            raise ValueError("only times from 1900 to 2299 can be held")
        return values
    return values.cast(ARROW[kind])


def plain(batch: pa.RecordBatch) -> Iterator[tuple[Any, ...]]:
    """A batch's rows as tuples of Python values."""
    return zip(*(_values(column) for column in batch.columns), strict=True)


def _values(column: pa.Array) -> list[Any]:
    if pa.types.is_timestamp(column.type):
        # Arrow would bring pandas into memory for them (27 MiB).
        return pl.Series(column).to_list()
    values: list[Any] = column.to_pylist()
    return values
