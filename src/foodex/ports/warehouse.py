"""The warehouse: wide tables of rows, for analysis."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Protocol

import pyarrow as pa

from foodex.domain.datasets import Column, Condition, QueryLimits, QueryResult


class Warehouse(Protocol):
    """Tables that are filled load by load and read in bulk.

    Every table has the columns `row_id` and `load_id` (int64) beside those it was made with. Rows
    are staged under their load, durable but unseen, and appear together when the load is
    committed. Raises `NotFound` for a table that is not there, `InvalidInput` for a question that
    cannot be answered, `Unavailable` when the engine is out of reach.
    """

    async def create_table(self, table: str, columns: Sequence[Column]) -> None:
        """Make the table, or add the columns it lacks. Safe to repeat."""
        ...

    async def drop_table(self, table: str) -> None:
        """Remove the table and what is staged for it. Safe to repeat."""
        ...

    async def stage(self, table: str, load_id: int, rows: pa.Table) -> None:
        """Add rows to a load that is not committed yet; durable when this returns."""
        ...

    async def staged_until(self, table: str, load_id: int) -> int | None:
        """The highest `row_id` staged under the load, or None; where a killed load goes on."""
        ...

    async def unstage_after(self, table: str, load_id: int, row_id: int) -> None:
        """Forget what is staged under the load with a higher `row_id`."""
        ...

    async def commit(self, table: str, load_id: int) -> None:
        """Let all rows of the load appear at once. Safe to repeat."""
        ...

    async def discard(self, table: str, load_id: int) -> None:
        """Forget what is staged under the load. Safe to repeat."""
        ...

    async def insert(self, table: str, rows: pa.Table) -> None:
        """Add rows that are seen at once."""
        ...

    def scan(
        self,
        table: str,
        columns: Sequence[str] | None = None,
        where: Sequence[Condition] = (),
        *,
        after: int | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[pa.RecordBatch]:
        """The rows in order of `row_id`, in batches, never wholly in memory."""
        ...

    async def count(self, table: str, where: Sequence[Condition] = ()) -> int:
        """How many rows there are."""
        ...

    async def span(self, table: str, column: str) -> tuple[Any, Any]:
        """The least and the greatest value of a column; None where there are no values."""
        ...

    async def update(
        self, table: str, where: Sequence[Condition], values: Mapping[str, Any]
    ) -> int:
        """Set values on the rows that match; returns how many, done when this returns."""
        ...

    async def delete(self, table: str, where: Sequence[Condition]) -> int:
        """Remove the rows that match; returns how many, done when this returns."""
        ...

    async def query(self, sql: str, limits: QueryLimits) -> QueryResult:
        """Answer one read-only question; anything that writes or reaches outside is refused."""
        ...

    async def ping(self) -> None:
        """Return when the engine answers."""
        ...

    async def close(self) -> None:
        """Let go of the engine."""
        ...
