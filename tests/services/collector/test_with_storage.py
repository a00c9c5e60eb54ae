"""The collector on the real storage service, on both databases."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from foodex.adapters.database.engine import open_database
from foodex.adapters.objects.store import open_objects
from foodex.adapters.warehouse.tables import TableWarehouse
from foodex.core.clock import SystemClock
from foodex.core.settings import CollectorSettings, StorageSettings
from foodex.domain.datasets import Layer
from foodex.domain.loads import LoadState
from foodex.services.collector.service import CollectorService
from foodex.services.storage.service import StorageService
from tests.services.collector.conftest import MAPPING, csv_of, ended, file_source, line

Pair = tuple[CollectorService, StorageService]


@pytest.fixture
async def pair(
    url: str, name: str, tmp_path: Path, chdb_warehouse: TableWarehouse, settings: CollectorSettings
) -> AsyncIterator[Pair]:
    async with AsyncExitStack() as stack:
        database = open_database(url)
        stack.push_async_callback(database.close)
        storage = StorageService(
            database=database,
            warehouse=chdb_warehouse,
            objects=open_objects(f"file://{tmp_path}/objects"),
            settings=StorageSettings(),
            clock=SystemClock(),
        )
        await stack.enter_async_context(storage.running())
        collector = CollectorService(database, storage, settings, SystemClock())
        await stack.enter_async_context(collector.running())
        yield collector, storage
        for layer in Layer:
            await storage.delete_dataset(name, layer)


class OnStorage:
    @pytest.fixture
    def url(self) -> str:
        raise NotImplementedError

    @pytest.fixture
    def name(self) -> str:
        return f"collected_{type(self).__name__.lower()}"

    async def test_from_file_to_rows_and_again(self, pair: Pair, tmp_path: Path, name: str) -> None:
        collector, storage = pair
        path = tmp_path / "a.csv"
        path.write_text(csv_of(*(line(n) for n in range(180)), line(3), line(500, took=-1), "torn"))
        await collector.put_mapping("mine", MAPPING)
        started = await collector.start_load(file_source(path), mapping="mine", dataset=name)
        load = await ended(collector, started)
        assert (load.state, load.error) == (LoadState.DONE, None)
        assert (load.rows_read, load.rows_kept) == (183, 180)
        assert load.rejected_by_rule == {
            "broken_line": 1,
            "duplicate_order": 1,
            "negative_duration": 1,
        }
        dataset = await storage.dataset(name)
        assert (dataset.rows, dataset.time_zone) == (180, "Europe/Helsinki")
        raw = await storage.dataset(name, Layer.RAW)
        assert raw.rows == 182
        assert [item.row for item in await collector.rejections(load.id)] == [181, 182, 183]
        again = await collector.start_load(file_source(path), mapping="mine", dataset=name)
        assert (await ended(collector, again)).state is LoadState.DUPLICATE
        path.write_text(csv_of(line(3), line(300)))
        more = await ended(
            collector, await collector.start_load(file_source(path), mapping="mine", dataset=name)
        )
        assert (more.rows_kept, more.rejected_by_rule) == (1, {"duplicate_order": 1})
        assert (await storage.dataset(name)).rows == 181
        assert [item.id for item in await collector.loads(dataset=name)] == [
            more.id,
            again.id,
            load.id,
        ]


class TestOnSqlite(OnStorage):
    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        return f"sqlite+aiosqlite:///{tmp_path}/foodex.db"


class TestOnPostgresql(OnStorage):
    @pytest.fixture
    def url(self, postgresql_database_url: str) -> str:
        return postgresql_database_url
