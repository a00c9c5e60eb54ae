"""The page of costs, over an API that is told what to say."""

from typing import Any

import pytest

from foodex.domain.costs import plan
from foodex.services.dashboard.pages.costs import significant
from foodex.services.gateway.costs import curve, load_price_list, told
from tests.services.dashboard.stub_api import Api, pages_over


def says(**more: Any) -> dict[str, Any]:
    prices = load_price_list()
    answer = {**told(plan(prices)), "curve": curve(prices, prices.reference.object_bytes)}
    return {"GET /costs": answer, "GET /scenarios/runs": {"runs": [], "next_before": None}, **more}


async def test_all_stages_stand_beside_each_other() -> None:
    async with pages_over(Api(says=says())) as browser:
        _, page, _ = await browser("GET", "/costs")
    for total in ("2.50", "235.00", "780.00"):
        assert total in page
    assert "0.0025 USD for 1,000 predictions" in page
    assert "From 131,400,001 predictions a month on, One server" in page
    assert "Not measured yet" in page


@pytest.mark.parametrize(
    ("query", "asked"),
    [
        ("p=6&g=2", {"predictions": "1000000", "bytes": "100000000000"}),
        ("p=8.5&g=0", {"predictions": "320000000", "bytes": "1000000000"}),
        ("p=1e99&g=-1", {}),
        ("p=nan&g=x", {}),
    ],
)
async def test_a_slider_asks_in_round_figures(query: str, asked: dict[str, str]) -> None:
    api = Api(says=says())
    async with pages_over(api) as browser:
        status, part, _ = await browser("GET", f"/costs?{query}", hx_request="true")
    assert status == 200
    assert "<html" not in part
    assert api.last("GET /costs").query == asked


async def test_what_was_measured_last_is_told() -> None:
    measured = {"predictions_per_second": 1234.0, "what": "a small model"}
    runs = [
        {"id": "r2", "finished_at": None, "outcome": {"facts": {"measured": None}}},
        {
            "id": "r1",
            "finished_at": "2026-11-21T10:00:00Z",
            "outcome": {"facts": {"measured": measured}},
        },
    ]
    api = Api(says=says(**{"GET /scenarios/runs": {"runs": runs, "next_before": None}}))
    async with pages_over(api) as browser:
        _, page, _ = await browser("GET", "/costs")
    assert "1,234 a second" in page
    assert 'href="/scenarios/runs/r1"' in page


def test_small_amounts_keep_two_digits_that_say_something() -> None:
    assert significant("0.00") == (0, 2)
    assert significant("235.00") == (235, 2)
    assert significant("0.0025") == (0.0025, 4)
    assert significant("0.23") == (0.23, 2)
