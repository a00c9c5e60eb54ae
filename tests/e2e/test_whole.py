"""What FoodEx is for, from an export to a report, the same however it runs.

Each case is done twice: on `foodex up` in one process, and with every service as a process of its
own, two workers among them, on servers. A case knows an address, a key, and nothing of the rest.
"""

import csv
import io

import pytest

from foodex.services.gateway.scenarios import found_scenarios
from tests.support.shop import MAPPING, ORDER, PASSWORD, RUNS, SPLIT, Shop

pytestmark = pytest.mark.timeout(240)

WAYS = [
    pytest.param("one_process", marks=pytest.mark.xdist_group("one process")),
    pytest.param("services_apart", marks=pytest.mark.xdist_group("apart")),
]
FILE = b"order_id,items,distance_km,note\nA,3,1.5,=cmd()\nB,-4,2,\nC,1,4,plain\n"

# The others leave a report; these have cases of their own, or made the data and the models.
OTHERS = {"collect-data", "train-model", "predict-order", "predict-file"}


@pytest.fixture(params=WAYS)
def shop(request: pytest.FixtureRequest) -> Shop:
    """A business whose history is collected and whose models are trained."""
    found: Shop = request.getfixturevalue(request.param)
    return found


def test_people_sign_in_and_do_what_they_may(shop: Shop) -> None:
    accounts = "/api/v1/accounts"
    given = {"name": "ada", "password": PASSWORD}
    shop.up.ok("POST", "/accounts/register", given, key="")
    assert shop.up("POST", f"{accounts}/sign-in", given | {"password": "x"}, key="").status == 401
    token = shop.up.ok("POST", "/accounts/sign-in", given, key="")["access_token"]
    shop.up.ok("POST", "/accounts/top-ups", {"account": "ada", "amount_minor": 500})
    wanted = {"name": "shop", "scopes": ["balance:read"]}
    made = shop.up.ok("POST", "/accounts/people/me/keys", wanted, key=token)
    me = shop.up.ok("GET", "/accounts/me", key=made["secret"])
    assert (me["name"], me["balance_minor"], me["key_id"]) == ("ada", 500, made["key"]["id"])
    assert shop.up("GET", "/api/v1/storage/datasets/city", key=token).status == 403
    assert shop.up("POST", "/api/v1/eta", {"items": 1}, key=made["secret"]).status == 403
    assert shop.up("GET", f"{accounts}/me", key="").status == 401
    audit = shop.up.ok("GET", "/accounts/audit?target=ada&action=signed-in")
    assert [line["address"] for line in audit["entries"]] == ["127.0.0.1"]


def test_an_export_becomes_a_data_set(shop: Shop) -> None:
    assert shop.up.ok("GET", "/storage/datasets/city")["rows"] == shop.orders
    head, first, second = shop.export.decode().splitlines()[:3]
    spoiled = first.split(",")
    spoiled[head.split(",").index("Ordered")] = "yesterday"
    content = "\n".join([head, ",".join(spoiled), second]).encode()
    source = shop.up.ok("POST", "/collector/uploads?name=two.csv", content)
    wanted = {"source": source, "mapping": MAPPING, "dataset": "little"}
    job = shop.up.ok("POST", "/jobs", {"kind": "load", "parameters": wanted})
    loaded = shop.job(job["id"])["result"]
    assert (loaded["rows_read"], loaded["rows_kept"], loaded["rows_rejected"]) == (2, 1, 1)
    listed = shop.up.ok("GET", f"/collector/loads/{loaded['id']}/rejections")
    assert [(one["row"], one["field"]) for one in listed] == [(1, "placed_at")]
    sql = "SELECT count() FROM processed_little"
    assert shop.up.ok("POST", "/storage/query", {"sql": sql})["rows"] == [[1]]


