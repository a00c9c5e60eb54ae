"""The port's cases, once on the service itself and once on its client over real HTTP."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from foodex.core.access import KeyAccess, Principal, Role, acting_as
from foodex.core.errors import Conflict, FoodexError, InvalidInput, NotFound
from foodex.core.peer import Peer
from foodex.core.settings import HttpSettings
from foodex.core.sql import Database
from foodex.domain.forecasts import Answered, Ask, Record, Source
from foodex.domain.models import EvaluationRequest, JobKind, JobState, TrainingRequest
from foodex.ports.ml import Ml
from foodex.services.ml.app import create_app
from foodex.services.ml.client import MlClient
from tests.services.ml.conftest import ORDER, Started, trained
from tests.services.ml.double import StorageInMemory
from tests.support.serving import serve

pytestmark = pytest.mark.usefixtures("ready_made")


@pytest.fixture(params=["service", "client", "service on postgresql"])
def kind(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture
def url(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if "postgresql" in kind:
        found: str = request.getfixturevalue("postgresql_database_url")
        return found
    return f"sqlite+aiosqlite:///{tmp_path}/foodex.db"


@pytest.fixture
async def ml(
    kind: str,
    start: Started,
    database: Database,
    storage: StorageInMemory,
    settings: object,
) -> AsyncIterator[Ml]:
    async with start() as service:
        if kind != "client":
            yield service
            return
        app = create_app(service, access=KeyAccess("key-for-tests"), settings=HttpSettings())
        async with serve(app) as url, Peer(url, "key-for-tests") as peer:
            yield MlClient(peer)


async def test_a_model_is_made_and_found(ml: Ml) -> None:
    made = await ml.create_model("eta_city", "for the city")
    assert await ml.models() == (made,)
    assert await ml.model("eta_city") == made
    assert (made.versions, made.latest, made.production) == (0, None, None)
    with pytest.raises(Conflict, match="already"):
        await ml.create_model("eta_city")
    with pytest.raises(NotFound, match="did you mean 'eta_city'"):
        await ml.model("eta_cty")
    with pytest.raises(InvalidInput, match="cannot be called"):
        await ml.create_model("Eta City")
    await ml.delete_model("eta_city")
    assert await ml.models() == ()


async def test_the_first_version_goes_into_production(ml: Ml) -> None:
    with acting_as(Principal("ann", frozenset({Role.ANALYST}))):
        job = await trained(ml)
    assert (job.kind, job.progress, job.who) == (JobKind.TRAIN, 1.0, "ann")
    assert job.started_at
    assert job.finished_at
    assert job.result
    assert (job.result["version"], job.result["in_production"]) == (1, True)
    version = await ml.version("eta")
    assert version == await ml.version("eta", 1)
    assert (version.dataset, version.who, version.in_production) == ("orders", "ann", True)
    assert version.summary["job"] == job.id
    assert version.size_bytes > 1000
    (change,) = await ml.production_log("eta")
    assert (change.action, change.version, change.previous, change.who) == (
        "promote",
        1,
        None,
        "ann",
    )


async def test_promote_rollback_retire_delete(ml: Ml, storage: StorageInMemory) -> None:
    for _ in range(3):
        await trained(ml)
    assert [v.version for v in await ml.versions("eta")] == [3, 2, 1]
    assert (await ml.model("eta")).production == 1
    assert (await ml.promote("eta", 2)).production == 2
    assert (await ml.promote("eta", 2)).production == 2
    assert (await ml.promote("eta", 3)).production == 3
    assert (await ml.rollback("eta")).production == 2
    assert (await ml.rollback("eta")).production == 1
    with pytest.raises(Conflict, match="No earlier version"):
        await ml.rollback("eta")
    log = [(c.action, c.version, c.previous) for c in await ml.production_log()]
    assert log == [
        ("rollback", 1, 2),
        ("rollback", 2, 3),
        ("promote", 3, 2),
        ("promote", 2, 1),
        ("promote", 1, None),
    ]
    with pytest.raises(Conflict, match="in production"):
        await ml.delete_version("eta", 1)
    with pytest.raises(Conflict, match="retire it first"):
        await ml.delete_model("eta")
    with pytest.raises(NotFound, match="its versions are 3, 2, 1"):
        await ml.promote("eta", 7)
    await ml.delete_version("eta", 2)
    assert not [key for key in storage.objects if key.startswith("models/eta/2/")]
    await ml.retire("eta")
    assert (await ml.forecast(ORDER)).source is Source.DISTANCE
    with pytest.raises(Conflict, match="is in production"):
        await ml.version("eta")
    await ml.delete_model("eta")
    assert storage.objects == {}
    assert len(await ml.production_log("eta")) == 6


async def test_a_rollback_passes_over_versions_since_removed(ml: Ml) -> None:
    for _ in range(3):
        await trained(ml, promote=True)
    await ml.delete_version("eta", 2)
    assert (await ml.rollback("eta")).production == 1


async def test_a_number_is_never_given_twice(ml: Ml) -> None:
    await trained(ml)
    await trained(ml)
    await ml.delete_version("eta", 2)
    job = await trained(ml)
    assert job.result
    assert job.result["version"] == 3


@pytest.mark.parametrize(
    ("change", "field", "message"),
    [
        ({"algorithm": "magic"}, "algorithm", "none of gradient_boosting"),
        ({"model": "Eta!"}, "model", "is no name"),
        ({"without": ("spicy",)}, "without", "did you mean 'spice'"),
        ({"until": datetime(2020, 1, 1, tzinfo=UTC)}, "until", "not within the period"),
        ({"split_column": "prt"}, "split_column", "did you mean 'part'"),
        (
            {"split_column": "part", "until": datetime(2026, 3, 3, tzinfo=UTC)},
            "split_column",
            "together with `until`",
        ),
        ({"dataset": "few"}, "dataset", "has 3 rows"),
    ],
)
async def test_a_training_that_cannot_end_well_is_refused(
    ml: Ml, storage: StorageInMemory, change: dict[str, object], field: str, message: str
) -> None:
    storage.frames["few"] = storage.frames["orders"].head(3)
    request = replace(TrainingRequest(dataset="orders", model="eta"), **change)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput) as caught:
        await ml.start_training(request)
    assert [p.field for p in caught.value.problems] == [field]
    assert message in caught.value.problems[0].message
    assert await ml.jobs() == ()


async def test_what_is_not_there_is_named(ml: Ml) -> None:
    with pytest.raises(NotFound, match="did you mean 'orders'"):
        await ml.start_training(TrainingRequest(dataset="order", model="eta"))
    with pytest.raises(NotFound, match="no model 'eta'"):
        await ml.start_evaluation(EvaluationRequest(model="eta", dataset="orders"))
    with pytest.raises(NotFound, match="no job 'x'"):
        await ml.job("x")
    with pytest.raises(NotFound, match="no job 'x'"):
        await ml.cancel_job("x")
    with pytest.raises(NotFound, match="no model 'x'"):
        await ml.forecast(ORDER, model="x")
    await ml.create_model("eta")
    with pytest.raises(Conflict, match="none yet, train one"):
        await ml.start_evaluation(EvaluationRequest(model="eta", dataset="orders"))


async def test_an_order_is_forecast(ml: Ml) -> None:
    await trained(ml)
    plain = await ml.forecast(ORDER)
    assert (plain.source, plain.model, plain.version, plain.degraded) == (
        Source.MODEL,
        "eta",
        1,
        False,
    )
    assert plain.promise
    assert plain.explanation is None
    assert plain.promise.minutes >= plain.median_minutes
    explained = await ml.forecast(ORDER, model="eta", explain=True)
    assert explained.explanation
    added = sum(factor.minutes for factor in explained.explanation.factors)
    typical = explained.explanation.typical_minutes
    assert typical + added == pytest.approx(explained.median_minutes)
    assert plain.quantiles_minutes == explained.quantiles_minutes


@pytest.mark.parametrize("count", [0, 3, 100])
async def test_many_are_forecast_as_one(ml: Ml, count: int) -> None:
    await trained(ml)
    orders = [{**ORDER, "distance_km": 0.05 * row} for row in range(count)]
    told = await ml.forecast_many(orders)
    assert len(told) == count
    for order, one in list(zip(orders, told, strict=True))[::30]:
        assert one == await ml.forecast(order)
    with pytest.raises(InvalidInput) as caught:
        await ml.forecast_many([ORDER, {**ORDER, "items": -2}])
    assert [(p.field, p.row) for p in caught.value.problems] == [("items", 1)]


async def test_without_a_model_there_is_an_answer_too(ml: Ml) -> None:
    told = await ml.forecast(ORDER)
    assert (told.source, told.degraded, told.model) == (Source.DISTANCE, True, None)
    assert told.promise
    nothing = await ml.forecast({})
    assert nothing.source is Source.CONSTANT
    assert await ml.forecast_many([{}, ORDER]) == (nothing, told)
    with pytest.raises(InvalidInput, match="cannot be used"):
        await ml.forecast({"items": -1})
    await ml.create_model("empty")
    assert (await ml.forecast(ORDER, model="empty")).degraded


async def test_a_delivery_counts_once(ml: Ml, storage: StorageInMemory) -> None:
    delivery = {
        "order_id": "B-1",
        "placed_at": "2026-03-07T10:00:00Z",
        "delivered_at": "2026-03-07T10:42:00Z",
        "store_id": "store-2",
        "city": "Helsinki",
        "spice": 2,
        "courier_id": "c-1",
    }
    with pytest.raises(Conflict, match="No model is in production"):
        await ml.observe([delivery])
    await trained(ml)
    before = await ml.forecast({**ORDER, "placed_at": "2026-03-07T10:45:00Z"})
    assert await ml.observe([delivery, {**delivery, "order_id": "B-2"}, delivery]) == 2
    assert await ml.observe([delivery]) == 0
    after = await ml.forecast({**ORDER, "placed_at": "2026-03-07T10:45:00Z"})
    assert after.input_ages_seconds["recent"] == 180
    assert before.input_ages_seconds["recent"] > 3600
    kept = storage.frames["orders"].tail(2)
    assert kept["order_id"].to_list() == ["B-1", "B-2"]
    assert kept["delivery_minutes"].to_list() == [42, 42]
    assert kept["courier_id"].to_list() == ["c-1", "c-1"]
    with pytest.raises(InvalidInput) as caught:
        await ml.observe([{**delivery, "order_id": "B-3"}, {"order_id": "B-4"}])
    assert {(p.row, p.field) for p in caught.value.problems} == {(1, "placed_at")}
    assert len(storage.frames["orders"]) == 402


async def test_jobs_are_listed_and_waited_for(ml: Ml) -> None:
    first = await trained(ml)
    second = await trained(ml)
    assert await ml.jobs() == (second, first)
    assert await ml.jobs(limit=1) == (second,)
    assert await ml.jobs(kind=JobKind.TRAIN, model="eta") == (second, first)
    assert await ml.jobs(kind=JobKind.EVALUATE) == await ml.jobs(model="other") == ()
    assert await ml.job(first.id) == first
    assert await ml.wait_for_job(first.id, seen=0.5, timeout_seconds=0.1) == first
    with pytest.raises(Conflict, match="it is done"):
        await ml.cancel_job(first.id)
    assert first.state is JobState.DONE


async def test_orders_that_wait_at_once_fare_apart(ml: Ml) -> None:
    await trained(ml)
    asks = [
        Ask(order=ORDER),
        Ask(order={**ORDER, "items": -1}),
        Ask(order=ORDER, model="eta", explain=True),
        Ask(order=ORDER, model="nothing"),
        Ask(order={**ORDER, "city": "Espoo", "store_id": 7}),
        Ask(order={"spice": "hot"}),
        Ask(order={}),
    ]
    told = await ml.answers(asks)
    for ask, one in zip(asks, told, strict=True):
        alone = ml.forecast(ask.order, model=ask.model, explain=ask.explain)
        if isinstance(one, Answered):
            assert one.forecast == await alone
            continue
        with pytest.raises(FoodexError) as refused:
            await alone
        assert type(refused.value) is type(one)
        assert (one.message, one.problems) == (refused.value.message, refused.value.problems)
    assert [isinstance(one, Answered) for one in told] == [1, 0, 1, 0, 1, 0, 1]
    assert await ml.answers([]) == []


async def test_a_forecast_is_made_again_from_its_record(ml: Ml) -> None:
    await trained(ml)
    asks = [
        Ask(order=ORDER),
        Ask(order=ORDER, explain=True),
        Ask(order={**ORDER, "city": "Espoo"}),
        Ask(order={"distance_km": 2.0}),
        Ask(order={}),
        Ask(order={**ORDER, "placed_at": "2026-03-04T10:42:00Z"}, explain=True),
    ]
    told = [one for one in await ml.answers(asks) if isinstance(one, Answered)]
    assert {one.forecast.source for one in told} >= {Source.MODEL, Source.HISTORY}
    records = [record_of(one) for one in told]
    late = {"placed_at": "2026-03-07T10:00:00Z", "delivered_at": "2026-03-07T11:42:00Z"}
    await ml.observe([{**ORDER, **late, "order_id": f"late-{n}"} for n in range(30)])
    for _ in range(4):
        await trained(ml, promote=True)
    assert (await ml.version("eta")).version == 5
    for record, one in zip(records, told, strict=True):
        assert await ml.reproduce(record) == one.forecast
    other = replace(records[0], inputs=records[5].inputs)
    assert (await ml.reproduce(other)).explanation
    await ml.delete_version("eta", 2)
    with pytest.raises(NotFound):
        await ml.reproduce(replace(records[0], version=2))
    for wrong in (
        {"features": b"1234567"},
        {"features": None},
        {"inputs": b"{}"},
        {"inputs": b"no JSON"},
        {"inputs": records[0].inputs.replace(b'"format":1', b'"format":99')},
        {"inputs": records[0].inputs.replace(b'"shift":[', b'"shift":[1,')},
    ):
        with pytest.raises(InvalidInput):
            await ml.reproduce(replace(records[0], **wrong))


async def test_an_answer_before_any_training_is_made_again_too(ml: Ml) -> None:
    (told,) = await ml.answers([Ask(order=ORDER)])
    assert isinstance(told, Answered)
    assert told.features is None
    assert told.forecast == await ml.forecast(ORDER)
    await trained(ml)
    assert await ml.reproduce(record_of(told)) == told.forecast


def record_of(answered: Answered) -> Record:
    forecast = answered.forecast
    return Record(
        model=forecast.model,
        version=forecast.version,
        features=answered.features,
        inputs=answered.inputs,
    )
