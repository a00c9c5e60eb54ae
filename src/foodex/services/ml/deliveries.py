"""Delivered orders told of one by one: kept in the data set, each of them once."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from foodex.domain.datasets import (
    LOAD_ID,
    ROW_ID,
    Column,
    Comparison,
    Condition,
    Dataset,
    DatasetSpec,
    Layer,
)
from foodex.domain.deliveries import EXTRA_KINDS, FIELD, Kind
from foodex.ports.storage import Storage
from foodex.services.ml.orders import Order, Rules

_ROWS_AT_ONCE: Final = 500


class Deliveries:
    """Writes deliveries into processed data sets."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def keep(
        self,
        dataset: str,
        deliveries: Sequence[Mapping[str, Any]],
        extras: Mapping[str, Kind],
        now: datetime,
    ) -> list[Order]:
        """Check the deliveries and keep those whose `order_id` is new; returns the new ones.

        Raises:
            InvalidInput: names every row and field that cannot be used; nothing is kept then.
            NotFound: there is no such data set.
        """
        there = await self._storage.dataset(dataset)
        own = {c.name: c.kind for c in there.columns if c.kind in EXTRA_KINDS}
        own.pop(ROW_ID, None)
        own.pop(LOAD_ID, None)
        checked = Rules({**extras, **own}).deliveries(deliveries, now)
        named: dict[str, Order] = {}
        for row in checked:
            named.setdefault(row["order_id"], row)
        fresh = list(named.values())
        if not fresh:
            return []
        # One after the other, so that the same delivery told of twice at once is found out.
        async with self._locks[dataset]:
            known = await self._known(there, [row["order_id"] for row in fresh])
            new = [row for row in fresh if row["order_id"] not in known]
            await self._make_room(there, new, extras)
            for start in range(0, len(new), _ROWS_AT_ONCE):
                some_rows = new[start : start + _ROWS_AT_ONCE]
                await self._storage.insert_rows(dataset, Layer.PROCESSED, some_rows)
        return new

    async def _known(self, there: Dataset, names: Sequence[str]) -> set[str]:
        found: set[str] = set()
        if "order_id" not in {column.name for column in there.columns}:
            return found
        for start in range(0, len(names), _ROWS_AT_ONCE):
            some = list(names[start : start + _ROWS_AT_ONCE])
            where = [Condition(field="order_id", comparison=Comparison.IN, value=some)]
            async for batch in self._storage.scan(there.name, columns=["order_id"], where=where):
                found.update(batch.column("order_id").to_pylist())
        return found

    async def _make_room(
        self, there: Dataset, rows: Sequence[Order], extras: Mapping[str, Kind]
    ) -> None:
        columns = {column.name for column in there.columns}
        lacking = sorted({name for row in rows for name in row} - columns)
        if lacking:
            added = tuple(
                Column(name=name, kind=FIELD[name].kind if name in FIELD else extras[name])
                for name in lacking
            )
            await self._storage.create_dataset(
                DatasetSpec(
                    name=there.name,
                    layer=there.layer,
                    columns=added,
                    description=there.description,
                    time_zone=there.time_zone,
                )
            )