def test_a_model_is_trained_judged_and_answers(shop: Shop) -> None:
    wanted = {"dataset": "city", "model": "mine", "algorithm": "linear_regression"}
    # What its sender does not tell of an order, it is not to go by.
    wanted |= {"until": SPLIT, "without": ["vehicle", "own_estimate_minutes"]}
    job = shop.up.ok("POST", "/jobs", {"kind": "train", "parameters": wanted})
    trained = shop.job(job["id"])
    assert (trained["state"], trained["result"]["version"]) == ("done", 1)
    asked = {"dataset": "city", "model": "mine", "since": SPLIT}
    job = shop.up.ok("POST", "/jobs", {"kind": "evaluate", "parameters": asked})
    assert 0 < shop.job(job["id"])["result"]["mae_minutes"] < 30
    told = shop.up.ok("POST", "/eta?model=mine", ORDER)
    assert (told["model"], told["version"], told["source"]) == ("mine", 1, "model")
    assert told["promise"]["minutes"] > 0
    wrong = shop.up("POST", "/api/v1/eta", {"items": -1})
    assert (wrong.status, wrong.json["problems"][0]["field"]) == (422, "items")
    wrong = shop.up("POST", "/api/v1/jobs", {"kind": "train", "parameters": {"dataste": "x"}})
    assert (wrong.status, "dataste" in wrong.body.decode()) == (422, True)
    job = shop.up.ok(
        "POST", "/jobs", {"kind": "train", "parameters": {"dataset": "no", "model": "mine"}}
    )
    failed = shop.job(job["id"])
    assert (failed["state"], failed["error_type"]) == ("failed", "not-found")


def test_a_forecast_is_paid_once_and_can_be_made_again(shop: Shop) -> None:
    token = shop.client("payer", 100)
    asked = {"idempotency-key": "first"}
    answers = [shop.up("POST", "/api/v1/eta", ORDER, key=token, headers=asked) for _ in range(2)]
    assert [answer.status for answer in answers] == [200, 200]
    assert answers[0].body == answers[1].body
    price = int(answers[0].headers["foodex-price-minor"])
    assert shop.left("payer") == 100 - price < 100
    sold = answers[0].headers["foodex-prediction-id"]
    assert shop.up.ok("POST", f"/predictions/{sold}/reproduce")["identical"]
    poor = shop.up("POST", "/api/v1/eta", ORDER, key=shop.client("penniless", 0))
    assert poor.status == 402


def test_a_file_of_orders_is_paid_by_what_was_forecast(shop: Shop) -> None:
    token = shop.client("filer", 1000)
    sent = shop.up("POST", "/api/v1/predictions/files?name=three.csv", FILE, key=token)
    wanted = {"file": sent.json["file"]}
    begun = shop.up.ok("POST", "/predictions/batches", wanted, key=token)
    done = shop.job(begun["id"])
    assert (done["state"], done["units_done"]) == ("done", 2), done["error"]
    assert shop.left("filer") == 1000 - 2 * done["price"]["unit_minor"]
    place = f"/api/v1/jobs/{done['id']}/files/"
    table = shop.up("GET", f"{place}predictions.csv", key=token).body.decode()
    rows = list(csv.DictReader(io.StringIO(table)))
    assert [row["order_id"] for row in rows] == ["A", "B", "C"]
    assert [bool(row["forecast_median"]) for row in rows] == [True, False, True]
    assert [row["note"] for row in rows] == ["'=cmd()", "", "plain"]
    refused = shop.up("GET", f"{place}rejected.csv", key=token).body.decode()
    assert [(r["row"], r["field"]) for r in csv.DictReader(io.StringIO(refused))] == [
        ("2", "items")
    ]
    link = shop.up.ok("POST", f"/jobs/{done['id']}/files/predictions.csv/link", key=token)
    assert shop.up("GET", link["path"], key="").body.decode() == table
    poor = shop.client("poor", 1)
    sent = shop.up("POST", "/api/v1/predictions/files?name=three.csv", FILE, key=poor)
    wanted = {"file": sent.json["file"]}
    assert shop.up("POST", "/api/v1/predictions/batches", wanted, key=poor).status == 402
    assert shop.left("poor") == 1


def test_every_scenario_is_tried() -> None:
    assert RUNS.keys() | OTHERS == set(found_scenarios())


