"""Pages of models, over an API that is told what to say, and what charts make of an evaluation."""

from typing import Any

import pytest

from foodex.services.dashboard import model_charts
from foodex.services.dashboard.catalogue import texts_of
from tests.services.dashboard.stub_api import Api, pages_over

FIGURES: dict[str, Any] = {
    "n": 200,
    "mae_minutes": 5.0,
    "bias_minutes": -1.0,
    "within_10": 0.9,
    "coverage_90": 0.91,
    "on_time_share": 0.8,
    "late_10_share": 0.02,
    "p90_abs_error_minutes": 11.0,
}
EVALUATION: dict[str, Any] = {
    **FIGURES,
    "model": "eta",
    "version": 2,
    "dataset": "orders",
    "first_placed_at": "2026-11-14T08:00:00+00:00",
    "last_placed_at": "2026-11-20T20:00:00+00:00",
    "baselines": {"own_estimate": {**FIGURES, "mae_minutes": 8.0}},
    "slices": {
        "hour": {"09": FIGURES, "18": {**FIGURES, "mae_minutes": 7.0}},
        "weekday": {"Sunday": FIGURES, "Monday": FIGURES},
        "zone": {"871126d33ffffff": FIGURES},
        "distance": {"over 10 km": FIGURES, "1-2 km": FIGURES, "under 1 km": FIGURES},
        "kitchen": {"<sushi>": FIGURES},
    },
    "days": [
        {"day": "2026-11-14", "orders": 100, "abs_error_minutes": 400.0, "on_time": 80},
        {"day": "2026-11-15", "orders": 100, "abs_error_minutes": 600.0, "on_time": 60},
    ],
    "held": {"0.05": 0.04, "0.5": 0.5, "0.95": 0.96},
    "errors": {"from_minutes": [-2, 0], "orders": [50, 150]},
    "own_errors": {"from_minutes": [-2, 0], "orders": [0, 0]},
}


def version(number: int, *, answers: bool = False) -> dict[str, Any]:
    return {
        "model": "eta",
        "version": number,
        "algorithm": "gradient_boosting",
        "dataset": "orders",
        "created_at": "2026-11-13T10:00:00Z",
        "who": "<ada>",
        "size_bytes": 2048,
        "in_production": answers,
        "summary": {
            "metrics": {"n": 50, "mae_minutes": 4.0, "bias_minutes": 0.1, "coverage_90": 0.9},
            "baselines": {"own_estimate": {"mae_minutes": 8.0}},
            "features": ["distance_km", "hour", "items"],
            "factors": ["distance", "time", "basket"],
            "importance": {"distance_km": 0.5, "hour": 0.3, "items": 0.2},
            "rows": 1000,
            "held_out_rows": 50,
            "period": ["2026-10-01T00:00:00+00:00", "2026-11-12T00:00:00+00:00"],
            "data_hash": "abc123",
            "seconds": {"total": 12.0},
            "options": {"without": ["vehicle"], "until": None, "parameters": {}, "seed": 7},
            "time_zone": "Europe/Helsinki",
            "trees": 40,
            "notes": [],
        },
    }


def change(action: str, number: int | None, previous: int | None) -> dict[str, Any]:
    who = {"at": "2026-11-20T10:00:00Z", "model": "eta", "who": "ada"}
    return {"id": 1, "action": action, "version": number, "previous": previous, **who}


MODEL = {
    "name": "eta",
    "description": "",
    "created_at": "2026-11-01T00:00:00Z",
    "versions": 2,
    "latest": 2,
    "production": 2,
}


def says(**more: Any) -> dict[str, Any]:
    judged = {"id": "j1", "kind": "evaluate", "state": "done", "result": EVALUATION}
    return {
        "GET /ml/models": [MODEL],
        "GET /ml/models/eta": MODEL,
        "GET /ml/models/eta/versions": [version(2, answers=True), version(1)],
        "GET /ml/models/eta/versions/2": version(2, answers=True),
        "GET /ml/production": [change("promote", 2, 1), change("promote", 1, None)],
        "GET /ml/jobs": [judged],
        **more,
    }


async def test_what_is_lost_is_named_before_it_is_done() -> None:
    async with pages_over(Api(says=says())) as browser:
        _, page, _ = await browser("GET", "/models/eta")
    assert "Put version 1 of eta back? It answers from now on in place of version 2." in page
    assert "Delete version 1 of eta? It cannot be brought back" in page
    assert "Put version 1 of eta into production?" in page
    assert "Take eta out of production? Version 2 answers no more." in page
    assert 'action="/models/eta/delete"' not in page
    assert "&lt;ada&gt;" in page


