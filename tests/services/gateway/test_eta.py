"""The fast lane: the same answers as the ordinary route, with the same edge around them."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import aiohttp
import pytest
from fastapi import APIRouter
from prometheus_client import CollectorRegistry

from foodex.core.access import KeyAccess, Principal, Role, who
from foodex.core.errors import FieldProblem, FoodexError, InvalidInput, NotFound, Overloaded
from foodex.core.http import create_app
from foodex.core.settings import HttpSettings
from foodex.domain.forecasts import Answered, Ask, Explanation, Factor, Forecast, Promise, Source
from foodex.services.gateway import eta
from foodex.services.gateway.selling import Desk
from tests.support.serving import serve

KEY = "key-for-tests"


class MlDouble:
    """Answers by what the order says."""

    def __init__(self) -> None:
        self.asked: list[tuple[Mapping[str, Any], str | None, bool]] = []
        self.seen: list[str] = []

    async def answers(self, asks: Sequence[Ask]) -> list[Answered | FoodexError]:
        self.seen.append(who())
        return [self._answer(ask) for ask in asks]

    def _answer(self, ask: Ask) -> Answered | FoodexError:
        try:
            forecast = self._forecast(ask.order, model=ask.model, explain=ask.explain)
        except FoodexError as error:
            return error
        return Answered(forecast=forecast, features=None, inputs=b"{}")

    def _forecast(self, order: Mapping[str, Any], *, model: str | None, explain: bool) -> Forecast:
        self.asked.append((order, model, explain))
        if model == "nothing":
            raise NotFound("There is no model 'nothing'")
        if order.get("items") == -1:
            raise InvalidInput("No", problems=[FieldProblem("items", "is -1")])
        if order.get("items") == 99:
            raise Overloaded(retry_after_seconds=3)
        if order.get("items") == 0:
            raise ZeroDivisionError("secret")
        why = Explanation(typical_minutes=20.00001, factors=(Factor(name="rain", minutes=1 / 3),))
        return Forecast(
            quantiles_minutes=(10.0, 11.0, 15.0, 20.123456, 25.0, 30.0, 35.0),
            source=Source.MODEL,
            degraded=False,
            model="eta",
            version=3,
            promise=Promise(minutes=25, earliest_minutes=15, policy="standard"),
            explanation=why if explain else None,
            input_ages_seconds={"recent": 60.0},
        )


@pytest.fixture
def ml() -> MlDouble:
    return MlDouble()


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture(params=["fast", "ordinary"])
async def url(
    request: pytest.FixtureRequest, ml: Any, registry: CollectorRegistry
) -> AsyncIterator[str]:
    routes = APIRouter(prefix="/api/v1")
    desk = Desk(ml, None)
    routes.include_router(eta.router(desk))
    access = KeyAccess(KEY)
    app = create_app(
        "gateway", router=routes, access=access, settings=HttpSettings(), registry=registry
    )
    if request.param == "fast":
        app.add_middleware(
            eta.eta_lane, desk=desk, access=access, registry=registry, settings=HttpSettings()
        )
    async with serve(app) as address:
        yield address + eta.PATH


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
    async with aiohttp.ClientSession(headers=headers) as session:
        yield session


async def test_an_order_gets_its_answer(
    url: str, http: aiohttp.ClientSession, ml: MlDouble
) -> None:
    async with http.post(url, data=json.dumps({"items": 2}).encode()) as answer:
        assert answer.status == 200
        assert answer.content_type == "application/json"
        assert await answer.json() == {
            "promise": {"minutes": 25, "earliest_minutes": 15, "policy": "standard"},
            "median_minutes": 20.123,
            "quantiles_minutes": {
                "0.05": 10.0,
                "0.1": 11.0,
                "0.25": 15.0,
                "0.5": 20.123,
                "0.75": 25.0,
                "0.9": 30.0,
                "0.95": 35.0,
            },
            "source": "model",
            "degraded": False,
            "model": "eta",
            "version": 3,
            "missing": [],
            "input_ages_seconds": {"recent": 60.0},
            "explanation": None,
        }
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert len(answer.headers["x-request-id"]) == 16
    assert ml.asked == [({"items": 2}, None, False)]
    assert ml.seen == ["system"]


async def test_model_and_explanation_are_asked_for(
    url: str, http: aiohttp.ClientSession, ml: MlDouble
) -> None:
    async with http.post(url + "?model=other&explain=true", data=b"{}") as answer:
        found = await answer.json()
    assert ml.asked == [({}, "other", True)]
    assert found["explanation"] == {
        "typical_minutes": 20.0,
        "factors": [{"name": "rain", "minutes": 0.333}],
    }


@pytest.mark.parametrize(
    ("query", "body", "status", "kind"),
    [
        ("", b"{", 400, "bad-request"),
        ("", b'{"a": "\xff"}', 400, "bad-request"),
        ("", b"[]", 422, "invalid-input"),
        ("?explain=perhaps", b"{}", 422, "invalid-input"),
        ("?model=nothing", b"{}", 404, "not-found"),
        ("", b'{"items": -1}', 422, "invalid-input"),
        ("", b'{"items": 99}', 503, "overloaded"),
        ("", b'{"items": 0}', 500, "internal"),
    ],
)
async def test_trouble_is_a_problem_document(
    url: str, http: aiohttp.ClientSession, query: str, body: bytes, status: int, kind: str
) -> None:
    async with http.post(url + query, data=body, headers={"x-request-id": "abcdefgh"}) as answer:
        assert answer.status == status, await answer.text()
        assert answer.content_type == "application/problem+json"
        told = await answer.json(content_type=None)
        assert told["type"] == f"urn:foodex:problem:{kind}"
        assert told["request_id"] == answer.headers["x-request-id"] == "abcdefgh"
        assert "secret" not in str(told)
        if status == 503:
            assert answer.headers["retry-after"] == "3"


@pytest.mark.parametrize("key", [None, "wrong"])
async def test_a_key_is_needed(url: str, key: str | None) -> None:
    headers = {"authorization": f"Bearer {key}"} if key else {}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(url, data=b"{}") as answer,
    ):
        assert answer.status == 401
        assert answer.headers["www-authenticate"] == 'Bearer realm="foodex"'


async def test_other_methods_are_the_app_s(url: str, http: aiohttp.ClientSession) -> None:
    async with http.get(url) as answer:
        assert answer.status == 405


@pytest.mark.parametrize("declared", [True, False])
async def test_an_endless_order_is_cut_off(ml: Any, declared: bool) -> None:
    async def nobody(*_: Any) -> None:
        raise AssertionError

    lane = eta.eta_lane(
        nobody,
        desk=Desk(ml, None),
        access=KeyAccess(KEY),
        registry=CollectorRegistry(),
        settings=HttpSettings(),
    )
    headers = [(b"authorization", f"Bearer {KEY}".encode())]
    if declared:
        headers.append((b"content-length", str(eta.MAX_BODY_BYTES + 1).encode()))
    scope = {"type": "http", "path": eta.PATH, "method": "POST", "query_string": b""}
    pieces, sent = 0, []

    async def receive() -> Any:
        nonlocal pieces
        pieces += 1
        return {"type": "http.request", "body": b" " * 4096, "more_body": True}

    async def send(message: Any) -> None:
        sent.append(message)

    await lane({**scope, "headers": headers}, receive, send)
    assert sent[0]["status"] == 413
    assert pieces == (0 if declared else 17)
    assert ml.asked == []


@pytest.mark.parametrize("begun", [True, False])
async def test_an_order_that_breaks_off_is_not_asked_about(ml: Any, begun: bool) -> None:
    lane = eta.eta_lane(
        ml,
        desk=Desk(ml, None),
        access=KeyAccess(KEY),
        registry=CollectorRegistry(),
        settings=HttpSettings(),
    )
    headers = [(b"authorization", f"Bearer {KEY}".encode()), (b"content-length", b"50")]
    scope = {"type": "http", "path": eta.PATH, "method": "POST", "query_string": b""}
    messages = [{"type": "http.request", "body": b"{}", "more_body": True}] if begun else []
    messages.append({"type": "http.disconnect"})
    sent = []

    async def receive() -> Any:
        return messages.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    await lane({**scope, "headers": headers}, receive, send)
    assert sent[0]["status"] == 400
    assert ml.asked == []


@pytest.mark.parametrize("url", ["fast"], indirect=True)
async def test_orders_asked_about_are_counted(
    url: str, http: aiohttp.ClientSession, registry: CollectorRegistry
) -> None:
    for body in (b"{}", b"{}", b"{"):
        async with http.post(url, data=body):
            pass
    for status, count in (("200", 2), ("400", 1)):
        found = registry.get_sample_value("foodex_eta_requests_total", {"status": status})
        assert found == count


async def test_roles_are_asked_for(ml: Any) -> None:
    class NoRoles(KeyAccess):
        async def authenticate(self, headers: Mapping[str, str]) -> Principal | None:
            return Principal("guest", frozenset())

    assert Role.CLIENT in eta._ROLES
    app = create_app("gateway", router=APIRouter(), access=NoRoles(KEY), settings=HttpSettings())
    app.add_middleware(
        eta.eta_lane,
        desk=Desk(ml, None),
        access=NoRoles(KEY),
        registry=CollectorRegistry(),
        settings=HttpSettings(),
    )
    async with (
        serve(app) as address,
        aiohttp.ClientSession() as session,
        session.post(address + eta.PATH, data=b"{}") as answer,
    ):
        assert answer.status == 403
