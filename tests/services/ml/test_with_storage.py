"""On the real storage service: a history is learned from, added to, and found again."""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from foodex.adapters.objects.store import open_objects
from foodex.adapters.warehouse.tables import TableWarehouse
from foodex.core.clock import SystemClock
from foodex.core.settings import MlSettings, StorageSettings
from foodex.core.sql import Database
from foodex.domain.datasets import Column, DatasetSpec, Layer
from foodex.domain.deliveries import FIELD, Kind
from foodex.domain.models import EvaluationRequest, JobState, TrainingRequest
from foodex.services.ml.service import MlService
from foodex.services.storage.service import StorageService
from tests.services.ml.conftest import ORDER, START, ended, history

EXTRAS = {"spice": Kind.NUMBER, "part": Kind.CATEGORY}


async def test_from_a_history_to_a_promise_and_back(
    database: Database, chdb_warehouse: TableWarehouse, tmp_path: Path, settings: MlSettings
) -> None:
    storage = StorageService(
        database=database,
        warehouse=chdb_warehouse,
        objects=open_objects(f"file://{tmp_path}/objects"),
        settings=StorageSettings(),
        clock=SystemClock(),
    )
    name = f"orders_{uuid.uuid4().hex[:8]}"
    frame = history()
    columns = tuple(
        Column(name=n, kind=FIELD[n].kind if n in FIELD else EXTRAS[n]) for n in frame.columns
    )
    late = {**ORDER, "placed_at": datetime(2026, 3, 7, 10, 45, tzinfo=UTC)}
    delivery = {
        "order_id": "B-1",
        "placed_at": "2026-03-07T10:00:00Z",
        "delivered_at": "2026-03-07T10:42:00Z",
        "city": "Helsinki",
        "weather_condition": "rain",
    }

    @asynccontextmanager
    async def running() -> AsyncIterator[MlService]:
        ml = MlService(database=database, storage=storage, settings=settings, clock=SystemClock())
        async with ml.running():
            yield ml

    async with storage.running():
        await storage.create_dataset(
            DatasetSpec(name=name, columns=columns, time_zone="Europe/Helsinki")
        )
        await storage.insert_rows(name, Layer.PROCESSED, frame.to_dicts())
        async with running() as ml:
            request = TrainingRequest(dataset=name, model="eta", until=START + timedelta(days=4))
            job = await ended(ml, await ml.start_training(request))
            assert job.state is JobState.DONE, job.error
            judged = await ended(
                ml, await ml.start_evaluation(EvaluationRequest(model="eta", dataset=name))
            )
            assert judged.result, judged.error
            assert judged.result["n"] > 50
            assert await ml.observe([delivery]) == 1
            assert await ml.observe([delivery]) == 0
            before = await ml.forecast(late)
            assert before.input_ages_seconds["recent"] == 180
        dataset = await storage.dataset(name)
        assert dataset.rows == 401
        assert "weather_condition" in {column.name for column in dataset.columns}
        async with running() as ml:
            assert await ml.forecast(late) == before
        await storage.delete_dataset(name)
