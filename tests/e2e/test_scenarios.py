"""What each scenario has of its own, by the API and by commands; `test_whole` tries them all."""

import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from foodex.services.gateway.scenarios import found_scenarios
from tests.support.command_line import CommandLine, command_line
from tests.support.shop import MAPPING, ORDER, SPLIT, Shop

pytestmark = [pytest.mark.xdist_group("one process"), pytest.mark.timeout(240)]


@pytest.fixture
def shop(one_process: Shop) -> Shop:
    """A business in one process."""
    return one_process


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandLine]:
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
    rich, poor = shop.client("rich", 100), shop.client("needy", 1)
    begun = shop.begin("predict-order", rich, order=ORDER)
    assert begun.status == 202
    run = shop.ended(begun.json)
    paid = run["outcome"]["facts"]["paid"]
    assert shop.left("rich") == 100 - int(paid["foodex-price-minor"])
    again = shop.up.ok("POST", f"/predictions/{paid['foodex-prediction-id']}/reproduce")
    assert again["identical"]
    refused = shop.begin("predict-order", poor, order=ORDER)
    assert (refused.status, refused.json["balance_minor"]) == (402, 1)
    assert shop.left("needy") == 1
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
    key = shop.client("sender", 1000)
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
    assert shop.left("sender") == 1000 - 2 * settled["price"]["unit_minor"]
    assert run["paid_minor"] == 2 * settled["price"]["unit_minor"]
    # Nobody runs another's file.
    other = shop.begin("predict-file", shop.client("thief", 1000), file=sent.json["file"])
    assert other.status == 422
    assert shop.left("thief") == 1000


def test_report_on_a_model(shop: Shop) -> None:
    run = shop.once("report-model")
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
    run = shop.once("report-period")
    report = shop.report(run)
    assert report["period"]["time_zone"] == "Europe/Helsinki"
    orders = next(f["value"] for f in report["figures"] if f["name"] == "Orders")
    assert orders > 300
    assert {"since", "until", "time_zone"} <= set(run["outcome"]["exact"])
    again = shop.report(shop.repeated(run))
    assert again | {"made_at": ""} == report | {"made_at": ""}


def test_models_are_compared_on_the_same_orders(shop: Shop) -> None:
    run = shop.once("compare-models")
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
    run = shop.once("what-if")
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


def test_every_scenario_runs_from_commands_too(
    shop: Shop, commands: CommandLine, tmp_path: Path
) -> None:
    state = shop.state
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
    costs = commands("scenario", "run", "plan-costs", "--predictions", "9", "--json", state=state)
    again = commands("scenario", "repeat", costs.json["id"], "--json", state=state)
    assert again.json["outcome"]["facts"] == costs.json["outcome"]["facts"]
    status = commands("status", state=state)
    assert (status.code, "all is well" in status.out) == (0, True)
