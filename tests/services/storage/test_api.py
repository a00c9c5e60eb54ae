"""What is particular to HTTP: downloads, filters in the address, roles, broken bodies."""

import csv
import io
import json
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import aiohttp
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from foodex.core.access import KeyAccess, Principal, Role, write_principal
from foodex.core.settings import HttpSettings
from foodex.domain.datasets import Column, Condition, DatasetSpec, Layer
from foodex.domain.deliveries import Kind
from foodex.services.storage.app import create_app
from foodex.services.storage.service import StorageService
from foodex.services.storage.wire import read_conditions, write_condition
from tests.contracts.storage import COLUMNS, NOON, ROW
from tests.support.serving import serve

NAME = "downloads"
EVIL = '=HYPERLINK("http://x")'


class Http:
    """A session that speaks for a principal."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self._url = f"{url}/api/v1/storage"
        self._session = session

    async def __call__(
        self, method: str, path: str, *roles: Role, **options: Any
    ) -> tuple[int, bytes, str]:
        principal = Principal("somebody", frozenset(roles or Role))
        headers = {"authorization": "Bearer key", "foodex-principal": write_principal(principal)}
        headers |= options.pop("headers", {})
        request = self._session.request(method, self._url + path, headers=headers, **options)
        async with request as response:
            return response.status, await response.read(), response.headers["content-type"]


@pytest.fixture
async def http(service: StorageService) -> AsyncIterator[Http]:
    app = create_app(service, access=KeyAccess("key"), settings=HttpSettings())
    async with serve(app) as url, aiohttp.ClientSession() as session:
        yield Http(url, session)


@pytest.fixture
async def rows(service: StorageService) -> AsyncIterator[list[dict[str, Any]]]:
    await service.create_dataset(DatasetSpec(name=NAME, columns=COLUMNS))
    rows = [
        {**ROW, "order_id": EVIL, "delivery_minutes": 0.1 + 0.2},
        {**ROW, "order_id": "", "city": None, "placed_at": NOON + timedelta(microseconds=1)},
    ]
    await service.insert_rows(NAME, Layer.PROCESSED, rows)
    yield rows
    await service.delete_dataset(NAME)


async def test_csv(http: Http, rows: list[dict[str, Any]]) -> None:
    status, body, media = await http("GET", f"/datasets/{NAME}/rows.csv")
    assert (status, media) == (200, "text/csv; charset=utf-8")
    first, second = csv.DictReader(io.StringIO(body.decode()))
    assert first["order_id"] == EVIL
    assert float(first["delivery_minutes"]) == 0.1 + 0.2
    assert datetime.fromisoformat(second["placed_at"]) == rows[1]["placed_at"]
    assert body.splitlines()[2].startswith(b'2,0,"",,"2026-03-01T12:00:00.123457Z"')
    _, body, _ = await http("GET", f"/datasets/{NAME}/rows.csv?for_spreadsheet=true")
    assert next(csv.DictReader(io.StringIO(body.decode())))["order_id"] == "'" + EVIL


async def test_ndjson(http: Http, rows: list[dict[str, Any]]) -> None:
    _, body, media = await http("GET", f"/datasets/{NAME}/rows.ndjson?column=rush&column=order_id")
    assert media == "application/x-ndjson"
    found = [json.loads(line) for line in body.splitlines()]
    assert found == [{"rush": None, "order_id": row["order_id"]} for row in rows]


async def test_parquet_and_arrow(http: Http, rows: list[dict[str, Any]]) -> None:
    _, body, _ = await http("GET", f"/datasets/{NAME}/rows.parquet")
    table = pq.read_table(io.BytesIO(body))
    assert table.drop_columns(["row_id", "load_id"]).to_pylist() == rows
    _, body, media = await http("GET", f"/datasets/{NAME}/rows.arrow")
    assert media == "application/vnd.apache.arrow.stream"
    assert pa.ipc.open_stream(body).read_all().equals(table)


@pytest.mark.parametrize("kind", ["csv", "ndjson", "parquet", "arrow"])
async def test_a_file_of_no_rows_is_a_file(
    http: Http, rows: list[dict[str, Any]], kind: str
) -> None:
    path = f"/datasets/{NAME}/rows.{kind}?where=city:eq:nowhere"
    status, body, _ = await http("GET", path)
    assert status == 200
    if kind == "csv":
        assert body.startswith(b'"row_id","load_id"') or body.startswith(b"row_id,load_id")
    if kind == "parquet":
        assert pq.read_table(io.BytesIO(body)).num_rows == 0


async def test_what_cannot_be_downloaded_has_a_status(http: Http) -> None:
    assert (await http("GET", "/datasets/nope/rows.csv"))[0] == 404
    assert (await http("GET", f"/datasets/{NAME}/rows.xlsx"))[0] in (404, 422)


async def test_filters_in_the_address(http: Http, rows: list[dict[str, Any]]) -> None:
    for where, expected in [
        ("city:eq:Oulu", 1),
        ("city:null:true", 1),
        ("city:null", 1),
        ("city:in:Oulu,Turku", 1),
        ("placed_at:gt:2026-03-01T14:00:00.123456%2B02:00", 1),
        ("subtotal_minor:ge:1990", 2),
        ("order_id:eq:", 1),
    ]:
        status, body, _ = await http("GET", f"/datasets/{NAME}/rows?where={where}")
        assert status == 200, body
        assert len(json.loads(body)["rows"]) == expected
    for where in ("city", "city:like:x", "city:", ":eq:x"):
        status, body, _ = await http("GET", f"/datasets/{NAME}/rows?where={where}")
        assert (status, json.loads(body)["problems"][0]["field"]) == (422, "where")


@pytest.mark.parametrize(
    "condition",
    [
        Condition(field="a:eq:b%3A", value="x:y"),
        Condition(field="a", value=""),
        Condition(field="a", value="a\nb:%"),
    ],
)
def test_a_condition_survives_the_address(condition: Condition) -> None:
    assert read_conditions([write_condition(condition)]) == [condition]


async def test_rows_by_rest(http: Http, rows: list[dict[str, Any]]) -> None:
    path = f"/datasets/{NAME}/rows"
    status, body, _ = await http("POST", path, json={"rows": [{"order_id": "n"}]})
    assert (status, json.loads(body)) == (201, {"row_ids": [3]})
    change = {
        "where": [{"field": "order_id", "comparison": "eq", "value": "n"}],
        "values": {"rush": 1},
    }
    assert json.loads((await http("PATCH", path, json=change))[1]) == {"rows": 1}
    assert json.loads((await http("DELETE", f"{path}?where=rush:eq:1"))[1]) == {"rows": 1}
    assert (await http("DELETE", path))[0] == 422
    wrong = {"rows": [{"order_id": "n"}, {"delivery_minutes": -1}]}
    status, body, media = await http("POST", path, json=wrong)
    assert (status, media) == (422, "application/problem+json")
    problem = json.loads(body)["problems"][0]
    assert (problem["row"], problem["field"]) == (1, "delivery_minutes")


@pytest.mark.parametrize("body", [b"", b"nothing of Arrow", b"\xff\xff\xff\xff\x10\x00\x00\x00"])
async def test_a_broken_arrow_body_is_refused(
    http: Http, rows: list[dict[str, Any]], body: bytes
) -> None:
    status, _, _ = await http(
        "POST",
        f"/datasets/{NAME}/loads/1/rows",
        data=body,
        headers={"content-type": "application/vnd.apache.arrow.stream"},
    )
    assert status == 400


async def test_roles(http: Http, rows: list[dict[str, Any]]) -> None:
    a, o, c, admin = Role.ANALYST, Role.OPERATOR, Role.CLIENT, Role.ADMIN
    rowless = f"/datasets/{NAME}/rows"
    for method, path, allowed in [
        ("GET", "/datasets", {a, o, admin}),
        ("GET", rowless, {a, o, admin}),
        ("GET", f"{rowless}.csv", {a, o, admin}),
        ("GET", "/actions", {a, o, admin}),
        ("POST", "/datasets", {a, admin}),
        ("POST", rowless, {a, admin}),
        ("DELETE", "/datasets/nope", {a, admin}),
        ("POST", "/query", {a, admin}),
        ("GET", "/objects", {a, admin}),
        ("GET", "/objects/nope", {a, admin}),
        ("DELETE", "/objects/nope", {a, admin}),
        ("POST", f"/datasets/{NAME}/loads/1/commit", {admin}),
        ("GET", f"/datasets/{NAME}/loads/1", {admin}),
    ]:
        for role in (a, o, c, admin):
            status, _, _ = await http(method, path, role)
            assert (status == 403) is (role not in allowed), (method, path, role, status)


async def test_columns_of_raw_rows_keep_their_names(http: Http, service: StorageService) -> None:
    column = Column(name="Time, taken", kind=Kind.TEXT)
    await service.create_dataset(DatasetSpec(name=NAME, layer=Layer.RAW, columns=(column,)))
    await service.insert_rows(NAME, Layer.RAW, [{"Time, taken": "5"}])
    _, body, _ = await http("GET", f"/datasets/{NAME}/rows.csv?layer=raw&column=Time,%20taken")
    assert body.splitlines() == [b'"Time, taken"', b'"5"']
    await service.delete_dataset(NAME, Layer.RAW)
