"""A tiny history, a model trained on it once, and the service around them."""

import asyncio
import random
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from foodex.adapters.database.engine import open_database
from foodex.core.clock import SystemClock
from foodex.core.settings import MlSettings, PromiseSettings
from foodex.core.sql import Database
from foodex.domain.models import Job, JobState, TrainingRequest
from foodex.eta.training import TrainingOptions, train
from foodex.services.ml import work
from foodex.services.ml.processes import MODEL_FOLDER, Tell
from foodex.services.ml.service import MlService
from tests.services.ml.double import StorageInMemory

START = datetime(2026, 3, 1, tzinfo=UTC)


def history(rows: int = 400) -> pl.DataFrame:
    rng = random.Random(3)
    found = []
    for number in range(rows):
        placed = START + timedelta(minutes=20 * number)
        km = rng.uniform(0.5, 6)
        minutes = 14 + 3 * km + rng.gauss(0, 3)
        found.append(
            {
                "order_id": f"A-{number}",
                "store_id": f"store-{number % 5}",
                "city": "Helsinki",
                "placed_at": placed,
                "distance_km": km,
                "items": float(rng.randint(1, 6)),
                "spice": float(rng.randint(0, 3)),
                "delivered_at": placed + timedelta(minutes=minutes),
                "delivery_minutes": minutes,
                "part": "train" if number < 300 else "test",
            }
        )
    return pl.DataFrame(
        found,
        schema_overrides={name: pl.Datetime("us", "UTC") for name in ("placed_at", "delivered_at")},
    )


ORDER = {
    "order_id": "new-1",
    "store_id": "store-2",
    "city": "Helsinki",
    "placed_at": "2026-03-06T18:42:00+02:00",
    "distance_km": 2.5,
    "items": 3,
    "spice": 1,
    "part": "train",
}


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    options = TrainingOptions(time_zone="Europe/Helsinki", threads=1)
    train(history(), options).save(folder)
    return folder


@pytest.fixture
def storage() -> StorageInMemory:
    return StorageInMemory(orders=history())


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite+aiosqlite:///{tmp_path}/foodex.db"


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    opened = open_database(url)
    yield opened
    await opened.close()


@pytest.fixture
def settings(tmp_path: Path) -> MlSettings:
    return MlSettings(work_folder=str(tmp_path / "work"), job_threads=1, follow_seconds=0.05)


Started = Callable[..., AbstractAsyncContextManager[MlService]]


@pytest.fixture
def start(database: Database, storage: StorageInMemory, settings: MlSettings) -> Started:
    """Starts a service on the test's database; several can follow one another."""

    @asynccontextmanager
    async def started(**given: Any) -> AsyncIterator[MlService]:
        made = MlService(
            **{
                "database": database,
                "storage": storage,
                "settings": settings,
                "promise": PromiseSettings(),
                "promise_zones": {"Espoo": PromiseSettings(buffer_minutes=10)},
                "clock": SystemClock(),
                **given,
            }
        )
        async with made.running():
            yield made

    return started


@pytest.fixture
def ready_made(monkeypatch: pytest.MonkeyPatch, model_folder: Path) -> None:
    """Trainings end at once with the model trained before; no process is started."""

    async def run(folder: Path, *, tell: Tell, **_: Any) -> dict[str, Any]:
        tell(0.5, "half way")
        shutil.copytree(model_folder, folder / MODEL_FOLDER)
        summary = {"metrics": {"mae_minutes": 3.0}, "options": {"until": None}}
        return {"summary": summary, "packages": {}, "seconds": 1.0, "peak_memory_bytes": 1}

    monkeypatch.setattr(work, "run_job_process", run)


async def ended(service: Any, job: Job, seconds: float = 60.0) -> Job:
    while job.state in (JobState.WAITING, JobState.RUNNING):
        job = await service.wait_for_job(job.id, seen=2.0, timeout_seconds=seconds)
    return job


async def trained(service: Any, model: str = "eta", **options: Any) -> Job:
    request = TrainingRequest(dataset="orders", model=model, **options)
    job = await ended(service, await service.start_training(request))
    assert job.state is JobState.DONE, job.error
    return job


async def until(is_so: Callable[[], Awaitable[bool]], seconds: float = 10.0) -> None:
    """Return as soon as it is so; fail if it is not in time."""
    for _ in range(int(seconds / 0.02)):
        if await is_so():
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"not so after {seconds} s")
