"""The storage service on what runs in this process."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from foodex.adapters.database.engine import open_database
from foodex.adapters.objects.store import open_objects
from foodex.adapters.warehouse.tables import TableWarehouse
from foodex.core.clock import SystemClock
from foodex.core.settings import StorageSettings
from foodex.services.storage.service import StorageService


@pytest.fixture
async def service(tmp_path: Path, chdb_warehouse: TableWarehouse) -> AsyncIterator[StorageService]:
    database = open_database(f"sqlite+aiosqlite:///{tmp_path}/foodex.db")
    service = StorageService(
        database=database,
        warehouse=chdb_warehouse,
        objects=open_objects(f"file://{tmp_path}/objects"),
        settings=StorageSettings(object_bytes=4 << 20),
        clock=SystemClock(),
    )
    async with service.running():
        yield service
    await database.close()
