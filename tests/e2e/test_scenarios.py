"""Every scenario on a whole FoodEx over a short history, by the API and by commands."""

import csv
import io
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from foodex.city import export_as_company_csv, simulate_history
from foodex.services.gateway.scenarios import found_scenarios
from tests.e2e.conftest import MAPPING
from tests.support.command_line import CommandLine, command_line
from tests.support.running import Up, up

pytestmark = [pytest.mark.xdist_group("scenarios"), pytest.mark.timeout(240)]

DAYS, SPLIT = 9, "2026-03-08T00:00:00+02:00"
ORDER = {"store_lat": 60.1699, "store_lon": 24.9384, "customer_lat": 60.1741, "items": 3}


class Shop:
    """A running FoodEx whose data set `city` and models `eta` and `bare` are there."""

    def __init__(self, running: Up, export: bytes) -> None:
        self.up, self.export = running, export

    def begin(self, name: str, key: str | None = None, **parameters: Any) -> Any:
        path = f"/api/v1/scenarios/{name}/runs"
        return self.up("POST", path, parameters, key=key)

    def ended(self, run: Any) -> Any:
        return self.up.ended(f"/scenarios/runs/{run['id']}", seconds=120)

    def done(self, name: str, **parameters: Any) -> Any:
        """A run that succeeded."""
        begun = self.begin(name, **parameters)
        assert begun.status == 202, begun.body
        run = self.ended(begun.json)
        assert run["state"] == "done", (run["error"], run["problems"])
        assert run["outcome"]["summary"]
        return run

    def repeated(self, run: Any) -> Any:
        again = self.ended(self.up.ok("POST", f"/scenarios/runs/{run['id']}/repeat"))
        assert again["state"] == "done", again["error"]
        return again

    def file(self, run: Any, name: str) -> bytes:
        told = self.up("GET", f"/api/v1/scenarios/runs/{run['id']}/files/{name}")
        assert told.status == 200
        return told.body

    def report(self, run: Any) -> Any:
        """The report that a run left, once it is found whole in all three forms."""
        assert [file["name"] for file in run["files"]] == [
            "report.html",
            "report.pdf",
            "report.json",
        ]
        value = json.loads(self.file(run, "report.json"))
        page = self.file(run, "report.html").decode()
        assert value["title"] in page.replace("&#39;", "'")
        assert self.file(run, "report.pdf").startswith(b"%PDF")
        assert list(value["summary"]) == run["outcome"]["summary"]
        return value

    def client(self, name: str, minor: int) -> str:
        """A client with money; their access token."""
        made = self.up.ok("POST", "/accounts/people", {"name": name, "roles": ["client"]})
        if minor:
            self.up.ok("POST", "/accounts/top-ups", {"account": name, "amount_minor": minor})
        given = {"name": name, "password": made["password"]}
        return str(self.up.ok("POST", "/accounts/sign-in", given)["access_token"])

    def left(self, name: str) -> int:
        return int(self.up.ok("GET", f"/accounts/balance?account={name}")["balance_minor"])


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    frame = simulate_history(
        seed=5, start=datetime(2026, 3, 2, tzinfo=UTC), days=DAYS, orders_per_day=160
    )
    env = {"FOODEX_ML__JOB_THREADS": "1"}
    with up(tmp_path_factory.mktemp("scenarios") / "state", "--no-demo", env=env) as running:
        shop = Shop(running, export_as_company_csv(frame))
        upload = running.ok("POST", "/collector/uploads?name=orders.csv", shop.export)
        running.ok("PUT", "/collector/mappings/city", {"toml": MAPPING})
        collected = shop.done(
            "collect-data", upload=upload["location"], mapping="city", dataset="city"
        )
        assert collected["outcome"]["facts"]["load"]["rows_kept"] == frame.height
        for model, without in (("eta", ["vehicle"]), ("bare", ["vehicle", "own_estimate_minutes"])):
            trained = shop.done(
                "train-model",
                model=model,
                dataset="city",
                algorithm="linear_regression",
                until=SPLIT,
                without=without,
            )
            assert trained["outcome"]["facts"]["version"] == 1
        yield shop


@pytest.fixture(scope="module")
def commands(shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandLine]:
    with command_line(tmp_path_factory.mktemp("commands")) as run:
        yield run


