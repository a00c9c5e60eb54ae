"""The service itself and the client over real HTTP pass the same cases."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from foodex.adapters.database.engine import open_database
from foodex.adapters.objects.store import open_objects
from foodex.adapters.warehouse.tables import TableWarehouse
from foodex.core.access import KeyAccess
from foodex.core.clock import SystemClock
from foodex.core.peer import Peer
from foodex.core.settings import HttpSettings, StorageSettings
from foodex.domain.datasets import Column, DatasetSpec, Layer
from foodex.domain.deliveries import Kind
from foodex.services.storage.app import create_app
from foodex.services.storage.client import StorageClient
from foodex.services.storage.service import StorageService
from tests.contracts.storage import StorageContract
from tests.support.serving import serve


class TestService(StorageContract):
    @pytest.fixture
    def storage(self, service: StorageService) -> StorageService:
        return service


class TestClient(StorageContract):
    @pytest.fixture
    async def storage(self, service: StorageService) -> AsyncIterator[StorageClient]:
        app = create_app(service, access=KeyAccess("key"), settings=HttpSettings())
        async with serve(app) as url, Peer(url, "key") as peer:
            yield StorageClient(peer)


class TestOnServers(StorageContract):
    """PostgreSQL, ClickHouse and S3 in place of what runs in this process."""

    @pytest.fixture
    async def storage(
        self,
        postgresql_database_url: str,
        clickhouse_warehouse: TableWarehouse,
        s3_objects: object,
    ) -> AsyncIterator[StorageService]:
        database = open_database(postgresql_database_url)
        service = StorageService(
            database=database,
            warehouse=clickhouse_warehouse,
            objects=s3_objects,  # type: ignore[arg-type]
            settings=StorageSettings(object_bytes=4 << 20),
            clock=SystemClock(),
        )
        async with service.running():
            yield service
        await database.close()


async def test_counts_follow_what_another_process_changes(
    service: StorageService, chdb_warehouse: TableWarehouse, tmp_path: Path
) -> None:
    database = open_database(f"sqlite+aiosqlite:///{tmp_path}/foodex.db")
    other = StorageService(
        database=database,
        warehouse=chdb_warehouse,
        objects=open_objects(f"file://{tmp_path}/objects"),
        settings=StorageSettings(),
        clock=SystemClock(),
    )
    columns = (Column(name="order_id", kind=Kind.TEXT),)
    await service.create_dataset(DatasetSpec(name="orders", columns=columns))
    assert (await other.dataset("orders")).rows == 0
    await service.insert_rows("orders", Layer.PROCESSED, [{"order_id": "a"}])
    assert (await other.dataset("orders")).rows == 1
    assert [found.rows for found in await service.datasets()] == [1]
    await other.delete_dataset("orders")
    await database.close()
    assert await service.datasets() == ()