async def test_operators_look_and_change_nothing() -> None:
    api = Api(roles=("operator",), says=says())
    async with pages_over(api) as browser:
        listed, models, _ = await browser("GET", "/models")
        _, page, _ = await browser("GET", "/models/eta")
        refused, _, _ = await browser("POST", "/models/eta/rollback", {})
    assert (listed, refused) == (200, 403)
    assert "/rollback" not in page
    assert "/promote" not in page
    assert "/scenarios/train-model" not in models
    assert not [one for one in api.asked if one.method == "POST"]


@pytest.mark.parametrize(
    ("path", "given", "asked"),
    [
        ("/models/eta/promote", {"version": "1"}, "POST /ml/models/eta/versions/1/promote"),
        ("/models/eta/rollback", {}, "POST /ml/models/eta/rollback"),
        ("/models/eta/retire", {}, "POST /ml/models/eta/retire"),
        ("/models/eta/delete", {}, "DELETE /ml/models/eta"),
        ("/models/eta/versions/1/delete", {}, "DELETE /ml/models/eta/versions/1"),
        ("/models/jobs/j9/cancel", {}, "POST /ml/jobs/j9/cancel"),
    ],
)
async def test_a_change_is_asked_of_the_api(path: str, given: dict[str, str], asked: str) -> None:
    api = Api(says={asked: {}})
    async with pages_over(api) as browser:
        status, _, answer = await browser("POST", path, given)
    assert status == 303
    assert answer.headers["location"].startswith("/models")
    assert api.last(asked)


async def test_a_version_is_told_with_its_judgement_and_its_card() -> None:
    async with pages_over(Api(says=says())) as browser:
        _, page, _ = await browser("GET", "/models/eta/versions/2")
        _, parts, _ = await browser("GET", "/models/eta/versions/2?by=kitchen", hx_request="true")
    assert "1.2 times as much" in page
    assert "abc123" in page
    assert page.count("data-chart") == 6
    assert "&lt;sushi&gt;" in parts


async def test_a_version_that_nobody_judged_tells_how_to() -> None:
    async with pages_over(Api(says=says(**{"GET /ml/jobs": []}))) as browser:
        status, page, _ = await browser("GET", "/models/eta/versions/2")
    assert status == 200
    assert "Not judged on past orders yet" in page
    assert 'href="/scenarios/report-model?model=eta%3A2&amp;dataset=orders"' in page


async def test_without_models_the_page_leads_to_the_first() -> None:
    nothing = {"GET /ml/models": [], "GET /ml/production": [], "GET /ml/jobs": []}
    async with pages_over(Api(says=nothing)) as browser:
        _, page, _ = await browser("GET", "/models")
    assert "There is no model yet" in page
    assert 'href="/scenarios/train-model"' in page


def test_charts_tell_what_the_evaluation_does() -> None:
    t = texts_of("en")
    days = model_charts.over_days(EVALUATION, t)
    assert days["series"][0]["data"] == [4, 6]
    kept = model_charts.kept_over_days(EVALUATION, t)
    assert kept["series"][0]["data"] == [0.8, 0.6]
    held = model_charts.calibration(EVALUATION, t)
    assert held is not None
    assert held["series"][0]["data"] == [[0.05, 0.04], [0.5, 0.5], [0.95, 0.96]]
    errors = model_charts.errors(EVALUATION, t)
    assert errors is not None
    # Where the company said nothing there is nothing to draw.
    assert [one["data"] for one in errors["series"]] == [[0.25, 0.75]]
    factors = model_charts.factors(version(1)["summary"], t)
    assert factors is not None
    assert factors["yAxis"]["data"] == ["Distance", "Time of day", "Basket"]


def test_parts_are_named_and_in_order() -> None:
    t = texts_of("en")
    names = {
        by: [name for name, _ in model_charts.parts(EVALUATION, by, t)]
        for by in model_charts.dimensions(EVALUATION)
    }
    assert names == {
        "hour": ["9", "18"],
        "weekday": ["Monday", "Sunday"],
        "zone": names["zone"],
        "distance": ["Under 1 km", "1\N{EN DASH}2 km", "Over 10 km"],
        "kitchen": ["<sushi>"],
    }
    assert "° N" in names["zone"][0]


def test_drift_is_told_only_of_orders_that_are_newer() -> None:
    assert model_charts.drifted(version(2), EVALUATION) == 1.25
    seen = {**EVALUATION, "first_placed_at": "2026-11-01T00:00:00+00:00"}
    assert model_charts.drifted(version(2), seen) is None


def test_an_evaluation_of_before_says_less_and_breaks_nothing() -> None:
    t = texts_of("en")
    old = {k: v for k, v in EVALUATION.items() if k not in ("held", "errors", "own_errors")}
    assert model_charts.calibration(old, t) is None
    assert model_charts.errors(old, t) is None
