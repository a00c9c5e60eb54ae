"""The way from a file to a judged model: where somebody stands follows from the API alone."""

from datetime import UTC, datetime
from typing import Any

import pytest

from foodex.core.errors import NotFound
from foodex.services.dashboard import first_run
from foodex.services.dashboard.gateway import AppWire, Gateway
from foodex.services.dashboard.pages.welcome import newest_order
from tests.services.dashboard.stub_api import Api, pages_over

RESULT: dict[str, Any] = {
    "n": 400,
    "mae_minutes": 5.5,
    "bias_minutes": -1.2,
    "on_time_share": 0.8,
    "late_10_share": 0.04,
    "within_10": 0.87,
    "baselines": {
        "median": {"n": 400, "mae_minutes": 9.0, "bias_minutes": 0.0, "on_time_share": 0.5},
        "own_estimate": {"n": 400, "mae_minutes": 8.0, "bias_minutes": 1.0, "on_time_share": 0.6},
    },
    "baseline_intervals": {"own_estimate": {"mae_gain_minutes": [2.0, 3.0]}},
}


def dataset(name: str, *, rows: int = 500, **changes: Any) -> dict[str, Any]:
    return {
        "name": name,
        "layer": "processed",
        "columns": [{"name": "placed_at", "kind": "time", "meaning": ""},
                    {"name": "vehicle", "kind": "category", "meaning": ""}],
        "rows": rows,
        "description": "",
        "time_zone": "Europe/Helsinki",
        "created_at": "2026-11-01T00:00:00Z",
        "changed_at": "2026-11-01T00:00:00Z",
        "first_at": "2026-10-01T08:00:00Z",
        "last_at": "2026-10-21T08:00:00Z",
    } | changes  # fmt: skip


def load(name: str, state: str = "done", **changes: Any) -> dict[str, Any]:
    return {
        "id": 7,
        "source": name,
        "location": f"collector/uploads/ab/{name}.csv",
        "dataset": name,
        "mapping": name,
        "state": state,
        "progress": 0.5,
        "rows_read": 500,
        "rows_kept": 500,
        "rows_rejected": 0,
        "rejected_by_rule": {},
        "repaired": {},
        "error": None,
    } | changes


def job(kind: str, state: str = "done", *, number: int = 1, **request: Any) -> dict[str, Any]:
    wish = {"dataset": "ours", "model": "ours", "until": "2026-10-17T00:00:00Z"} | request
    if kind == "evaluate":
        wish = {"version": number, **wish, "until": None}
    result = RESULT if kind == "evaluate" else {"version": number}
    return {
        "id": f"{kind}{number}",
        "kind": kind,
        "state": state,
        "progress": 0.2,
        "message": "",
        "request": wish,
        "result": result if state == "done" else None,
        "error": "no luck" if state == "failed" else None,
    }


def api_with(
    *jobs: dict[str, Any],
    datasets: tuple[dict[str, Any], ...] = (),
    loads: tuple[dict[str, Any], ...] = (),
    production: int | None = 1,
) -> Api:
    summary = {
        "rows": 400,
        "options": {"without": ["vehicle"]},
        "metrics": {"n": 40, "mae_minutes": 6.0, "bias_minutes": 0.5},
        "baselines": {},
    }
    version = {"model": "ours", "version": 1, "algorithm": "gradient_boosting", "summary": summary}
    return Api(
        says={
            "GET /storage/datasets": list(datasets),
            "GET /collector/loads": list(loads),
            "GET /ml/jobs": list(jobs),
            "GET /ml/models": [{"name": "ours", "production": production}] if jobs else [],
            "GET /ml/models/ours/versions": [version],
        }
    )


OURS = (dataset("demo_city"), dataset("ours"))


@pytest.mark.parametrize(
    ("api", "step", "shown"),
    [
        (api_with(), "file", "Choose a file of past orders"),
        (api_with(datasets=OURS[:1]), "file", "simulated city"),
        (api_with(loads=(load("ours", "running"),)), "import", "/data/loads/7/events"),
        (api_with(loads=(load("ours", "failed", error="<b>half</b> written"),)), "file",
         "&lt;b&gt;half&lt;/b&gt; written"),
        (api_with(datasets=OURS, loads=(load("ours", "duplicate"),)), "train", "Nothing was added"),
        (api_with(job("train", "running"), datasets=OURS), "train", "/welcome/jobs/train1/events"),
        (api_with(job("train", "failed"), datasets=OURS), "train", "no luck"),
        (api_with(job("train"), datasets=OURS), "judge", "Judge it"),
        (api_with(job("evaluate", "running"), job("train"), datasets=OURS), "judge",
         "/welcome/jobs/evaluate1/events"),
        (api_with(job("evaluate"), job("train"), datasets=OURS), "use", "2.5\u202fmin closer"),
        (api_with(job("evaluate"), job("train"), datasets=OURS, production=None), "use",
         "Put it into production"),
        (api_with(job("train", number=2, until=None), job("evaluate"), job("train"),
                  datasets=OURS), "use", "Version 2 has learned from all orders"),
        # Without dates nothing can be kept back: the training's own figures are shown.
        (api_with(job("train", until=None), datasets=(dataset("ours", first_at=None,
                  last_at=None),)), "use", "misses by 6.0\u202fmin"),
    ],
)  # fmt: skip
async def test_every_step_and_what_it_shows(api: Api, step: str, shown: str) -> None:
    async with pages_over(api) as browser:
        status, text, _ = await browser("GET", "/welcome")
    assert status == 200
    current = text.index('aria-current="step"')
    assert text[:current].rstrip().endswith(f'id="step-{step}"')
    assert shown in text


