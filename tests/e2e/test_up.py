"""`foodex up` on a machine with no history, as its users meet it."""

import http.client
import json
import re
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.support.command_line import command_line
from tests.support.running import Up, up

pytestmark = [pytest.mark.xdist_group("up"), pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def running(demonstration: Up) -> Up:
    """FoodEx with a small demonstration."""
    return demonstration


def test_welcome_shows_a_call_that_answers_with_a_promise(running: Up) -> None:
    said = running.log.read_text()
    assert "FoodEx is up" in said
    shown = re.search(
        r"curl -s (\S+) -H \"Authorization: Bearer \$\(cat (\S+)\)\".*?-d '(.*?)'", said, re.S
    )
    assert shown is not None
    url, key_file, body = shown.groups()
    assert url == f"{running.url}/api/v1/eta"
    assert Path(key_file).read_text().strip() == running.key
    # What curl sends with -d when it is told nothing else.
    form = {"content-type": "application/x-www-form-urlencoded"}
    told = running("POST", "/api/v1/eta", body.encode(), headers=form)
    assert told.status == 200
    assert told.json["promise"]["minutes"] > 0
    assert (told.json["source"], told.json["model"]) == ("model", "demo_city")
    assert told.headers["x-request-id"]


def test_the_first_people_sign_in_buy_and_are_charged(running: Up) -> None:
    said = running.log.read_text()
    tokens = {}
    for name in ("demo-admin", "demo-client"):
        file = running.state / f"{name}.password"
        password = file.read_text().strip()
        assert file.stat().st_mode & 0o077 == 0
        assert said.count(password) == 1
        given = {"name": name, "password": password}
        told = running("POST", "/api/v1/accounts/sign-in", given, key="")
        assert told.status == 200
        tokens[name] = told.json["access_token"]
    client = tokens["demo-client"]
    wanted = {"name": "shop", "scopes": ["eta", "balance:read"]}
    made = running("POST", "/api/v1/accounts/people/me/keys", wanted, key=client).json
    before = running("GET", "/api/v1/accounts/me", key=made["secret"]).json["balance_minor"]
    asked = {"idempotency-key": "first"}
    answers = [
        running("POST", "/api/v1/eta", {"items": 2}, key=made["secret"], headers=asked)
        for _ in range(2)
    ]
    assert answers[0].body == answers[1].body
    price = int(answers[0].headers["foodex-price-minor"])
    assert price > 0
    me = running("GET", "/api/v1/accounts/me", key=made["secret"]).json
    assert me["balance_minor"] == before - price
    place = f"/api/v1/accounts/people/me/keys/{made['key']['id']}"
    assert running("DELETE", place, key=client).status == 200
    assert running("GET", "/api/v1/accounts/me", key=made["secret"]).status == 401
    assert running("GET", "/api/v1/accounts/audit", key=client).status == 403
    audit = running("GET", "/api/v1/accounts/audit?action=refused", key=tokens["demo-admin"]).json
    assert audit["entries"][0]["who"] == "demo-client"
    assert running.ok("GET", "/accounts/ledger/verification")["holds"]


def test_state_is_for_its_owner_alone(running: Up) -> None:
    assert running.state.stat().st_mode & 0o077 == 0
    for name in ("key", "signing-keys.json", "webhook-secret"):
        assert (running.state / name).stat().st_mode & 0o077 == 0


def test_health_and_metrics_need_no_key(running: Up) -> None:
    for path in ("/health/live", "/health/ready", "/health/startup"):
        told = running("GET", path, key="")
        assert (told.status, told.json["status"]) == (200, "ok")
    assert set(running("GET", "/health/ready", key="").json["parts"].values()) == {"ok"}
    running("POST", "/api/v1/eta", {"distance_km": 1})
    figures = running("GET", "/metrics", key="").body.decode()
    assert re.search(r'foodex_eta_requests_total\{status="200"\} [1-9]', figures)


@pytest.mark.parametrize("page", ["/docs", "/reference"])
def test_documentation_loads_nothing_from_elsewhere(running: Up, page: str) -> None:
    html = running("GET", page, key="").body.decode()
    loaded = re.findall(r"""(?:src|href)=["']([^"']+)["']""", html)
    assert loaded
    for address in loaded:
        assert address.startswith("/"), address
        told = running("GET", address, key="")
        assert told.status == 200, address
        if address.endswith(".css"):
            assert not re.search(rb"url\(\s*['\"]?(https?:)?//", told.body)
            assert b"@import" not in told.body
    described = running("GET", "/openapi.json", key="").json
    assert "/api/v1/eta" in described["paths"]


def test_errors_are_problem_documents(running: Up) -> None:
    cases: list[tuple[str, str, Any, str | None, int, str]] = [
        ("POST", "/api/v1/eta", {"items": -1}, None, 422, "invalid-input"),
        ("POST", "/api/v1/eta", b"{", None, 400, "bad-request"),
        ("POST", "/api/v1/eta", {}, "", 401, "not-authenticated"),
        ("GET", "/api/v1/ml/models", None, "wrong", 401, "not-authenticated"),
        ("POST", "/api/v1/eta?model=nosuch", {}, None, 404, "not-found"),
        ("GET", "/api/v1/storage/datasets/nosuch", None, None, 404, "not-found"),
        ("GET", "/api/v1/nowhere", None, None, 404, "not-found"),
        ("POST", "/api/v1/eta", b"x" * 100_000, None, 413, "too-large"),
        ("POST", "/api/v1/ml/trainings", {"dataset": "demo_city"}, None, 422, "invalid-input"),
        ("POST", "/api/v1/collector/loads", b"{", None, 400, "bad-request"),
    ]
    for method, path, body, key, status, kind in cases:
        told = running(method, path, body, key=key, headers={"content-type": "application/json"})
        assert (told.status, told.headers["content-type"]) == (status, "application/problem+json")
        document = told.json
        assert document["type"] == f"urn:foodex:problem:{kind}"
        assert document["status"] == status
        assert document["request_id"] == told.headers["x-request-id"]
    negative = running("POST", "/api/v1/eta", {"items": -1}).json
    assert negative["problems"][0]["field"] == "items"


def test_loading_over_rest(running: Up, export: bytes, mapping: str) -> None:
    head, first, *rest = export.decode().splitlines()
    spoiled = first.split(",")
    spoiled[head.split(",").index("Ordered")] = "yesterday"
    content = "\n".join([head, ",".join(spoiled), *rest]).encode()
    load = running.load("orders.csv", content, mapping=mapping, dataset="rest")
    done = running.ended(f"/collector/loads/{load['id']}")
    assert done["state"] == "done"
    assert (done["rows_read"], done["rows_rejected"]) == (len(rest) + 1, 1)
    assert running.ok("GET", "/storage/datasets/rest")["rows"] == len(rest)
    listed = running.ok("GET", f"/collector/loads/{load['id']}/rejections")
    assert [(r["row"], r["field"]) for r in listed] == [(1, "placed_at")]
    table = running("GET", f"/api/v1/collector/loads/{load['id']}/rejections.csv").body.decode()
    assert "yesterday" in table
    again = running.load("orders.csv", content, mapping=mapping, dataset="rest")
    assert running.ended(f"/collector/loads/{again['id']}")["state"] == "duplicate"
    lines = (running.state / "loads.jsonl").read_text().splitlines()
    assert {json.loads(line)["id"] for line in lines} >= {load["id"], again["id"]}


def test_next_batch_of_a_source(running: Up, export: bytes) -> None:
    source = running.ok("POST", "/collector/uploads?name=batch.csv", export)
    running.ok("PUT", "/collector/sources/batch", {**source, "name": "batch"})
    lines = export.decode().splitlines()[1:]
    seen: list[str] = []
    cursor = ""
    for size in (3, 1, 5):
        batch = running.ok("GET", f"/collector/sources/batch/batch?size={size}{cursor}")
        assert len(batch["rows"]) == size
        seen += [row["Order No"] for row in batch["rows"]]
        cursor = f"&cursor={batch['next_cursor']}"
    assert seen == [line.split(",")[0] for line in lines[:9]]


def test_objects(running: Up) -> None:
    content = bytes(range(256)) * 1000
    running.ok("PUT", "/storage/objects/some/thing.bin", content)
    assert running("GET", "/api/v1/storage/objects/some/thing.bin").body == content
    listed = running.ok("GET", "/storage/objects?prefix=some/")["objects"]
    assert [(o["key"], o["size_bytes"]) for o in listed] == [("some/thing.bin", len(content))]
    running.ok("DELETE", "/storage/objects/some/thing.bin")
    assert running("GET", "/api/v1/storage/objects/some/thing.bin").status == 404


def test_questions(running: Up) -> None:
    rows = running.ok("GET", "/storage/datasets/demo_city")["rows"]
    sql = "SELECT count() AS orders, avg(delivery_minutes) AS mean FROM processed_demo_city"
    answer = running.ok("POST", "/storage/query", {"sql": sql})
    assert answer["rows"][0][0] == rows
    assert 10 < answer["rows"][0][1] < 90
    for wrong in ("DROP TABLE processed_demo_city", "SELECT * FROM file('/etc/passwd')"):
        assert running("POST", "/api/v1/storage/query", {"sql": wrong}).status == 422
    assert running.ok("GET", "/storage/datasets/demo_city")["rows"] == rows


def test_promotion_and_rollback_drop_no_request(running: Up) -> None:
    wish = {"dataset": "demo_city", "model": "demo_city", "algorithm": "linear_regression"}
    job = running.ok("POST", "/ml/trainings", wish)
    ended = running.ended(f"/ml/jobs/{job['id']}", 90)
    assert ended["state"] == "done", ended
    version = ended["result"]["version"]
    answers: list[tuple[int, int | None]] = []
    stop = threading.Event()

    def ask() -> None:
        connection = http.client.HTTPConnection(running.url.removeprefix("http://"), timeout=10)
        headers = {"authorization": f"Bearer {running.key}"}
        while not stop.is_set():
            connection.request("POST", "/api/v1/eta", b'{"distance_km": 2, "items": 3}', headers)
            answer = connection.getresponse()
            answers.append((answer.status, json.loads(answer.read())["version"]))
        connection.close()

    asking = [threading.Thread(target=ask) for _ in range(2)]
    for thread in asking:
        thread.start()
    try:
        for _ in range(3):
            promoted = running.ok("POST", f"/ml/models/demo_city/versions/{version}/promote")
            assert promoted["production"] == version
            told = running.ok("POST", "/eta", {"distance_km": 2})
            assert told["version"] == version
            assert running.ok("POST", "/ml/models/demo_city/rollback")["production"] == 1
            assert running.ok("POST", "/eta", {"distance_km": 2})["version"] == 1
    finally:
        stop.set()
        for thread in asking:
            thread.join(20)
    assert not any(thread.is_alive() for thread in asking)
    assert {status for status, _ in answers} == {200}
    assert {given for _, given in answers} == {1, version}


def test_commands_go_through_the_running_system(
    running: Up, export: bytes, mapping: str, tmp_path: Path
) -> None:
    (tmp_path / "mine.csv").write_bytes(export)
    (tmp_path / "mine.toml").write_text(mapping)
    (tmp_path / "several").mkdir()
    with command_line(tmp_path) as run:
        names = {d["name"] for d in run("datasets", "--json", state=running.state).json}
        assert "demo_city" in names
        words = ("import", "mine.csv", "-m", "mine.toml", "-d", "mine", "--json")
        done = run(*words, state=running.state)
        assert (done.code, done.json["state"]) == (0, "done"), done.err
        assert running.ok("GET", "/storage/datasets/mine")["rows"] == done.json["rows_kept"]
        told = run("predict", "distance_km=2", "--json", state=running.state)
        assert told.json["model"] == "demo_city"
        wrong = run("predict", "items=-1", state=running.state)
        assert (wrong.code, "items: is -1" in wrong.err) == (2, True)
        wrong = run("import", "mine.csv", "-m", "nosuch", "-d", "mine", state=running.state)
        assert (wrong.code, "'nosuch'" in wrong.err) == (2, True)
        second = run("up", "--port", "0", state=running.state)
        assert second.code == 2
        assert running.url in second.err
        folder = run("import", "several", "-m", "mine.toml", "-d", "mine", state=running.state)
        assert folder.code == 2


def test_stopping_and_starting_again(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with up(state, "--no-demo") as first:
        first.ok("PUT", "/storage/objects/kept", b"kept")
        first.process.send_signal(signal.SIGTERM)
        assert first.process.wait(20) == 0
        assert not (state / "running.json").exists()
    with up(state, "--no-demo") as second:
        assert second.key == first.key
        assert second("GET", "/api/v1/storage/objects/kept").body == b"kept"
        assert "Traceback" not in second.log.read_text()