@pytest.mark.parametrize("name", RUNS)
def test_a_scenario_leaves_a_report(shop: Shop, name: str) -> None:
    run = shop.once(name)
    report = shop.report(run)
    assert report["summary"]
    listed = shop.up.ok("GET", "/reports")["runs"]
    assert run["id"] in {one["id"] for one in listed}
    link = shop.up.ok("POST", f"/scenarios/runs/{run['id']}/files/report.pdf/link")
    assert shop.up("GET", link["path"], key="").body.startswith(b"%PDF")


def test_a_client_runs_what_clients_may(shop: Shop) -> None:
    token = shop.client("runner", 100)
    shown = {one["name"] for one in shop.up.ok("GET", "/scenarios", key=token)}
    assert shown == {"predict-order", "predict-file"}
    run = shop.done("predict-order", token, order=ORDER)
    paid = run["outcome"]["facts"]["paid"]
    assert shop.left("runner") == 100 - int(paid["foodex-price-minor"])
    sent = shop.up("POST", "/api/v1/predictions/files?name=three.csv", FILE, key=token)
    run = shop.done("predict-file", token, file=sent.json["file"], model="eta")
    facts = run["outcome"]["facts"]
    assert (facts["rows"], facts["forecast"], facts["refused"]) == (3, 2, 1)
    assert shop.file(run, "predictions.csv", token).count(b"\n") == 4
    assert shop.begin("report-period", token, dataset="city").status == 403


def test_jobs_are_listed_cancelled_and_buried(shop: Shop) -> None:
    token = shop.client("unlucky", 100)
    sent = shop.up("POST", "/api/v1/predictions/files?name=three.csv", FILE, key=token)
    # No attempt is given the time that it needs.
    wanted = {
        "kind": "predict_file",
        "parameters": {"file": sent.json["file"]},
        "timeout_seconds": 0.001,
    }
    dead = shop.job(shop.up.ok("POST", "/jobs", wanted, key=token)["id"])
    assert (dead["state"], dead["error_type"]) == ("dead", "internal")
    assert shop.left("unlucky") == 100
    letters = shop.up.ok("GET", "/jobs/dead/letters")["jobs"]
    assert dead["id"] in {one["id"] for one in letters}
    assert shop.up("GET", "/api/v1/jobs/dead/letters", key=token).status == 403
    again = shop.up.ok("POST", f"/jobs/{dead['id']}/replay")
    assert again["state"] == "waiting"
    assert shop.job(dead["id"])["state"] == "dead"
    assert shop.left("unlucky") == 100
    assert shop.up("POST", f"/api/v1/jobs/{dead['id']}/cancel").status == 409
    mine = shop.up.ok("GET", "/jobs", key=token)["jobs"]
    assert [one["id"] for one in mine] == [dead["id"]]
    wanted = {"kind": "train", "parameters": {"dataset": "city", "model": "never"}}
    job = shop.up.ok("POST", "/jobs", wanted)
    assert shop.up.ok("POST", f"/jobs/{job['id']}/cancel")["state"] == "cancelled"
    assert shop.up.ok("GET", "/jobs/counts")["dead"] >= 1


def test_the_state_of_the_system(shop: Shop) -> None:
    found = shop.up.ok("GET", "/system")
    assert found["healthy"], found
    names = {one["name"] for one in found["services"]}
    assert names >= {"storage", "collector", "ml", "accounts", "jobs"}
    assert all(one["version"] == found["version"] for one in found["services"])
    assert {model["model"] for model in found["models"]} >= {"eta", "bare"}
    assert [model["default"] for model in found["models"]].count(True) == 1
    kinds = {one["seam"]: one["kind"].partition("+")[0] for one in found["adapters"]}
    assert kinds.items() >= shop.adapters.items()
    assert shop.up("GET", "/health/ready", key="").status == 200
    assert shop.up("GET", "/api/v1/system", key=shop.client("nosy", 0)).status == 403


def test_the_ledger_holds(shop: Shop) -> None:
    told = shop.up.ok("GET", "/accounts/ledger/verification")
    assert told["holds"], told
    assert told["entries"] > 10
