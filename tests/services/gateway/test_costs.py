"""The planner's edges: files, what this machine answers, a plan as JSON."""

import json
from decimal import Decimal
from pathlib import Path

import aiohttp
import pytest
from fastapi import FastAPI

from foodex.core.errors import InvalidInput
from foodex.domain.costs import plan
from foodex.services.gateway import cost_routes
from foodex.services.gateway.costs import Measured, amount, load_price_list, measure_forecasts, told
from tests.support.serving import serve


def test_the_usual_plan_as_json_adds_up() -> None:
    prices = load_price_list()
    measured = Measured(per_second=1234.56, seconds=1.0, predictions=1234, what="made up")
    found = json.loads(json.dumps(told(plan(prices), measured)))
    assert [stage["total"] for stage in found["stages"]] == ["2.50", "235.00", "780.00"]
    for stage in found["stages"]:
        total = sum(Decimal(line["amount"]) for line in stage["lines"])
        assert total == Decimal(stage["total"])
    assert found["prices"]["source_kind"] == "planning"
    assert found["measured"]["predictions_per_second"] == 1234.6


def test_a_list_of_ones_own_is_read_and_a_missing_one_named(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    text = Path("config/prices.toml").read_text()
    own.write_text(text.replace('"USD"', '"EUR"'))
    assert load_price_list(own).currency == "EUR"
    with pytest.raises(InvalidInput, match=r"none\.toml cannot be read"):
        load_price_list(tmp_path / "none.toml")
    (tmp_path / "latin.toml").write_bytes(b'name = "\xe4"')
    with pytest.raises(InvalidInput, match="no text in UTF-8"):
        load_price_list(tmp_path / "latin.toml")


@pytest.mark.parametrize(
    ("micros", "text"),
    [(2_500_000, "2.50"), (28, "0.000028"), (0, "0.00"), (-1_230_000, "-1.23"), (10, "0.00001")],
)
def test_amounts_are_told_to_the_last_digit(micros: int, text: str) -> None:
    assert amount(micros) == text


def test_this_machine_is_measured_over_the_time_asked() -> None:
    found = measure_forecasts(0.2)
    assert 0.2 <= found.seconds < 5
    assert found.predictions > 0
    assert found.per_second == pytest.approx(found.predictions / found.seconds)
    assert "simulated" in found.what


async def test_the_planner_at_the_door() -> None:
    app = FastAPI()
    app.include_router(cost_routes.router())
    async with serve(app) as url, aiohttp.ClientSession(url) as http:
        async with http.get("/costs") as answer:
            usual = await answer.json()
        async with http.get("/costs?predictions=200000000&bytes=0") as answer:
            asked = await answer.json()
        async with http.get("/costs?predictions=0") as answer:
            assert answer.status == 422
    assert [stage["total"] for stage in usual["stages"]] == ["2.50", "235.00", "780.00"]
    assert asked["load"]["objects_gb"] == 0
    assert asked["cheapest"] == "partner"
    [at] = [point for point in asked["curve"] if point["predictions"] == 200_000_000]
    assert at["totals"]["mvp"] is None
    assert at["totals"]["partner"] == asked["stages"][1]["total"]
