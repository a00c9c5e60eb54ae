"""Files of orders forecast through `foodex up`: what is paid and what is refused."""

import csv
import io
import json
import time
from math import floor
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.support.command_line import command_line
from tests.support.running import Told, Up

pytestmark = [pytest.mark.xdist_group("up"), pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def running(demonstration: Up) -> Up:
    """FoodEx with a small demonstration."""
    return demonstration


class Client:
    """Somebody who asks with a token or a key of theirs."""

    def __init__(self, running: Up, key: str) -> None:
        self.running, self.key = running, key

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> Told:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.running(method, "/api/v1" + path, body, key=self.key, headers=given)

    def balance(self) -> int:
        return int(self("GET", "/accounts/me").json["balance_minor"])

    def send(self, content: bytes | str, name: str = "orders.csv") -> str:
        body = content.encode() if isinstance(content, str) else content
        told = self("POST", f"/predictions/files?name={name}", body)
        assert told.status == 201, told.body
        return str(told.json["file"])

    def ask(self, content: bytes | str, **wanted: Any) -> Any:
        told = self("POST", "/predictions/batches", {"file": self.send(content), **wanted})
        assert told.status == 202, told.body
        return told.json

    def done(self, content: bytes | str, **wanted: Any) -> Any:
        return self.ended(self.ask(content, **wanted)["id"])

    def ended(self, job_id: str, seconds: float = 60) -> Any:
        ends, seen = time.monotonic() + seconds, -1.0
        while True:
            job = self("GET", f"/jobs/{job_id}?wait=5&seen={seen}").json
            seen = job["progress"]
            if job["state"] not in ("waiting", "running") and job["settled"]:
                return job
            assert time.monotonic() < ends, job
            # It has ended, and its money follows.
            time.sleep(0.05 if seen >= 1 else 0)

    def file(self, job: Any, name: str = "predictions.csv") -> bytes:
        told = self("GET", f"/jobs/{job['id']}/files/{name}")
        assert told.status == 200, told.body
        return told.body


def signed_in(running: Up, name: str, password: str) -> Client:
    given = {"name": name, "password": password}
    told = running("POST", "/api/v1/accounts/sign-in", given, key="")
    assert told.status == 200, told.body
    return Client(running, told.json["access_token"])


@pytest.fixture(scope="module")
def client(running: Up) -> Client:
    password = (running.state / "demo-client.password").read_text().strip()
    return signed_in(running, "demo-client", password)


@pytest.fixture(scope="module")
def other(running: Up) -> Client:
    password = "another long password"
    told = running(
        "POST", "/api/v1/accounts/register", {"name": "other", "password": password}, key=""
    )
    assert told.status in (200, 201), told.body
    return signed_in(running, "other", password)


def simulated(rows: int) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "order_id": [f"b{n}" for n in range(rows)],
            "store_lat": [60.17 + n % 5 * 0.002 for n in range(rows)],
            "store_lon": [24.94] * rows,
            "customer_lat": [60.18] * rows,
            "customer_lon": [24.95 + n % 7 * 0.002 for n in range(rows)],
            "items": [float(1 + n % 4) for n in range(rows)],
            "placed_at": [f"2026-03-0{1 + n % 5}T1{n % 9}:00:00+00:00" for n in range(rows)],
        }
    )


def test_answers_are_those_of_single_forecasts_and_every_row_is_paid(
    running: Up, client: Client
) -> None:
    before, orders = client.balance(), simulated(40)
    job = client.done(orders.write_csv())
    assert (job["state"], job["units_done"], job["price"]["quantity"]) == ("done", 40, 40)
    assert client.balance() == before - 40
    answer = pl.read_csv(client.file(job))
    assert answer["order_id"].to_list() == orders["order_id"].to_list()
    wanted = running.ok("POST", "/ml/forecasts", orders.to_dicts())
    for row, told in zip(answer.to_dicts(), wanted, strict=True):
        found = [row[f"forecast_{q}"] for q in ("q05", "q10", "q25", "median", "q75", "q90", "q95")]
        # To a thousandth, as the public door tells them.
        assert found == [
            floor(minutes * 1000 + 0.5) / 1000 for minutes in told["quantiles_minutes"]
        ]
        assert row["forecast_promise_minutes"] == told["promise"]["minutes"]
        assert row["forecast_earliest_minutes"] == told["promise"]["earliest_minutes"]
        assert row["forecast_source"] == told["source"]
        assert (row["forecast_model"], row["forecast_version"]) == (told["model"], told["version"])


def test_bad_rows_keep_their_place_and_cost_nothing(client: Client) -> None:
    before = client.balance()
    text = "distance_km,items,note\n2.5,3,=cmd()\nfar,3,-5\n1,2\n1.5,1,ok\n"
    job = client.done(text)
    assert job["result"]["forecast"] == 2
    assert job["result"]["refused_by_rule"] == {"bad_number": 1, "broken_line": 1}
    assert client.balance() == before - 2
    rows = list(csv.DictReader(io.StringIO(client.file(job).decode())))
    assert [bool(row["forecast_median"]) for row in rows] == [True, False, False, True]
    assert rows[0]["note"] == "'=cmd()"
    assert rows[1]["note"] == "-5"
    assert "distance_km" in rows[1]["forecast_error"]
    rejected = list(csv.DictReader(io.StringIO(client.file(job, "rejected.csv").decode())))
    assert [(one["row"], one["field"]) for one in rejected] == [("2", "distance_km"), ("3", "")]


