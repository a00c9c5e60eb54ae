"""What the storage service does for the others."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Protocol

import pyarrow as pa

from foodex.domain.datasets import (
    Action,
    Condition,
    Dataset,
    DatasetSpec,
    Layer,
    ObjectsPage,
    QueryResult,
    RowsPage,
    StoredObject,
)


class Storage(Protocol):
    """Data sets, their rows, analytical questions and objects. Who acts is in the context."""

    async def create_dataset(self, spec: DatasetSpec) -> Dataset:
        """Make a data set, or add the columns it lacks to the one of that name and layer.

        Raises `InvalidInput` for a bad name or column and `Conflict` where a column is there
        with another kind.
        """
        ...

    async def datasets(self) -> tuple[Dataset, ...]:
        """All data sets of both layers, by name."""
        ...

    async def dataset(self, name: str, layer: Layer = Layer.PROCESSED) -> Dataset:
        """One data set; `NotFound`, with close names, if there is none."""
        ...

    async def describe_dataset(
        self,
        name: str,
        layer: Layer = Layer.PROCESSED,
        *,
        description: str | None = None,
        time_zone: str | None = None,
    ) -> Dataset:
        """Change what is said of a data set."""
        ...

    async def delete_dataset(self, name: str, layer: Layer = Layer.PROCESSED) -> None:
        """Remove a data set and its rows."""
        ...

    async def stage_rows(self, name: str, layer: Layer, load_id: int, rows: pa.Table) -> None:
        """Add rows (with `row_id`) to an uncommitted load; durable, unseen."""
        ...

    async def staged_until(self, name: str, layer: Layer, load_id: int) -> int | None:
        """The highest `row_id` staged under the load, or None."""
        ...

    async def unstage_after(self, name: str, layer: Layer, load_id: int, row_id: int) -> None:
        """Forget what is staged under the load with a higher `row_id`."""
        ...

    async def commit_load(self, name: str, layer: Layer, load_id: int) -> None:
        """Let the load's rows appear at once. Safe to repeat."""
        ...

    async def discard_load(self, name: str, layer: Layer, load_id: int) -> None:
        """Forget the load's staged rows. Safe to repeat."""
        ...

    def scan(
        self,
        name: str,
        layer: Layer = Layer.PROCESSED,
        *,
        columns: Sequence[str] | None = None,
        where: Sequence[Condition] = (),
    ) -> AsyncIterator[pa.RecordBatch]:
        """All matching rows in order of `row_id`, in batches."""
        ...

    async def rows(
        self,
        name: str,
        layer: Layer = Layer.PROCESSED,
        *,
        columns: Sequence[str] | None = None,
        where: Sequence[Condition] = (),
        after: int | None = None,
        limit: int = 100,
    ) -> RowsPage:
        """One page of rows."""
        ...

    async def insert_rows(
        self, name: str, layer: Layer, rows: Sequence[Mapping[str, Any]]
    ) -> tuple[int, ...]:
        """Add rows by hand; returns their `row_id`s. `InvalidInput` names field and row."""
        ...

    async def update_rows(
        self, name: str, layer: Layer, where: Sequence[Condition], values: Mapping[str, Any]
    ) -> int:
        """Set values on matching rows; returns how many. An empty `where` is refused."""
        ...

    async def delete_rows(self, name: str, layer: Layer, where: Sequence[Condition]) -> int:
        """Remove matching rows; returns how many. An empty `where` is refused."""
        ...

    async def query(self, sql: str) -> QueryResult:
        """Answer one read-only analytical question within the limits of the settings."""
        ...

    async def put_object(self, key: str, body: bytes | AsyncIterator[bytes]) -> StoredObject:
        """Store an object."""
        ...

    def get_object(self, key: str) -> AsyncIterator[bytes]:
        """An object's bytes, in pieces."""
        ...

    async def head_object(self, key: str) -> StoredObject:
        """An object's facts."""
        ...

    async def list_objects(
        self, prefix: str = "", *, after: str | None = None, limit: int = 1000
    ) -> ObjectsPage:
        """Objects by key."""
        ...

    async def delete_object(self, key: str) -> None:
        """Remove an object. Safe to repeat."""
        ...

    async def actions(self, *, before: int | None = None, limit: int = 100) -> tuple[Action, ...]:
        """The log of actions, newest first."""
        ...
