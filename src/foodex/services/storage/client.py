"""The storage service over HTTP, as its port."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote

import msgspec
import pyarrow as pa

from foodex.core.peer import Peer
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
from foodex.domain.deliveries import Kind
from foodex.domain.keys import check_key
from foodex.services.storage.exports import ARROW_STREAM
from foodex.services.storage.wire import in_pieces, read_batches, write_condition, write_table

_HERE: Final = "/api/v1/storage"


class StorageClient:
    """Implements the port `Storage` by calling the service, or the gateway in front of it."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer

    async def create_dataset(self, spec: DatasetSpec) -> Dataset:
        """Make a data set, or add the columns it lacks."""
        return await self._peer.call("POST", f"{_HERE}/datasets", type=Dataset, json=spec)

    async def datasets(self) -> tuple[Dataset, ...]:
        """All data sets of both layers, by name."""
        return await self._peer.call("GET", f"{_HERE}/datasets", type=tuple[Dataset, ...])

    async def dataset(self, name: str, layer: Layer = Layer.PROCESSED) -> Dataset:
        """One data set."""
        return await self._peer.call("GET", _of(name), type=Dataset, params=_in(layer))

    async def describe_dataset(
        self,
        name: str,
        layer: Layer = Layer.PROCESSED,
        *,
        description: str | None = None,
        time_zone: str | None = None,
    ) -> Dataset:
        """Change what is said of a data set."""
        said = {"description": description, "time_zone": time_zone}
        return await self._peer.call("PATCH", _of(name), type=Dataset, params=_in(layer), json=said)

    async def delete_dataset(self, name: str, layer: Layer = Layer.PROCESSED) -> None:
        """Remove a data set and its rows."""
        await self._peer.call("DELETE", _of(name), type=type(None), params=_in(layer))

    async def stage_rows(self, name: str, layer: Layer, load_id: int, rows: pa.Table) -> None:
        """Add rows to an uncommitted load."""
        await self._peer.call(
            "POST",
            f"{_load(name, load_id)}/rows",
            type=type(None),
            params=_in(layer),
            body=in_pieces(write_table(rows)),
            content_type=ARROW_STREAM,
        )

    async def staged_until(self, name: str, layer: Layer, load_id: int) -> int | None:
        """The highest `row_id` of the load."""
        staged = await self._peer.call(
            "GET", _load(name, load_id), type=dict[str, int | None], params=_in(layer)
        )
        return staged["until"]

    async def unstage_after(self, name: str, layer: Layer, load_id: int, row_id: int) -> None:
        """Forget what is staged under the load with a higher `row_id`."""
        await self._peer.call(
            "DELETE",
            f"{_load(name, load_id)}/rows",
            type=type(None),
            params={**_in(layer), "after": row_id},
        )

    async def commit_load(self, name: str, layer: Layer, load_id: int) -> None:
        """Let the load's rows appear at once."""
        await self._peer.call(
            "POST", f"{_load(name, load_id)}/commit", type=type(None), params=_in(layer)
        )

    async def discard_load(self, name: str, layer: Layer, load_id: int) -> None:
        """Forget the load's staged rows."""
        await self._peer.call("DELETE", _load(name, load_id), type=type(None), params=_in(layer))

    async def scan(
        self,
        name: str,
        layer: Layer = Layer.PROCESSED,
        *,
        columns: Sequence[str] | None = None,
        where: Sequence[Condition] = (),
    ) -> AsyncIterator[pa.RecordBatch]:
        """All matching rows in order of `row_id`, in batches."""
        wanted = {"columns": columns, "where": where}
        pieces = self._peer.stream("POST", f"{_of(name)}/scan", params=_in(layer), json=wanted)
        async with aclosing(pieces) as body:  # type: ignore[type-var]
            async for batch in read_batches(body):
                yield batch

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
        params = {
            **_in(layer),
            "column": list(columns) if columns is not None else None,
            "where": [write_condition(condition) for condition in where],
            "after": after,
            "limit": limit,
        }
        page = await self._peer.call("GET", f"{_of(name)}/rows", type=RowsPage, params=params)
        # JSON has no times; which texts are times, the data set tells.
        times = await self._times(name, layer)
        return replace(page, rows=tuple(_timed(row, times) for row in page.rows))

    async def insert_rows(
        self, name: str, layer: Layer, rows: Sequence[Mapping[str, Any]]
    ) -> tuple[int, ...]:
        """Add rows by hand; returns their `row_id`s."""
        inserted = await self._peer.call(
            "POST",
            f"{_of(name)}/rows",
            type=dict[str, tuple[int, ...]],
            params=_in(layer),
            json={"rows": rows},
        )
        return inserted["row_ids"]

    async def update_rows(
        self, name: str, layer: Layer, where: Sequence[Condition], values: Mapping[str, Any]
    ) -> int:
        """Set values on matching rows; returns how many."""
        touched = await self._peer.call(
            "PATCH",
            f"{_of(name)}/rows",
            type=dict[str, int],
            params=_in(layer),
            json={"where": where, "values": values},
        )
        return touched["rows"]

    async def delete_rows(self, name: str, layer: Layer, where: Sequence[Condition]) -> int:
        """Remove matching rows; returns how many."""
        touched = await self._peer.call(
            "DELETE",
            f"{_of(name)}/rows",
            type=dict[str, int],
            params={**_in(layer), "where": [write_condition(condition) for condition in where]},
        )
        return touched["rows"]

    async def query(self, sql: str) -> QueryResult:
        """Answer one read-only analytical question."""
        result = await self._peer.call(
            "POST", f"{_HERE}/query", type=QueryResult, json={"sql": sql}
        )
        at = [i for i, column in enumerate(result.columns) if column.kind is Kind.TIME]
        if not at:
            return result
        rows = []
        for row in result.rows:
            values = list(row)
            for i in at:
                values[i] = _time(values[i])
            rows.append(tuple(values))
        return replace(result, rows=tuple(rows))

    async def put_object(self, key: str, body: bytes | AsyncIterator[bytes]) -> StoredObject:
        """Store an object."""
        pieces = in_pieces(body) if isinstance(body, bytes) else body
        return await self._peer.call("PUT", _object(key), type=StoredObject, body=pieces)

    async def get_object(self, key: str) -> AsyncIterator[bytes]:
        """An object's bytes, in pieces."""
        pieces = self._peer.stream("GET", _object(key))
        async with aclosing(pieces) as body:  # type: ignore[type-var]
            async for piece in body:
                yield piece

    async def head_object(self, key: str) -> StoredObject:
        """An object's facts."""
        return await self._peer.call("GET", _object(key), type=StoredObject, params={"facts": True})

    async def list_objects(
        self, prefix: str = "", *, after: str | None = None, limit: int = 1000
    ) -> ObjectsPage:
        """Objects by key."""
        params = {"prefix": prefix, "after": after, "limit": limit}
        return await self._peer.call("GET", f"{_HERE}/objects", type=ObjectsPage, params=params)

    async def delete_object(self, key: str) -> None:
        """Remove an object."""
        await self._peer.call("DELETE", _object(key), type=type(None))

    async def actions(self, *, before: int | None = None, limit: int = 100) -> tuple[Action, ...]:
        """The log of actions, newest first."""
        params = {"before": before, "limit": limit}
        return await self._peer.call(
            "GET", f"{_HERE}/actions", type=tuple[Action, ...], params=params
        )

    async def _times(self, name: str, layer: Layer) -> frozenset[str]:
        if layer is Layer.RAW:
            return frozenset()
        dataset = await self.dataset(name, layer)
        return frozenset(c.name for c in dataset.columns if c.kind is Kind.TIME)


def _timed(row: Mapping[str, Any], times: frozenset[str]) -> dict[str, Any]:
    return {name: _time(value) if name in times else value for name, value in row.items()}


def _time(value: Any) -> datetime | None:
    return None if value is None else msgspec.convert(value, datetime)


def _in(layer: Layer) -> dict[str, Any]:
    return {"layer": layer.value}


def _of(name: str) -> str:
    return f"{_HERE}/datasets/{quote(name, safe='')}"


def _load(name: str, load_id: int) -> str:
    return f"{_of(name)}/loads/{load_id}"


def _object(key: str) -> str:
    # On the way, dots in a path would be taken for folders and not arrive as they are.
    check_key(key)
    return f"{_HERE}/objects/{quote(key)}"
