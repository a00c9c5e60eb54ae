"""What every app has around its routes."""

from collections.abc import AsyncIterator

import aiohttp
import pytest
from fastapi import APIRouter, Request
from prometheus_client import CollectorRegistry

from foodex.core.access import KeyAccess, Principal, Role, acting_as, allow, who
from foodex.core.context import request_id, set_request_id
from foodex.core.errors import Conflict, FieldProblem, Forbidden, InvalidInput, Unavailable
from foodex.core.http import STREAMED, create_app
from foodex.core.peer import Peer
from foodex.core.settings import HttpSettings
from tests.support.serving import serve

KEY = "a-key-for-tests"
router = APIRouter()


@router.get("/mine", dependencies=[allow(Role.ANALYST)])
async def mine() -> dict[str, str]:
    return {"who": who(), "request": request_id()}


@router.get("/odd", dependencies=[allow(Role.ADMIN)])
async def odd() -> None:
    problems = [FieldProblem("minutes", "is -1, below 0", row=3)]
    raise InvalidInput("The rows cannot be used", problems=problems)


@router.get("/broken", dependencies=[allow(Role.ADMIN)])
async def broken() -> None:
    raise ZeroDivisionError("secret detail")


@router.post("/api/echo", dependencies=[allow(Role.ADMIN)])
async def echo(body: dict[str, int]) -> dict[str, int]:
    return body


@router.post("/count", dependencies=[allow(Role.ADMIN)], max_body_size=STREAMED)
async def count(request: Request) -> int:
    return sum([len(piece) async for piece in request.stream()])


async def unwell() -> None:
    raise Unavailable("the database does not answer")


@pytest.fixture
async def url() -> AsyncIterator[str]:
    app = create_app(
        "probe",
        router=router,
        access=KeyAccess(KEY),
        settings=HttpSettings(max_body_bytes=100),
        registry=CollectorRegistry(),
    )
    async with serve(app) as address:
        yield address


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(headers={"authorization": f"Bearer {KEY}"}) as session:
        yield session


async def test_error_is_a_problem_document_with_field_and_row(
    url: str, http: aiohttp.ClientSession
) -> None:
    async with http.get(url + "/odd", headers={"x-request-id": "abcdefgh"}) as answer:
        assert answer.status == 422
        assert answer.content_type == "application/problem+json"
        assert await answer.json(content_type=None) == {
            "type": "urn:foodex:problem:invalid-input",
            "title": "Invalid input",
            "status": 422,
            "detail": "The rows cannot be used",
            "problems": [{"field": "minutes", "row": 3, "message": "is -1, below 0"}],
            "request_id": "abcdefgh",
        }
        assert answer.headers["x-request-id"] == "abcdefgh"


async def test_a_fault_of_ours_says_nothing_of_its_cause(
    url: str, http: aiohttp.ClientSession
) -> None:
    async with http.get(url + "/broken") as answer:
        assert answer.status == 500
        assert "secret" not in await answer.text()


@pytest.mark.parametrize(
    ("headers", "status"),
    [({}, 401), ({"authorization": "Bearer wrong"}, 401), ({"x-api-key": KEY}, 200)],
)
async def test_key_is_asked_for(url: str, headers: dict[str, str], status: int) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.get(url + "/mine", headers=headers) as answer,
    ):
        assert answer.status == status


@pytest.mark.parametrize(
    ("body", "status"),
    [("{", 400), ('{"a": "b"}', 422), ('{"a": 1}', 200), ('{"a":' + "1" * 200 + "}", 413)],
)
@pytest.mark.parametrize("kind", ["application/json", "application/x-www-form-urlencoded"])
async def test_bodies(
    url: str, http: aiohttp.ClientSession, body: str, status: int, kind: str
) -> None:
    headers = {"content-type": kind}
    async with http.post(url + "/api/echo", data=body.encode(), headers=headers) as answer:
        assert answer.status == status, await answer.text()


