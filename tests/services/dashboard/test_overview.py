"""The overview, over an API that is told what to say."""

from typing import Any

import pytest

from foodex.core.errors import InvalidInput
from foodex.services.dashboard.overview_figures import Chosen
from tests.services.dashboard.said_api import ADMIN, CLIENT, Api, pages_over

COUNTS: dict[str, Any] = {
    "orders": 10,
    "judged": 10,
    "on_time": 6,
    "late_10": 1,
    "took_p50": 30.0,
    "took_p90": 50.0,
}
FACTS: dict[str, Any] = {
    "period": {
        "since": "2026-03-01T22:00:00Z",
        "until": "2026-03-08T22:00:00Z",
        "time_zone": "Europe/Helsinki",
    },
    "total": COUNTS,
    "before": COUNTS | {"orders": 8, "on_time": 5},
    "takings": [{"currency": "EUR", "amount_minor": 123400, "orders": 10}],
    "takings_before": [],
    "days": [{"day": f"2026-03-0{day}", "counts": COUNTS} for day in (2, 3)],
    "hours": [{"weekday": 0, "hour": 12, "counts": COUNTS}],
}
OFFERED = {"name": "orders", "rows": 20}
OVERVIEW: dict[str, Any] = {
    "datasets": [OFFERED],
    "dataset": "orders",
    "facts": FACTS,
    "without_facts": None,
}
TOLD = {"mae_minutes": 4.0, "bias_minutes": -1.0, "on_time_share": 0.8, "errors": [4, 6]}
MODEL: dict[str, Any] = {
    "model": "eta",
    "version": 2,
    "dataset": "orders",
    "judged_by": "training",
    "orders": 10,
    "forecast": TOLD,
    "company": TOLD | {"mae_minutes": 8.0, "on_time_share": 0.5},
    "from_minutes": [-2, 0],
}
STORE = {
    "name": "<b>mario</b>",
    "lat": 60.0,
    "lon": 24.0,
    "orders": 7,
    "median_minutes": 31.0,
    "late_share": 0.4,
}
PLACES: dict[str, Any] = {"stores": [STORE], "stores_left_out": 2, "zones": []}


def api(**says: Any) -> Api:
    return Api(
        {
            "GET /accounts/me": ADMIN,
            "GET /overview": OVERVIEW,
            "GET /overview/model": MODEL,
            "GET /overview/places": PLACES,
        }
        | says
    )


async def test_the_page_is_shown_before_anything_is_added_up() -> None:
    asked = api()
    async with pages_over(asked) as pages:
        answer = await pages("GET", "/?dataset=orders&days=28&evil=%22%3E")
    assert answer.status == 200
    assert 'hx-get="/overview/figures?dataset=orders&amp;days=28"' in answer.text
    assert {one.path for one in asked.asked} == {"/accounts/me"}


async def test_figures_tell_of_trends_and_of_the_model() -> None:
    asked = api()
    async with pages_over(asked) as pages:
        told = await pages("GET", "/overview/figures?days=28", part=True)
    assert told.status == 200
    for text in ("+25.0%", "40.0%", "1,234", "20.0%", "50%", "2 Mar to 8 Mar 2026"):
        assert text in told.text
    assert asked.all("GET", "/overview")[0].query == {"days": ["28"]}


async def test_an_empty_system_leads_to_the_welcome() -> None:
    nothing = {**OVERVIEW, "datasets": [], "dataset": None, "facts": None}
    async with pages_over(api(**{"GET /overview": nothing})) as pages:
        told = await pages("GET", "/overview/figures", part=True)
    assert told.headers["hx-redirect"] == "/welcome"


async def test_without_figures_something_else_can_be_chosen() -> None:
    why = {**OVERVIEW, "facts": None, "without_facts": "They have no times"}
    async with pages_over(api(**{"GET /overview": why, "GET /overview/model": None})) as pages:
        told = await pages("GET", "/overview/figures", part=True)
    assert told.status == 200
    assert "They have no times" in told.text
    assert 'name="dataset"' in told.text


async def test_names_of_stores_are_text() -> None:
    async with pages_over(api()) as pages:
        told = await pages("GET", "/overview/stores", part=True)
    assert "&lt;b&gt;mario&lt;/b&gt;" in told.text
    assert "<b>mario" not in told.text


async def test_a_period_that_is_none_leaves_the_map_empty() -> None:
    async with pages_over(api(**{"GET /overview/places": InvalidInput("no period")})) as pages:
        assert (await pages("GET", "/overview/places.json")).status == 204
        assert (await pages("GET", "/overview/stores", part=True)).status == 200


async def test_clients_see_what_they_bought_and_nothing_of_the_house() -> None:
    usage = [{"day": "2020-01-01", "operation": "eta", "quantity": 3, "charged_minor": 6}]
    says = {
        "GET /accounts/me": CLIENT,
        "GET /accounts/usage": usage,
        "GET /predictions": {"predictions": [], "next_before": None},
    }
    async with pages_over(api(**says)) as pages:
        page = await pages("GET", "/")
        bought = await pages("GET", "/overview/bought", part=True)
        staff = [await pages("GET", f"/overview/{name}") for name in ("figures", "places.json")]
    assert "data-map" not in page.text
    assert "/predict" in page.text
    assert bought.status == 200
    assert "0.06" in bought.text
    assert [one.status for one in staff] == [403, 403]


@pytest.mark.parametrize(
    ("words", "query"),
    [
        ({}, {"days": 7}),
        ({"days": "28", "dataset": "a"}, {"dataset": "a", "days": 28}),
        ({"days": "5"}, {"days": 7}),
        ({"days": "28", "first_day": "2026-03-01"}, {"first_day": "2026-03-01"}),
        ({"first_day": "nonsense", "last_day": ""}, {"days": 7}),
    ],
)
def test_what_makes_no_sense_in_an_address_is_as_not_said(
    words: dict[str, str], query: dict[str, Any]
) -> None:
    assert Chosen.of(words).query() == query
