"""Paid forecasts through the public door: the real ledger, and a model of one number."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from foodex.adapters.database.engine import open_database
from foodex.adapters.payments.local import LocalPayments
from foodex.adapters.rates.opening import open_rates
from foodex.core.access import KeyAccess, Role
from foodex.core.clock import SystemClock
from foodex.core.errors import FoodexError, InvalidInput, NotFound, Unavailable
from foodex.core.settings import AccountsSettings, HttpSettings, Stage
from foodex.domain.forecasts import Answered, Ask, Forecast, Record, Source
from foodex.domain.people import Action, AuditFilter, Scope
from foodex.services.accounts.access import AccountsAccess
from foodex.services.accounts.service import AccountsService
from foodex.services.accounts.tokens import load_or_create_signing_keys
from foodex.services.gateway.app import create_gateway
from tests.support.serving import serve

SYSTEM_KEY = "the-key-of-the-system"


@dataclass
class MlDouble:
    """Says as many minutes as there are items; negative ones are refused."""

    calls: list[int] = field(default_factory=list)
    away: bool = False
    held: asyncio.Event | None = None
    called: asyncio.Event = field(default_factory=asyncio.Event)

    async def answers(self, asks: Sequence[Ask]) -> list[Answered | FoodexError]:
        if self.away:
            raise Unavailable("The ml service is away")
        self.calls.append(len(asks))
        self.called.set()
        if self.held is not None:
            await self.held.wait()
        return [self._answer(ask) for ask in asks]

    def _answer(self, ask: Ask) -> Answered | FoodexError:
        minutes = float(ask.order.get("items", 7))
        if minutes < 0:
            return InvalidInput("The order cannot be used")
        forecast = said(minutes, ask.model or "eta")
        features = b"\0" * 8
        return Answered(forecast=forecast, features=features, inputs=b"%d" % minutes)

    async def reproduce(self, record: Record) -> Forecast:
        if record.version != 3:
            raise NotFound("There is no such version")
        assert record.features == b"\0" * 8
        return said(float(record.inputs), record.model or "")


def said(minutes: float, model: str) -> Forecast:
    return Forecast(
        quantiles_minutes=(minutes,) * 7,
        source=Source.MODEL,
        degraded=False,
        model=model,
        version=3,
    )


@dataclass
class Shop:
    """The gateway and its accounts."""

    url: str
    accounts: AccountsService
    ml: MlDouble
    http: aiohttp.ClientSession

    async def client(self, name: str, minor: int, *scopes: Scope) -> dict[str, str]:
        person = (await self.accounts.create_person(name, (Role.CLIENT,))).person
        if minor:
            await self.accounts.top_up(person.account, minor)
        key = await self.accounts.create_key(name, "shop", scopes or tuple(Scope))
        return {"authorization": f"Bearer {key.secret}"}

    async def ask(
        self, headers: Mapping[str, str], order: Any, query: str = "", **more: str
    ) -> tuple[int, Mapping[str, str], bytes]:
        given = {**headers, **{name.replace("_", "-"): value for name, value in more.items()}}
        body = json.dumps(order).encode()
        async with self.http.post(
            f"{self.url}/api/v1/eta{query}", data=body, headers=given
        ) as answer:
            return answer.status, answer.headers, await answer.read()

    async def get(self, headers: Mapping[str, str], path: str, method: str = "GET") -> Any:
        async with self.http.request(method, f"{self.url}/api/v1{path}", headers=headers) as answer:
            text = await answer.text()
            return answer.status, json.loads(text) if "json" in answer.content_type else text

    async def left(self, name: str) -> int:
        return (await self.accounts.balance(name)).balance_minor


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgresql":
        found: str = request.getfixturevalue("postgresql_database_url")
        return found
    return f"sqlite+aiosqlite:///{tmp_path}/foodex.db"


@pytest.fixture
async def shop(database_url: str, tmp_path: Path) -> AsyncIterator[Shop]:
    clock, ml = SystemClock(), MlDouble()
    settings = AccountsSettings(argon2_memory_kib=8, argon2_passes=1)
    database = open_database(database_url)
    accounts = AccountsService(
        database=database,
        settings=settings,
        clock=clock,
        rates=open_rates("memory://"),
        provider=LocalPayments(secret="x" * 32, tolerance_seconds=300, clock=clock),
        signing=load_or_create_signing_keys(tmp_path / "keys.json", stage=Stage.MVP),
    )
    access = AccountsAccess(accounts, settings=settings, clock=clock, others=KeyAccess(SYSTEM_KEY))
    app = create_gateway(
        routers={},
        ml=ml,  # type: ignore[arg-type]
        accounts=accounts,
        access=access,
        settings=HttpSettings(),
        running=access.running,
    )
    async with accounts.running(), serve(app) as url, aiohttp.ClientSession() as http:
        yield Shop(url, accounts, ml, http)
    await database.close()


async def test_a_client_pays_and_is_told_what(shop: Shop) -> None:
    key = await shop.client("ada", 5)
    status, headers, body = await shop.ask(key, {"items": 12})
    assert status == 200
    assert json.loads(body)["median_minutes"] == 12
    assert (headers["foodex-price-minor"], headers["foodex-balance-minor"]) == ("2", "3")
    assert (headers["foodex-currency"], headers.get("idempotency-replayed")) == ("EUR", None)
    assert await shop.left("ada") == 3
    found = await shop.accounts.prediction("ada", headers["foodex-prediction-id"])
    assert (found.answer, found.order) == (body, b'{"items": 12}')
    assert (found.model, found.version, found.inputs) == ("eta", 3, b"12")


async def test_who_cannot_pay_gets_the_price_and_no_forecast(shop: Shop) -> None:
    key = await shop.client("ada", 1)
    status, headers, body = await shop.ask(key, {"items": 12})
    told = json.loads(body)
    assert (status, headers["content-type"]) == (402, "application/problem+json")
    assert (told["balance_minor"], told["price_minor"]) == (1, 2)
    assert "minutes" not in body.decode()
    assert "foodex-prediction-id" not in headers
    assert await shop.left("ada") == 1


async def test_the_same_key_answers_the_same_and_charges_once(shop: Shop) -> None:
    key = await shop.client("ada", 100)
    first = await shop.ask(key, {"items": 3}, idempotency_key="k-1")
    again = await shop.ask(key, {"items": 3}, idempotency_key="k-1")
    assert (first[0], again[0], again[2]) == (200, 200, first[2])
    assert "idempotency-replayed" not in first[1]
    assert again[1]["idempotency-replayed"] == "true"
    assert again[1]["foodex-prediction-id"] == first[1]["foodex-prediction-id"]
    for items, query in ((4, ""), (3, "?explain=1"), (3, "?model=b")):
        order = {"items": items}
        status, _, body = await shop.ask(key, order, query, idempotency_key="k-1")
        assert (status, json.loads(body)["type"]) == (409, "urn:foodex:problem:conflict")
    together = await asyncio.gather(
        *(shop.ask(key, {"items": 5}, idempotency_key="k-2") for _ in range(10))
    )
    assert {(status, body) for status, _, body in together} == {(200, together[0][2])}
    assert await shop.left("ada") == 96
    assert (await shop.ask(key, {}, idempotency_key="é"))[0] == 422


async def test_a_bad_order_is_refused_alone_and_not_charged(shop: Shop) -> None:
    key = await shop.client("ada", 100)
    told = await asyncio.gather(*(shop.ask(key, {"items": n}) for n in (1, -1, 2, -2, 3)))
    assert [status for status, _, _ in told] == [200, 422, 200, 422, 200]
    assert await shop.left("ada") == 94
    assert (await shop.ask(key, []))[0] == 422
    assert await shop.left("ada") == 94


async def test_staff_and_the_system_do_not_pay(shop: Shop) -> None:
    await shop.accounts.create_person("otto", (Role.OPERATOR,))
    key = (await shop.accounts.create_key("otto", "desk", (Scope.ETA,))).secret
    for secret in (key, SYSTEM_KEY):
        status, headers, body = await shop.ask({"authorization": f"Bearer {secret}"}, {"items": 4})
        assert (status, json.loads(body)["median_minutes"]) == (200, 4)
        assert "foodex-price-minor" not in headers
    assert (await shop.accounts.predictions("otto")).predictions == ()


async def test_a_key_without_the_scope_cannot_buy(shop: Shop) -> None:
    key = await shop.client("ada", 100, Scope.BALANCE_READ)
    for _ in range(3):
        assert (await shop.ask(key, {}))[0] == 403
    assert await shop.left("ada") == 100
    told = await shop.accounts.audit(AuditFilter(actions=(Action.REFUSED,)))
    (line,) = told.entries
    assert (line.who, line.detail) == ("ada", "POST /api/v1/eta: /api/v1/eta")
    assert line.address == "127.0.0.1"
    assert line.request_id


async def test_who_leaves_takes_nobody_along(shop: Shop) -> None:
    key = await shop.client("ada", 100)
    shop.ml.held = asyncio.Event()
    asked = [asyncio.create_task(shop.ask(key, {"items": n})) for n in range(6)]
    await shop.ml.called.wait()
    for task in asked[::2]:
        task.cancel()
    await asyncio.sleep(0.05)
    shop.ml.held.set()
    told = await asyncio.gather(*asked[1::2])
    assert [json.loads(body)["median_minutes"] for _, _, body in told] == [1, 3, 5]


async def test_when_no_forecast_can_be_had_nothing_is_charged(shop: Shop) -> None:
    key = await shop.client("ada", 100)
    shop.ml.away = True
    status, headers, _ = await shop.ask(key, {})
    assert (status, headers["retry-after"]) == (503, "1")
    shop.ml.away = False
    assert (await shop.ask(key, {}))[0] == 200
    assert await shop.left("ada") == 98


async def test_when_the_database_is_away_there_is_no_forecast(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: Any) -> Any:
        raise Unavailable("The database is away")

    key = await shop.client("ada", 100)
    monkeypatch.setattr(shop.accounts._sales._batches, "write", away)
    status, headers, body = await shop.ask(key, {})
    assert (status, headers["retry-after"]) == (503, "1")
    assert "minutes" not in body.decode()
    monkeypatch.undo()
    assert (await shop.ask(key, {}))[0] == 200
    assert await shop.left("ada") == 98


async def test_the_next_forecast_is_made_while_a_commit_is_written(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = await shop.client("ada", 100)
    writing, written = asyncio.Event(), asyncio.Event()
    write = shop.accounts._sales._batches.write

    async def slow(batch: Any, at: Any) -> Any:
        writing.set()
        await written.wait()
        return await write(batch, at)

    monkeypatch.setattr(shop.accounts._sales._batches, "write", slow)
    first = asyncio.create_task(shop.ask(key, {"items": 1}))
    await writing.wait()
    shop.ml.called.clear()
    second = asyncio.create_task(shop.ask(key, {"items": 2}))
    async with asyncio.timeout(10):
        await shop.ml.called.wait()
    assert not first.done()
    assert not second.done()
    written.set()
    told = [json.loads(body)["median_minutes"] for _, _, body in (await first, await second)]
    assert told == [1, 2]
    assert await shop.left("ada") == 96


async def test_a_repeat_is_answered_though_no_forecast_can_be_had(shop: Shop) -> None:
    key = await shop.client("ada", 100)
    first = await shop.ask(key, {"items": 1}, idempotency_key="k")
    shop.ml.away = True
    again = await shop.ask(key, {"items": 1}, idempotency_key="k")
    assert (again[0], again[2]) == (200, first[2])
    other = await shop.ask(key, {"items": 2}, idempotency_key="k")
    assert other[0] == 409
    new = await shop.ask(key, {"items": 1}, idempotency_key="new")
    assert (new[0], json.loads(new[2])["detail"]) == (503, "The ml service is away")
    assert await shop.left("ada") == 98


async def test_a_prediction_is_made_again(shop: Shop) -> None:
    key, other = await shop.client("ada", 100), await shop.client("bob", 100)
    _, headers, body = await shop.ask(key, {"items": 9})
    name = headers["foodex-prediction-id"]
    path = f"/predictions/{name}/reproduce"
    status, told = await shop.get(key, path, "POST")
    assert status == 200
    assert told == {
        "identical": True,
        "prediction_id": name,
        "model": "eta",
        "version": 3,
        "recorded": json.loads(body),
        "reproduced": json.loads(body),
    }
    system = {"authorization": f"Bearer {SYSTEM_KEY}"}
    assert (await shop.get(system, path, "POST"))[1]["identical"] is True
    assert (await shop.get(other, path, "POST"))[0] == 404
    narrow = await shop.accounts.create_key("ada", "narrow", (Scope.ETA,))
    narrow_key = {"authorization": f"Bearer {narrow.secret}"}
    assert (await shop.get(narrow_key, path, "POST"))[0] == 403
    assert await shop.left("ada") == 98


async def test_predictions_are_looked_up(shop: Shop) -> None:
    key, other = await shop.client("ada", 100), await shop.client("bob", 100)
    for items in range(3):
        await shop.ask(key, {"items": items})
    status, page = await shop.get(key, "/predictions?limit=2")
    assert (status, len(page["predictions"])) == (200, 2)
    newest = page["predictions"][0]["id"]
    _, one = await shop.get(key, f"/predictions/{newest}")
    assert (one["order"], one["inputs"], one["features"]) == ({"items": 2}, 2, [0.0])
    assert one["answer"]["median_minutes"] == 2
    _, rest = await shop.get(key, f"/predictions?before={page['next_before']}")
    assert len(rest["predictions"]) == 1
    assert (await shop.get(other, f"/predictions/{newest}"))[0] == 404
    assert (await shop.get(other, "/predictions?account=ada"))[0] == 404
    _, text = await shop.get(key, "/predictions.csv?model=eta")
    assert len(text.splitlines()) == 4
    system = {"authorization": f"Bearer {SYSTEM_KEY}"}
    assert (await shop.get(system, "/predictions"))[0] == 422
    assert len((await shop.get(system, "/predictions?account=ada"))[1]["predictions"]) == 3