@pytest.mark.parametrize("output", ["ndjson", "parquet"])
def test_other_formats(client: Client, output: str) -> None:
    job = client.done('{"items": 3, "more": {"x": 1}}\nbroken\n', output=output)
    body = client.file(job, f"predictions.{output}")
    if output == "parquet":
        found = pl.read_parquet(body)
        assert found["more.x"].to_list() == ["1", None]
    else:
        first = json.loads(body.splitlines()[0])
        assert first["more"] == {"x": 1}
        assert first["forecast_median"] > 0


def test_what_cannot_be_paid_is_not_begun(client: Client) -> None:
    before = client.balance()
    file = client.send("items\n" + "1\n" * (before + 1))
    told = client("POST", "/predictions/batches", {"file": file})
    assert told.status == 402
    assert told.json["price_minor"] == before + 1
    assert client.balance() == before


WRONG = {
    "zip": (b"PK\x03\x04" + b"\0" * 90, {}, "zip archive"),
    "columns": (b",".join(b"c%d" % n for n in range(200_000)), {}, "more than"),
    "header": (b"what,when\n1,2\n", {}, "not known"),
    "unknown mapping": (b"items\n1\n", {"mapping": "nobody"}, "no mapping 'nobody'"),
    "wrong mapping": (b"items\n1\n", {"mapping": "[fields]\nitms = 1"}, "items"),
    "unknown model": (b"items\n1\n", {"model": "nobody"}, "nobody"),
    "output": (b"items\n1\n", {"output": "xlsx"}, "output"),
}


@pytest.mark.parametrize("what", list(WRONG))
def test_wrong_input_is_told_at_once_and_costs_nothing(client: Client, what: str) -> None:
    body, wanted, why = WRONG[what]
    before = client.balance()
    told = client("POST", "/predictions/batches", {"file": client.send(body), **wanted})
    assert 400 <= told.status < 500, told.body
    assert why in told.body.decode()
    assert client.balance() == before


def test_nobody_uses_the_file_of_another(client: Client, other: Client) -> None:
    file = client.send("items\n1\n")
    told = other("POST", "/predictions/batches", {"file": file})
    assert told.status == 422
    told = other("POST", "/jobs", {"kind": "predict_file", "parameters": {"file": "../" + file}})
    assert told.status == 422
    job = client.ask("items\n1\n")
    assert other("GET", f"/jobs/{job['id']}").status == 404
    assert other("GET", f"/jobs/{job['id']}/files/predictions.csv").status == 404


def test_a_request_repeated_with_its_key_is_one_job(client: Client) -> None:
    before, file = client.balance(), client.send("items\n1\n2\n")
    wanted = {"file": file}
    first, again = (
        client("POST", "/predictions/batches", wanted, idempotency_key="same").json for _ in "12"
    )
    assert first["id"] == again["id"]
    client.ended(first["id"])
    assert client.balance() == before - 2


def test_keys_need_the_scope(client: Client) -> None:
    def key(*scopes: str) -> Client:
        wanted = {"name": f"for {scopes[0]}", "scopes": scopes}
        made = client("POST", "/accounts/people/me/keys", wanted)
        assert made.status in (200, 201), made.body
        return Client(client.running, made.json["secret"])

    may = key("batches", "balance:read")
    job = may.done("items\n1\n")
    assert b"forecast_median" in may.file(job)
    assert may("POST", "/jobs", {"kind": "predict_file", "parameters": {}}).status == 403
    assert may("POST", "/eta", {"items": 1}).status == 403
    assert key("eta")("POST", "/predictions/files?name=x", b"items\n1\n").status == 403


def test_a_link_needs_no_sign_in(client: Client) -> None:
    job = client.done("items\n1\n")
    link = client("POST", f"/jobs/{job['id']}/files/predictions.csv/link").json
    told = client.running("GET", link["path"], key="")
    assert told.status == 200
    assert told.body == client.file(job)


def test_the_house_pays_nothing(running: Up) -> None:
    staff = Client(running, running.key)
    job = staff.done("items\n1\n")
    assert job["price"] is None
    assert b"forecast_median" in staff.file(job)
    assert b"foodex_jobs_queue_depth" in running("GET", "/metrics").body
    assert running("GET", "/health/ready").json["parts"]["queue"] == "ok"


def test_the_demonstration_leaves_one_to_look_at(client: Client) -> None:
    jobs = client("GET", "/jobs?limit=1000").json["jobs"]
    first = client.ended(jobs[-1]["id"])
    assert 100 < first["result"]["forecast"] <= 200


def test_commands(running: Up, tmp_path: Path) -> None:
    (tmp_path / "orders.csv").write_text("items,distance_km\n2,1.5\nx,1\n")
    with command_line(tmp_path) as foodex:

        def run(*words: str, code: int = 0) -> Any:
            told = foodex(*words, state=running.state)
            assert told.code == code, told.err
            return told

        made = run("predict", "--file", "orders.csv", "--json").json
        assert made["state"] == "done"
        assert (tmp_path / "predictions.csv").read_text().count("\n") == 3
        assert "items" in (tmp_path / "rejected.csv").read_text()
        assert made["id"] in run("jobs", "list").out
        shown = run("jobs", "show", made["id"], "--follow", "--out", str(tmp_path))
        assert "1 orders" in shown.out or "forecast 1" in shown.out
        assert run("jobs", "dead", "--json").json["jobs"] == []
        assert "ended already" in run("jobs", "cancel", made["id"], code=2).err
        assert "not dead" in run("jobs", "replay", made["id"], code=2).err
