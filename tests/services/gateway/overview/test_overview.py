"""What is seen at a glance, asked in SQL of both engines, is what the rows say."""

import statistics
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import h3
import pytest

from foodex.adapters.database.engine import open_database
from foodex.adapters.objects.store import open_objects
from foodex.adapters.warehouse.tables import TableWarehouse
from foodex.core.clock import SystemClock
from foodex.core.errors import Conflict, InvalidInput, NotFound
from foodex.core.settings import StorageSettings
from foodex.domain.datasets import Column, DatasetSpec, Layer, QueryResult
from foodex.domain.deliveries import FIELD
from foodex.ports.ml import Ml
from foodex.services.gateway.overview.figures import Asked, OverviewFigures
from foodex.services.storage.service import StorageService

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
STORES = {"<b>": (60.17, 24.94), "far": (60.20, 24.99)}


def orders() -> list[dict[str, Any]]:
    """Forty orders of two stores on ten days, every fourth of them late."""
    return [
        {
            "store_id": "<b>" if number % 4 else "far",
            "store_lat": STORES["<b>" if number % 4 else "far"][0],
            "store_lon": STORES["<b>" if number % 4 else "far"][1],
            "customer_lat": 60.17 + number / 5000,
            "customer_lon": 24.94,
            "placed_at": NOON + timedelta(days=number // 4),
            "delivery_minutes": 20.0 + number,
            "own_estimate_minutes": 15.0 if number % 4 == 0 else 90.0,
        }
        for number in range(40)
    ]


class Nobody:
    """An ml service with nothing in production."""

    async def answering(self) -> Any:
        raise Conflict("No model is in production")


class Learned(Nobody):
    """One whose version learned from a data set."""

    def __init__(self, dataset: str) -> None:
        self._dataset = dataset

    async def answering(self) -> Any:
        return SimpleNamespace(dataset=self._dataset)


class Counting(StorageService):
    """Counts the questions it is asked."""

    questions = 0

    async def query(self, sql: str) -> QueryResult:
        self.questions += 1
        return await super().query(sql)


def figures(storage: StorageService, ml: Any = None) -> OverviewFigures:
    return OverviewFigures(storage, cast("Ml", ml or Nobody()))


class OverviewCases:
    """A subclass gives the fixture `warehouse`."""

    @pytest.fixture
    async def storage(self, warehouse: TableWarehouse, tmp_path: Path) -> AsyncIterator[Counting]:
        database = open_database(f"sqlite+aiosqlite:///{tmp_path}/foodex.db")
        service = Counting(
            database=database,
            warehouse=warehouse,
            objects=open_objects(f"file://{tmp_path}/objects"),
            settings=StorageSettings(),
            clock=SystemClock(),
        )
        async with service.running():
            yield service
        await database.close()

    async def stored(self, storage: StorageService, *without: str) -> str:
        name = f"o_{uuid.uuid4().hex[:8]}"
        rows = [{n: v for n, v in row.items() if n not in without} for row in orders()]
        columns = tuple(Column(name=n, kind=FIELD[n].kind) for n in rows[0])
        spec = DatasetSpec(name=name, columns=columns, time_zone="Europe/Helsinki")
        await storage.create_dataset(spec)
        await storage.insert_rows(name, Layer.PROCESSED, rows)
        return name

    async def test_places_are_those_of_the_rows(self, storage: Counting) -> None:
        name = await self.stored(storage)
        places = await figures(storage).places(Asked(dataset=name, days=28))
        near, far = places.stores
        assert (near.name, near.orders, near.late_share) == ("<b>", 30, 0.0)
        assert (far.name, far.orders, far.late_share) == ("far", 10, 1.0)
        assert (near.lat, near.lon) == STORES["<b>"]
        took = [row["delivery_minutes"] for row in orders() if row["store_id"] == "far"]
        assert far.median_minutes in (
            pytest.approx(statistics.median_low(took)),
            pytest.approx(statistics.median_high(took)),
        )
        assert places.zone_resolution is not None
        cells = {
            h3.latlng_to_cell(row["customer_lat"], row["customer_lon"], places.zone_resolution)
            for row in orders()
        }
        assert {zone.name for zone in places.zones} == cells
        assert sum(zone.orders for zone in places.zones) == 40
        assert all(zone.outline[0] == zone.outline[-1] for zone in places.zones)
        await storage.delete_dataset(name)

    async def test_the_same_is_added_up_once_until_the_data_change(self, storage: Counting) -> None:
        name = await self.stored(storage)
        overview = figures(storage)
        asked = Asked(dataset=name, days=28)
        first = await overview.overview(asked)
        assert first.facts
        assert first.facts.total.orders == 40
        once = storage.questions
        assert (await overview.overview(asked)).facts == first.facts
        assert storage.questions == once
        await storage.insert_rows(name, Layer.PROCESSED, orders()[:1])
        again = (await overview.overview(asked)).facts
        assert again
        assert again.total.orders == 41
        await storage.delete_dataset(name)

    async def test_days_are_local_and_both_ends_count(self, storage: Counting) -> None:
        name = await self.stored(storage)
        asked = Asked(dataset=name, first_day=date(2026, 3, 3), last_day=date(2026, 3, 4))
        found = (await figures(storage).overview(asked)).facts
        assert found
        assert [str(day.day) for day in found.days] == ["2026-03-03", "2026-03-04"]
        assert found.total.orders == 8
        with pytest.raises(InvalidInput):
            await figures(storage).overview(replace(asked, first_day=date(2026, 3, 5)))
        await storage.delete_dataset(name)

    async def test_the_data_set_that_the_model_learned_from_comes_first(
        self, storage: Counting
    ) -> None:
        assert (await figures(storage).overview(Asked())).datasets == ()
        old, new = await self.stored(storage), await self.stored(storage)
        assert (await figures(storage).overview(Asked())).dataset == new
        assert (await figures(storage, Learned(old)).overview(Asked())).dataset == old
        gone = figures(storage, Learned("gone"))
        assert (await gone.overview(Asked())).dataset == new
        with pytest.raises(NotFound):
            await gone.overview(Asked(dataset="gone"))
        for name in (old, new):
            await storage.delete_dataset(name)

    async def test_what_a_data_set_lacks_is_left_out(self, storage: Counting) -> None:
        name = await self.stored(storage, "store_lat", "customer_lat", "own_estimate_minutes")
        places = await figures(storage).places(Asked(dataset=name, days=28))
        assert (places.stores, places.zones, places.streets) == ((), (), False)
        await storage.delete_dataset(name)
        timeless = await self.stored(storage, "placed_at")
        told = await figures(storage).overview(Asked(dataset=timeless))
        assert told.facts is None
        assert told.without_facts
        await storage.delete_dataset(timeless)


class TestChdb(OverviewCases):
    @pytest.fixture
    def warehouse(self, chdb_warehouse: TableWarehouse) -> TableWarehouse:
        return chdb_warehouse


class TestClickhouse(OverviewCases):
    @pytest.fixture
    def warehouse(self, clickhouse_warehouse: TableWarehouse) -> TableWarehouse:
        return clickhouse_warehouse