def test_data_that_is_there_already_adds_nothing_and_bad_rows_are_told(shop: Shop) -> None:
    table = list(csv.reader(io.StringIO(shop.export.decode())))[:3]
    table[2][table[0].index("Ordered")] = "soon"
    text = io.StringIO()
    csv.writer(text).writerows(table)
    upload = shop.up.ok("POST", "/collector/uploads?name=two.csv", text.getvalue().encode())
    asked = {"upload": upload["location"], "mapping": MAPPING, "dataset": "two"}
    run = shop.done("collect-data", **asked)
    kept = {figure["name"]: figure["value"] for figure in run["outcome"]["figures"]}
    assert kept == {"Rows read": 2, "Rows taken": 1, "Rows rejected": 1}
    assert b"soon" in shop.file(run, "rejected-rows.csv")
    again = shop.repeated(run)
    assert "already" in again["outcome"]["summary"][0]
    assert shop.up.ok("GET", "/storage/datasets/two")["rows"] == 1


def test_a_source_is_loaded_by_its_name_and_a_wrong_one_is_named(shop: Shop) -> None:
    run = shop.ended(shop.begin("collect-data", source="nowhere").json)
    assert (run["state"], run["error_type"]) == ("failed", "invalid-input")
    assert run["problems"][0]["field"] == "source"


def test_a_refreshed_model_learns_as_before_and_again_the_same(shop: Shop) -> None:
    run = shop.done("train-model", model="bare", until=SPLIT)
    assert run["outcome"]["exact"]["without"] == ["vehicle", "own_estimate_minutes"]
    assert run["outcome"]["exact"]["algorithm"] == "linear_regression"
    assert not run["outcome"]["facts"]["in_production"]
    again = shop.repeated(run)
    first, second = run["outcome"]["facts"], again["outcome"]["facts"]
    assert (second["version"], second["metrics"]) == (first["version"] + 1, first["metrics"])
    assert second["data_hash"] == first["data_hash"]


def test_one_delivery_for_the_house_costs_nothing(shop: Shop) -> None:
    run = shop.done("predict-order", order=ORDER, model="eta")
    eta = run["outcome"]["facts"]["eta"]
    assert (eta["model"], eta["source"]) == ("eta", "model")
    assert eta["explanation"]["factors"]
    assert run["outcome"]["facts"]["paid"] is None
    assert run["outcome"]["figures"][0]["value"] == eta["promise"]["minutes"]


def test_a_client_buys_a_delivery_once_and_without_money_nothing_begins(shop: Shop) -> None:
    rich, poor = shop.client("rich", 100), shop.client("poor", 1)
    begun = shop.begin("predict-order", rich, order=ORDER)
    assert begun.status == 202
    run = shop.ended(begun.json)
    paid = run["outcome"]["facts"]["paid"]
    assert shop.left("rich") == 100 - int(paid["foodex-price-minor"])
    again = shop.up.ok("POST", f"/predictions/{paid['foodex-prediction-id']}/reproduce")
    assert again["identical"]
    refused = shop.begin("predict-order", poor, order=ORDER)
    assert (refused.status, refused.json["balance_minor"]) == (402, 1)
    assert shop.left("poor") == 1
    # What is no right of theirs begins nothing either, and is not among what they are shown.
    before = shop.left("rich")
    denied = shop.begin("report-period", rich, dataset="city")
    assert (denied.status, denied.json["type"]) == (403, "urn:foodex:problem:forbidden")
    assert shop.left("rich") == before
    shown = {one["name"] for one in shop.up("GET", "/api/v1/scenarios", key=rich).json}
    assert shown <= {"predict-order", "predict-file"}
    history = shop.up("GET", "/api/v1/scenarios/runs", key=rich).json["runs"]
    assert {one["id"] for one in history} == {run["id"]}
    place = f"/api/v1/scenarios/runs/{run['id']}"
    assert shop.up("GET", place, key=poor).status == 404
    assert shop.up("POST", place + "/repeat", key=poor).status == 404


def test_a_client_whose_order_is_absurd_is_told_why_and_pays_nothing(shop: Shop) -> None:
    key = shop.client("absurd", 100)
    run = shop.ended(shop.begin("predict-order", key, order={"items": -3}).json)
    assert (run["state"], run["error_type"]) == ("failed", "invalid-input")
    assert run["problems"][0]["field"] == "items"
    assert shop.left("absurd") == 100


def test_a_client_buys_the_forecasts_of_a_file(shop: Shop) -> None:
    key = shop.client("filer", 1000)
    body = b"order_id,items,distance_km\nA,3,1.5\nB,-4,2\nC,1,4\n"
    sent = shop.up("POST", "/api/v1/predictions/files?name=three.csv", body, key=key)
    begun = shop.begin("predict-file", key, file=sent.json["file"], model="eta")
    assert begun.status == 202, begun.body
    run = shop.ended(begun.json)
    assert run["state"] == "done", run["error"]
    facts = run["outcome"]["facts"]
    assert (facts["rows"], facts["forecast"], facts["refused"]) == (3, 2, 1)
    place = f"/api/v1/scenarios/runs/{run['id']}/files/predictions.csv"
    rows = list(csv.DictReader(io.StringIO(shop.up("GET", place, key=key).body.decode())))
    assert [row["order_id"] for row in rows] == ["A", "B", "C"]
    settled = shop.up.follow(f"/jobs/{run['id']}", lambda job: job["settled"])
    assert shop.left("filer") == 1000 - 2 * settled["price"]["unit_minor"]
    assert run["paid_minor"] == 2 * settled["price"]["unit_minor"]
    # Nobody runs another's file.
    other = shop.begin("predict-file", shop.client("thief", 1000), file=sent.json["file"])
    assert other.status == 422
    assert shop.left("thief") == 1000


