"""The service itself and the client over real HTTP pass the same cases."""

from collections.abc import AsyncIterator

import pytest

from foodex.adapters.database.engine import open_database
from foodex.adapters.warehouse.tables import TableWarehouse
from foodex.core.access import KeyAccess
from foodex.core.clock import SystemClock
from foodex.core.peer import Peer
from foodex.core.settings import HttpSettings, StorageSettings
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
