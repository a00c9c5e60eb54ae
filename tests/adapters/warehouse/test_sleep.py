import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Event

import pyarrow as pa
import pytest

from foodex.adapters.warehouse import tables
from foodex.adapters.warehouse.engine import NO_SETTINGS, Settings


class Counted:
    """An engine that answers nothing and notes when it is sent to sleep."""

    database = "foodex"

    def __init__(self) -> None:
        self.slept = Event()

    def run(self, sql: str, settings: Settings = NO_SETTINGS) -> None:
        return None

    @contextmanager
    def read(
        self, sql: str, settings: Settings = NO_SETTINGS
    ) -> Iterator[Iterator[pa.RecordBatch]]:
        yield iter(())

    def insert(self, table: str, columns: Sequence[str], rows: pa.Table) -> None:
        return None

    def rest(self) -> None:
        return None

    def sleep(self) -> None:
        self.slept.set()

    def close(self) -> None:
        return None


async def test_the_engine_sleeps_when_nobody_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "_IDLE_SECONDS", 0.01)
    engine = Counted()
    warehouse = tables.TableWarehouse(engine)
    await warehouse.drop_table("raw_orders")
    assert await asyncio.to_thread(engine.slept.wait, 10)
    await warehouse.close()


async def test_a_ping_wakes_nobody_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "_IDLE_SECONDS", 0.0)
    engine = Counted()
    warehouse = tables.TableWarehouse(engine)
    for _ in range(3):
        await warehouse.ping()
        await asyncio.sleep(0)
    await warehouse.close()
    assert not engine.slept.is_set()