async def test_operators_follow_but_do_not_act() -> None:
    api = api_with(job("train"), datasets=OURS)
    api.roles = ("operator",)
    async with pages_over(api) as browser:
        _, text, _ = await browser("GET", "/welcome")
        status, _, _ = await browser("POST", "/welcome/judge", {"dataset": "ours"})
    assert "an analyst or an admin does the steps" in text
    assert "Judge it" not in text
    assert status == 403


async def test_a_training_keeps_the_newest_orders_back_and_is_begun_once() -> None:
    api = api_with(datasets=OURS)
    api.says |= {"GET /storage/datasets/ours": dataset("ours"), "POST /ml/trainings": {"id": "x"}}
    sent = {"dataset": "ours", "model": "ours", "without": "vehicle", "reference": "once"}
    async with pages_over(api) as browser:
        status, _, answer = await browser("POST", "/welcome/train", sent)
        assert (status, answer.headers["location"]) == (303, "/welcome?dataset=ours")
        asked = api.last("POST /ml/trainings")
        assert asked.query == {"reference": "once"}
        # 17 October in Helsinki begins at 21 hours of the day before.
        assert asked.json["until"] == "2026-10-16T21:00:00+00:00"
        assert (asked.json["without"], asked.json["promote"]) == (["vehicle"], False)
        await browser("POST", "/welcome/train", sent | {"whole": "1"})
    asked = api.last("POST /ml/trainings")
    assert (asked.json["until"], asked.json["promote"]) == (None, True)


def test_what_is_kept_back() -> None:
    cut = first_run.kept_back_from(dataset("ours"))
    assert cut == datetime(2026, 10, 16, 21, tzinfo=UTC)
    short = dataset("ours", first_at="2026-10-01T08:00:00Z", last_at="2026-10-02T08:00:00Z")
    assert first_run.kept_back_from(short) == datetime(2026, 10, 2, 3, 12, tzinfo=UTC)
    same = dataset("ours", first_at="2026-10-01T08:00:00Z", last_at="2026-10-01T08:00:00Z")
    assert first_run.kept_back_from(same) is None


@pytest.mark.parametrize(
    ("ends", "word"), [([2.0, 3.0], "better"), ([-1.0, 1.0], "even"), ([-3.0, -1.0], "worse")]
)
def test_the_verdict_goes_by_what_is_beyond_chance(ends: list[float], word: str) -> None:
    told = RESULT | {"baseline_intervals": {"own_estimate": {"mae_gain_minutes": ends}}}
    verdict = first_run.verdict_of(told)
    assert (verdict.word, verdict.against) == (word, "own_estimate")
    assert [one.name for one in verdict.rivals] == ["model", "own_estimate", "median"]


def test_without_an_own_estimate_the_best_simple_rule_is_the_measure() -> None:
    rules = {
        "median": {"n": 4, "mae_minutes": 9.0},
        "store_hour_median": {"n": 4, "mae_minutes": 7},
    }
    verdict = first_run.verdict_of({"n": 4, "mae_minutes": 5.0, "baselines": rules})
    assert (verdict.against, verdict.gain, verdict.word) == ("store_hour_median", 2.0, "better")
    assert first_run.verdict_of({"n": 4, "mae_minutes": 5.0}).word == "alone"


async def test_the_first_forecast_is_of_the_newest_order_placed_now() -> None:
    names = ("order_id", "placed_at", "store_id", "delivered_at", "spice")
    columns = [{"name": name, "kind": "text", "meaning": ""} for name in names]
    row = {"row_id": 3, "order_id": "A", "placed_at": "2026-10-21T08:00:00Z", "store_id": "s",
           "spice": None}  # fmt: skip
    api = Api(says={"GET /storage/datasets/ours": dataset("ours", columns=columns)})
    api.says["GET /storage/datasets/ours/rows"] = {"rows": [row], "next_after": None}
    gateway = Gateway(AppWire(api))
    order = await newest_order(gateway, "ours")
    assert set(order) == {"store_id", "placed_at"}
    assert order["placed_at"] > "2026-10-21"
    assert api.asked[-1].query["where"] == "placed_at:ge:2026-10-21T08:00:00Z"
    api.says["GET /storage/datasets/ours/rows"] = {"rows": [], "next_after": None}
    with pytest.raises(NotFound):
        await newest_order(gateway, "ours")
