"""What answers: swapped without a gap, from history that survives, and never not at all."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from prometheus_client import CollectorRegistry

from foodex.core.errors import InvalidInput, NotFound, Unavailable
from foodex.core.settings import MlSettings, PromiseSettings
from foodex.domain.datasets import Layer
from foodex.domain.forecasts import Source
from foodex.domain.models import JobState, TrainingRequest
from foodex.domain.promises import PromisePolicy
from foodex.eta.model import Model
from foodex.eta.runtime import OnnxPredictor
from foodex.services.ml import serving as serving_module
from foodex.services.ml.policies import Policies
from foodex.services.ml.served import Served
from foodex.services.ml.service import MlService
from tests.services.ml.conftest import ORDER, Started, trained, until
from tests.services.ml.double import StorageInMemory

pytestmark = pytest.mark.usefixtures("ready_made")


async def test_no_request_is_dropped_while_versions_swap(start: Started) -> None:
    async with start() as service:
        for _ in range(2):
            await trained(service)
        stop = asyncio.Event()
        answered: list[int] = []

        async def ask() -> None:
            while not stop.is_set():
                told = await service.forecast(ORDER)
                assert told.source is Source.MODEL
                assert told.version is not None
                answered.append(told.version)
                await asyncio.sleep(0)

        async def ask_many() -> None:
            while not stop.is_set():
                told = await service.forecast_many([ORDER] * 80)
                assert len({(one.version, one.source) for one in told}) == 1

        asking = [asyncio.create_task(ask()) for _ in range(3)]
        asking.append(asyncio.create_task(ask_many()))
        slowest = 0.0
        for swap in range(20):
            began = time.perf_counter()
            if swap % 2:
                await service.rollback("eta")
            else:
                await service.promote("eta", 2)
            slowest = max(slowest, time.perf_counter() - began)
        stop.set()
        await asyncio.gather(*asking)
    assert set(answered) == {1, 2}
    assert slowest < 5


async def test_the_old_version_answers_while_the_new_one_loads(
    start: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    loading, go = asyncio.Event(), asyncio.Event()
    recent = serving_module._recent

    async def slow(*args: Any) -> pl.DataFrame | None:
        loading.set()
        await go.wait()
        return await recent(*args)

    async with start() as service:
        for _ in range(2):
            await trained(service)
        monkeypatch.setattr(serving_module, "_recent", slow)
        promoting = asyncio.create_task(service.promote("eta", 2))
        await loading.wait()
        async with asyncio.timeout(5):
            assert (await service.forecast(ORDER)).version == 1
        go.set()
        await promoting
        assert (await service.forecast(ORDER)).version == 2


async def test_a_restart_finds_everything_again(start: Started, storage: StorageInMemory) -> None:
    late = {**ORDER, "placed_at": "2026-03-07T10:45:00Z"}
    delivery = {
        "order_id": "B-1",
        "placed_at": "2026-03-07T10:00:00Z",
        "delivered_at": "2026-03-07T10:42:00Z",
        "store_id": "store-2",
        "city": "Helsinki",
        "distance_km": 2.0,
        "items": 2,
        "spice": 0,
    }
    async with start() as service:
        await trained(service)
        await service.observe([delivery])
        before = await service.forecast(late, explain=True)
    async with start() as service:
        after = await service.forecast(late, explain=True)
        assert await service.observe([delivery]) == 0
    assert after == before
    assert after.input_ages_seconds["recent"] == 180


async def test_only_the_last_days_and_the_needed_columns_are_read(
    start: Started, storage: StorageInMemory, settings: MlSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[Any, Any]] = []
    scan = storage.scan

    def recorded(name: str, *args: Any, **options: Any) -> Any:
        seen.append((options.get("columns"), options.get("where")))
        return scan(name, *args, **options)

    monkeypatch.setattr(storage, "scan", recorded)
    async with start(settings=settings.model_copy(update={"history_days": 2})) as service:
        await trained(service)
    columns, where = seen[-1]
    assert "store_id" in columns
    assert "courier_id" not in columns
    last = storage.frames["orders"]["placed_at"].max()
    assert isinstance(last, datetime)
    assert where[0].value == last - timedelta(days=2)


class Broken:
    def predict(self, rows: Any) -> Any:
        raise RuntimeError("out of order")


async def test_a_model_that_does_not_run_leaves_the_answer_to_the_ladder(
    start: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = CollectorRegistry()
    async with start(registry=registry) as service:
        await trained(service)
        monkeypatch.setattr(OnnxPredictor, "predict", Broken.predict)
        told = await service.forecast(ORDER, explain=True)
        many = await service.forecast_many([ORDER, ORDER])
    assert (told.source, told.degraded, told.version) == (Source.HISTORY, True, 1)
    assert told.promise
    assert told.explanation is None
    assert many == (told, told)
    labels = {"model": "eta"}
    assert registry.get_sample_value("foodex_forecasts_degraded_total", labels) == 3
    sources = {"model": "eta", "source": "history"}
    assert registry.get_sample_value("foodex_forecasts_total", sources) == 3


async def test_a_fault_in_the_encoding_leaves_an_answer_too(
    start: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with start() as service:
        await trained(service)
        monkeypatch.setattr(Model, "encode_order", Broken.predict)
        told = await service.forecast(ORDER)
    assert (told.source, told.degraded, told.model) == (Source.DISTANCE, True, "eta")


@pytest.mark.parametrize("harm", ["damaged", "gone", "no model"])
async def test_artefacts_are_checked(
    start: Started, storage: StorageInMemory, settings: MlSettings, harm: str
) -> None:
    async with start() as service:
        await trained(service)
    for path in (Path(settings.work_folder) / "models").rglob("*.*"):
        path.unlink()
    whole = dict(storage.objects)
    key = "models/eta/1/model.onnx"
    if harm == "damaged":
        storage.objects[key] = storage.objects[key][:-1] + b"?"
    else:
        del storage.objects[key]
    async with start() as service:
        told = await service.forecast(ORDER)
        assert (told.source, told.degraded) == (Source.DISTANCE, True)
        assert await service.forecast({**ORDER, "model_has_this": 1}) == told
        with pytest.raises((Unavailable, NotFound)):
            await service.promote("eta", 1)
        storage.objects |= whole

        async def answers_well() -> bool:
            return not (await service.forecast(ORDER)).degraded

        await until(answers_well)


async def test_what_another_process_promotes_answers_here_too(start: Started) -> None:
    async with start() as here, start() as there:

        async def answers(version: int) -> bool:
            return (await here.forecast(ORDER)).version == version

        await trained(there)
        await trained(there, promote=True)
        await until(lambda: answers(2))
        await there.rollback("eta")
        await until(lambda: answers(1))


async def test_deliveries_told_of_while_a_version_loads_are_not_missed(
    start: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = {**ORDER, "placed_at": "2026-03-07T10:45:00Z"}
    delivery = {
        "order_id": "B-1",
        "placed_at": "2026-03-07T10:00:00Z",
        "delivered_at": "2026-03-07T10:42:00Z",
        "city": "Helsinki",
    }
    recent = serving_module._recent
    async with start() as service:
        for _ in range(2):
            await trained(service)

        async def slow(*args: Any) -> pl.DataFrame | None:
            found = await recent(*args)
            assert await service.observe([delivery]) == 1
            return found

        monkeypatch.setattr(serving_module, "_recent", slow)
        await service.promote("eta", 2)
        told = await service.forecast(late)
    assert (told.version, told.input_ages_seconds["recent"]) == (2, 180)


async def test_the_default_is_the_setting_or_the_last_promoted(
    start: Started, settings: MlSettings
) -> None:
    async with start() as service:
        await trained(service, "first")
        await trained(service, "second")
        assert (await service.forecast(ORDER)).model == "second"
        assert (await service.forecast(ORDER, model="first")).model == "first"
        await service.retire("second")
        assert (await service.forecast(ORDER)).model == "first"
        await service.promote("second", 1)
    async with start() as service:
        assert (await service.forecast(ORDER)).model == "second"
    chosen = settings.model_copy(update={"default_model": "first"})
    async with start(settings=chosen) as service:
        assert (await service.forecast(ORDER)).model == "first"
    missing = settings.model_copy(update={"default_model": "nothing"})
    async with start(settings=missing) as service:
        assert (await service.forecast(ORDER)).degraded


async def test_zones_promise_by_their_own_policy(start: Started) -> None:
    async with start() as service:
        await trained(service)
        helsinki = await service.forecast(ORDER)
        espoo = await service.forecast({**ORDER, "city": "Espoo"})
    assert helsinki.promise
    assert espoo.promise
    assert (helsinki.promise.policy, espoo.promise.policy) == ("standard", "Espoo")
    assert espoo.promise.minutes >= helsinki.promise.minutes + 5


def test_a_zone_inherits_what_it_does_not_set() -> None:
    policies = Policies.of(
        PromiseSettings(quantile=0.9, round_to_minutes=1),
        {"Espoo": PromiseSettings(buffer_minutes=3)},
    )
    assert policies.of_city("Espoo") == PromisePolicy(
        name="Espoo", quantile=0.9, round_to_minutes=1, buffer_minutes=3
    )
    assert policies.of_city(None) == PromisePolicy(quantile=0.9, round_to_minutes=1)
    with pytest.raises(InvalidInput, match="not usable"):
        Policies.of(PromiseSettings(floor_minutes=100, ceiling_minutes=10))


async def test_too_many_at_once_are_refused(service_of_ten: MlService) -> None:
    with pytest.raises(InvalidInput, match="too many") as caught:
        await service_of_ten.forecast_many([ORDER] * 11)
    assert caught.value.problems[0].field == "orders"
    with pytest.raises(InvalidInput, match="too many"):
        await service_of_ten.observe([ORDER] * 11)


@pytest.fixture
async def service_of_ten(start: Started, settings: MlSettings) -> Any:
    limits = {"forecast_orders": 10, "observe_deliveries": 10}
    async with start(settings=settings.model_copy(update=limits)) as service:
        yield service


async def test_a_missing_input_is_named(start: Started) -> None:
    async with start() as service:
        await trained(service)
        told = await service.forecast({k: v for k, v in ORDER.items() if k != "items"})
        assert (told.missing, told.degraded) == (("items",), True)
        now = datetime.now(UTC)
        told = await service.forecast({k: v for k, v in ORDER.items() if k != "placed_at"})
        assert told.missing == ()
        assert told.input_ages_seconds["recent"] > (now - datetime(2026, 3, 7, tzinfo=UTC)).days


async def test_live_history_is_rebuilt_now_and_then(
    start: Started, settings: MlSettings, storage: StorageInMemory
) -> None:
    late = {**ORDER, "placed_at": "2026-03-07T10:45:00Z"}
    often = settings.model_copy(update={"refresh_seconds": 0.2})
    async with start(settings=often) as service:
        await trained(service)
        # Another process, of which this one is not told, keeps a delivery.
        row = storage.frames["orders"].row(0, named=True)
        placed = datetime(2026, 3, 7, 10, tzinfo=UTC)
        await storage.insert_rows(
            "orders",
            Layer.PROCESSED,
            [
                {
                    **row,
                    "order_id": "B-1",
                    "placed_at": placed,
                    "delivered_at": placed + timedelta(minutes=42),
                }
            ],
        )

        async def is_known() -> bool:
            return (await service.forecast(late)).input_ages_seconds["recent"] == 180

        await until(is_known)


@pytest.mark.parametrize("where", ["while storing", "while registering"])
async def test_a_cancelled_training_leaves_nothing(
    start: Started, storage: StorageInMemory, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    reached = asyncio.Event()
    put = storage.put_object

    async def stuck(*args: Any) -> Any:
        if where == "while storing" and len(storage.objects) == 1:
            reached.set()
            await asyncio.sleep(3600)
        return await put(*args)

    async def loading(*_: Any, **__: Any) -> Any:
        reached.set()
        await asyncio.sleep(3600)

    monkeypatch.setattr(storage, "put_object", stuck)
    async with start() as service:
        if where == "while registering":
            monkeypatch.setattr(Served, "load_new", loading)
        job = await service.start_training(TrainingRequest(dataset="orders", model="eta"))
        await reached.wait()
        assert storage.objects
        assert (await service.cancel_job(job.id)).state is JobState.CANCELLED
        assert storage.objects == {}
        assert (await service.model("eta")).versions == 0
        assert await service.production_log() == ()
