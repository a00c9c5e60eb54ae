from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from foodex.adapters.database.engine import open_database
from foodex.core.settings import CollectorSettings
from foodex.core.sql import migrate
from foodex.services.collector.repository import Repository
from foodex.services.collector.service import CollectorService
from foodex.services.collector.uploads import Uploads
from tests.services.collector.conftest import MAPPING, csv_of, line
from tests.support.memory_storage import MemoryStorage


class Later:
    def __init__(self, days: float) -> None:
        self.days = days

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(days=self.days)


async def sent(text: str) -> AsyncIterator[bytes]:
    yield text.encode()


@pytest.mark.parametrize(("days", "left"), [(6.9, 3), (7.1, 1)])
async def test_old_uploads_go_unless_a_load_reads_them(
    tmp_path: Path, storage: MemoryStorage, settings: CollectorSettings, days: float, left: int
) -> None:
    database = open_database(f"sqlite+aiosqlite:///{tmp_path}/foodex.db")
    clock = Later(days)
    # Nothing runs the load, so it stays one that is running.
    service = CollectorService(database, storage, settings, clock)  # type: ignore[arg-type]
    uploads = Uploads(storage, Repository(database), settings, clock)  # type: ignore[arg-type]
    try:
        await migrate(database, "collector")
        for _ in range(2):
            await uploads.put("done.csv", sent(csv_of(line(1))))
        read = await uploads.put("read.csv", sent(csv_of(line(2))))
        await service.start_load(read, mapping=MAPPING, dataset="orders")
        storage.objects["models/m"] = b"no upload"
        assert await uploads.sweep() == 3 - left
        assert sum(key.startswith("collector/uploads/") for key in storage.objects) == left
        assert {read.location, "models/m"} <= set(storage.objects)
    finally:
        await database.close()