def test_report_on_a_model(shop: Shop) -> None:
    run = shop.done("report-model", model="eta")
    report = shop.report(run)
    assert report["title"] == "How good is eta, version 1?"
    titles = {table["title"] for s in report["sections"] for table in s["tables"]} | {
        chart["title"] for s in report["sections"] for chart in s["charts"]
    }
    said = " ".join(titles).lower()
    # So few orders have no hour or weather with enough of them to be judged by itself.
    for part in ("zone", "share by factor", "parts of the orders"):
        assert part in said, titles
    # All its orders came after those it learned from.
    assert run["outcome"]["exact"]["since"].startswith("2026-03-0")
    assert run["outcome"]["facts"]["metrics"]["mae_minutes"] > 0
    again = shop.report(shop.repeated(run))
    assert again | {"made_at": ""} == report | {"made_at": ""}


def test_report_on_a_period(shop: Shop) -> None:
    run = shop.done("report-period", dataset="city", days=3)
    report = shop.report(run)
    assert report["period"]["time_zone"] == "Europe/Helsinki"
    orders = next(f["value"] for f in report["figures"] if f["name"] == "Orders")
    assert orders > 300
    assert {"since", "until", "time_zone"} <= set(run["outcome"]["exact"])
    again = shop.report(shop.repeated(run))
    assert again | {"made_at": ""} == report | {"made_at": ""}


def test_models_are_compared_on_the_same_orders(shop: Shop) -> None:
    run = shop.done("compare-models", models=["eta", "bare:1"], dataset="city", since=SPLIT)
    shop.report(run)
    facts = run["outcome"]["facts"]
    counts = {figures["n"] for figures in facts["models"].values()}
    assert set(facts["models"]) == {"eta:1", "bare:1"}
    assert len(counts) == 1
    (pair,) = facts["differences"]
    gain, low, high = pair["closer_minutes"]
    closer, other = facts["models"][pair["model"]], facts["models"][pair["than"]]
    assert gain == pytest.approx(other["mae_minutes"] - closer["mae_minutes"])
    assert low <= gain <= high
    assert pair["more_than_luck"] is (low > 0 or high < 0)
    assert run["outcome"]["exact"]["models"] == ["eta:1", "bare:1"]
    # Judged where they learned, neither is called the better one.
    knew = shop.done("compare-models", models=["eta", "bare:1"], dataset="city", days=8)
    assert "cannot be told" in knew["outcome"]["summary"][1]
    twice = shop.ended(shop.begin("compare-models", models=["eta", "eta:1"], dataset="city").json)
    assert twice["problems"][0]["field"] == "models"


def test_what_if_agrees_with_a_plain_evaluation(shop: Shop) -> None:
    run = shop.done("what-if", dataset="city", model="eta", day="2026-03-09", quantile=0.9)
    report, facts = shop.report(run), run["outcome"]["facts"]
    assert "How many more or fewer customers" in " ".join(report["summary"])
    now, then = facts["present"], facts["changed"]
    assert now["promised_minutes"] < then["promised_minutes"]
    assert now["on_time_share"] <= then["on_time_share"]
    assert now["late_p90_minutes"] >= then["late_p90_minutes"]
    assert sum(both["present"]["orders"] for both in facts["hours"].values()) == now["orders"]
    assert facts["changed_policy"]["quantile"] == 0.9
    assert facts["present_policy"]["quantile"] == 0.75
    request = {"model": "eta", "dataset": "city", **facts["period"]}
    job = shop.up.ok("POST", "/ml/evaluations", request)
    plain = shop.up.ended(f"/ml/jobs/{job['id']}")["result"]
    assert (plain["n"], plain["on_time_share"]) == (now["orders"], now["on_time_share"])
    again = shop.repeated(run)["outcome"]
    assert again["facts"] == facts
    none = shop.ended(shop.begin("what-if", dataset="two", quantile=0.9).json)
    assert none["state"] == "failed"


def test_costs_are_planned(shop: Shop) -> None:
    run = shop.done("plan-costs", predictions=1_000_000, objects_gb="10")
    shop.report(run)
    stages = {stage["stage"] for stage in run["outcome"]["facts"]["stages"]}
    assert stages == {"mvp", "partner", "production"}