async def test_endless_body_is_cut_off(url: str, http: aiohttp.ClientSession) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(50):
            yield b"[" * 10

    headers = {"content-type": "application/json"}
    async with http.post(url + "/api/echo", data=pieces(), headers=headers) as answer:
        assert answer.status == 413


async def test_a_stream_is_bounded_by_what_takes_it(url: str, http: aiohttp.ClientSession) -> None:
    async with http.post(url + "/count", data=b"x" * 5000) as answer:
        assert await answer.json() == 5000


async def test_unknown_path_and_method(url: str, http: aiohttp.ClientSession) -> None:
    async with http.get(url + "/nowhere") as answer:
        assert (answer.status, answer.content_type) == (404, "application/problem+json")
    async with http.delete(url + "/mine") as answer:
        assert (answer.status, answer.headers["allow"]) == (405, "GET")


async def test_health_and_metrics_are_open(url: str) -> None:
    async with aiohttp.ClientSession() as session:
        for path in ("live", "startup", "ready"):
            async with session.get(f"{url}/health/{path}") as answer:
                assert answer.status == 200, path
        async with session.get(url + "/metrics") as answer:
            text = await answer.text()
    assert 'foodex_http_requests_total{method="GET",route="/health/live"' in text


async def test_the_description_asks_for_a_key(url: str) -> None:
    async with aiohttp.ClientSession() as session, session.get(url + "/openapi.json") as answer:
        description = await answer.json()
    assert description["security"] == [{"key": []}]
    assert description["components"]["securitySchemes"]["key"]["scheme"] == "bearer"


async def test_not_ready_when_a_part_is_not() -> None:
    app = create_app(
        "probe",
        router=APIRouter(),
        access=KeyAccess(KEY),
        settings=HttpSettings(),
        checks={"database": unwell},
    )
    async with (
        serve(app) as address,
        aiohttp.ClientSession() as session,
        session.get(address + "/health/ready") as answer,
    ):
        assert answer.status == 503
        assert (await answer.json())["parts"] == {"database": "the database does not answer"}


async def test_peer_tells_whether_it_is_ready(url: str) -> None:
    async with Peer(url, KEY) as peer:
        await peer.ping()
    app = create_app(
        "probe",
        router=APIRouter(),
        access=KeyAccess(KEY),
        settings=HttpSettings(),
        checks={"database": unwell},
    )
    async with serve(app) as address, Peer(address, KEY) as peer:
        with pytest.raises(Unavailable, match="not ready"):
            await peer.ping()


async def test_peer_passes_on_who_and_which_request(url: str) -> None:
    set_request_id("request-1")
    with acting_as(Principal("ann", frozenset({Role.ANALYST}))):
        async with Peer(url, KEY) as peer:
            answer = await peer.call("GET", "/mine", type=dict[str, str])
            assert answer == {"who": "ann", "request": "request-1"}
            with pytest.raises(Forbidden, match="admin"):
                await peer.call("GET", "/odd", type=None)


async def test_peer_raises_the_same_error(url: str) -> None:
    async with Peer(url, KEY) as peer:
        with pytest.raises(InvalidInput) as caught:
            await peer.call("GET", "/odd", type=None)
    assert caught.value.problems == (FieldProblem("minutes", "is -1, below 0", 3),)


async def test_peer_out_of_reach_is_unavailable() -> None:
    async with Peer("http://127.0.0.1:9", KEY) as peer:
        with pytest.raises(Unavailable, match=r"127\.0\.0\.1:9 does not answer"):
            await peer.call("GET", "/mine", type=None)


async def test_a_taken_port_is_said(url: str) -> None:
    from foodex.core.serving import serve as serve_on

    app = create_app("p", router=APIRouter(), access=KeyAccess(KEY), settings=HttpSettings())
    with pytest.raises(Conflict, match="not free"):
        async with serve_on(app, host="127.0.0.1", port=int(url.rpartition(":")[2])):
            pass
