"""A collector over storage in memory, and exports to feed it with."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from foodex.adapters.database.engine import open_database
from foodex.core.clock import SystemClock
from foodex.core.settings import CollectorSettings
from foodex.domain.loads import Load, LoadState, Source, SourceKind
from foodex.services.collector.service import CollectorService
from tests.support.memory_storage import MemoryStorage

MAPPING = """
time_zone = "Europe/Helsinki"
[fields]
order_id = { column = "id" }
placed_at = { column = "placed" }
delivery_minutes = { column = "took" }
[extras]
spice = { column = "Spice level", kind = "number" }
"""
HEADER = "id,placed,took,Spice level,note"

Opened = AbstractAsyncContextManager[CollectorService]
Open = Callable[..., Opened]


def line(number: int, *, took: object = 30, note: str = "") -> str:
    moment = f"2026-03-{1 + number // 1440 % 28:02} {number // 60 % 24:02}:{number % 60:02}"
    return f"A-{number},{moment},{took},{number % 4},{note}"


def csv_of(*lines: str) -> str:
    return "\n".join([HEADER, *lines]) + "\n"


def file_source(path: Path, **more: Any) -> Source:
    return Source(name="orders", kind=SourceKind.FILE, location=str(path), **more)


async def ended(collector: Any, load: Load) -> Load:
    while load.state is LoadState.RUNNING:
        load = await collector.wait_for_load(load.id, seen=load.progress, timeout_seconds=10)
    return load


@pytest.fixture
def storage() -> MemoryStorage:
    return MemoryStorage()


@pytest.fixture
def settings(tmp_path: Path) -> CollectorSettings:
    return CollectorSettings(
        log_file=str(tmp_path / "state" / "loads.jsonl"),
        work_folder=str(tmp_path / "state" / "work"),
        instance="here",
        http_allow_private=True,
        http_tries=2,
        batch_rows=50,
        max_line_bytes=10_000,
    )


@pytest.fixture
def open_collector(tmp_path: Path, storage: MemoryStorage, settings: CollectorSettings) -> Open:
    @asynccontextmanager
    async def opened(**changes: Any) -> AsyncIterator[CollectorService]:
        database = open_database(f"sqlite+aiosqlite:///{tmp_path}/state/foodex.db")
        used = settings.model_copy(update=changes)
        service = CollectorService(database, storage, used, SystemClock())  # type: ignore[arg-type]
        try:
            async with service.running():
                yield service
        finally:
            await database.close()

    return opened


@pytest.fixture
async def collector(open_collector: Open) -> AsyncIterator[CollectorService]:
    async with open_collector() as service:
        yield service