def test_wrong_parameters_name_the_field(shop: Shop) -> None:
    for name, given, field in (
        ("report-period", {"dataset": "city", "dayz": 3}, "dayz"),
        ("what-if", {"dataset": "city", "quantile": 2}, "quantile"),
        ("what-if", {"dataset": "city", "floor_minutes": 200}, "floor_minutes"),
        ("compare-models", {"models": ["eta"], "dataset": "city"}, "models"),
    ):
        refused = shop.begin(name, **given)
        assert refused.status == 422
        assert [problem["field"] for problem in refused.json["problems"]] == [field]
    assert shop.up("POST", "/api/v1/scenarios/nope/runs", {}).status == 404


def test_reports_are_listed_and_a_link_opens_without_a_key(shop: Shop) -> None:
    run = shop.done("report-period", dataset="city", days=2)
    listed = shop.up.ok("GET", "/reports")["runs"]
    assert listed[0]["id"] == run["id"]
    assert all(one["state"] == "done" and one["files"] for one in listed)
    place = f"/scenarios/runs/{run['id']}/files/report.pdf"
    link = shop.up.ok("POST", place + "/link")
    opened = shop.up("GET", link["path"], key="")
    assert (opened.status, opened.body[:4]) == (200, b"%PDF")
    assert shop.up("GET", "/api/v1" + place, key="").status == 401


def test_the_state_of_the_system(shop: Shop) -> None:
    found = shop.up.ok("GET", "/system")
    assert found["healthy"]
    assert {one["name"] for one in found["services"]} == {
        "storage",
        "collector",
        "ml",
        "accounts",
        "jobs",
    }
    assert all(one["version"] == found["version"] for one in found["services"])
    assert {model["model"] for model in found["models"]} >= {"eta", "bare"}
    assert [model["default"] for model in found["models"]].count(True) == 1
    kinds = {one["seam"]: one["kind"] for one in found["adapters"]}
    assert kinds["warehouse"] == "chdb"
    assert found["jobs"]["dead"] == 0
    assert shop.up("GET", "/api/v1/system", key=shop.client("nosy", 0)).status == 403


def test_every_scenario_runs_from_commands_too(
    shop: Shop, commands: CommandLine, tmp_path: Path
) -> None:
    state = shop.up.state
    listed = commands("scenario", "list", "--json", state=state)
    assert {one["name"] for one in listed.json} == set(found_scenarios())
    shown = commands("scenario", "show", "what-if", state=state)
    assert "--quantile" in shown.out
    said = commands(
        *("scenario", "run", "report-period", "--dataset", "city", "--days=2"),
        *("--out", tmp_path / "saved"),
        state=state,
    )
    assert said.code == 0, said.err
    assert "orders were placed on 2 days" in said.out
    assert (tmp_path / "saved" / "report.pdf").read_bytes().startswith(b"%PDF")
    order = commands(
        *("scenario", "run", "predict-order", "--order", json.dumps(ORDER), "--json"), state=state
    )
    assert order.json["outcome"]["facts"]["eta"]["promise"]["minutes"] > 0
    both = commands(
        *("scenario", "run", "compare-models", "--models", "eta,bare:1", "--dataset", "city"),
        *("--since", SPLIT, "--json"),
        state=state,
    )
    assert set(both.json["outcome"]["facts"]["models"]) == {"eta:1", "bare:1"}
    wrong = commands("scenario", "run", "report-period", "--datset", "city", state=state)
    orders = tmp_path / "orders.csv"
    orders.write_text("order_id,items\nA,3\n")
    filed = commands(
        *("scenario", "run", "predict-file", "--file", f"@{orders}", "--out", tmp_path / "f"),
        state=state,
    )
    assert filed.code == 0, filed.err
    assert (tmp_path / "f" / "predictions.csv").read_text().startswith("order_id,items,forecast_")
    assert wrong.code == 2
    assert "did you mean 'dataset'" in wrong.err
    failed = commands("scenario", "run", "report-period", "--dataset", "nope", state=state)
    assert failed.code == 2
    assert "nope" in failed.err
    history = commands("scenario", "history", "--limit", "5", state=state)
    assert re.search(r"report-period\s+failed", history.out)
    kept = commands("scenario", "history", "--scenario", "compare-models", "--json", state=state)
    assert kept.json["runs"][0]["id"] == both.json["id"]
    again = commands("scenario", "repeat", both.json["id"], "--json", state=state)
    assert again.json["outcome"]["facts"] == both.json["outcome"]["facts"]
    status = commands("status", state=state)
    assert (status.code, "all is well" in status.out) == (0, True)
