"""One order on a page: what is asked of the API, for whom, and what is shown."""

import json
import shlex
from typing import Any

import pytest

from foodex.core.errors import FieldProblem, InvalidInput, PaymentRequired
from foodex.services.dashboard.answers import interval, waterfall
from foodex.services.dashboard.order_forms import curl, read_order
from tests.services.dashboard.said_api import CLIENT, OPERATOR, PRICES, Api, pages_over

ANSWER: dict[str, Any] = {
    "promise": {"minutes": 45, "earliest_minutes": 30, "policy": "standard"},
    "median_minutes": 36.5,
    "quantiles_minutes": {
        "0.05": 28.0,
        "0.1": 30.0,
        "0.25": 33.0,
        "0.5": 36.5,
        "0.75": 42.0,
        "0.9": 48.0,
        "0.95": 52.0,
    },
    "source": "history",
    "degraded": True,
    "model": None,
    "version": None,
    "missing": ["temperature_c", "<i>odd</i>"],
    "input_ages_seconds": {"recent": 60.0},
    "explanation": {
        "typical_minutes": 30.0,
        "factors": [
            {"name": "basket", "minutes": 7.0},
            {"name": "load", "minutes": -0.48},
            {"name": "time", "minutes": 0.01},
            {"name": "weather", "minutes": -0.03},
        ],
    },
}
PAID = {
    "foodex-prediction-id": "0" * 32,
    "foodex-price-minor": "2",
    "foodex-balance-minor": "498",
    "foodex-currency": "EUR",
}
FORM = {"items": "3", "subtotal": "34,50", "currency": "EUR", "once": "n1", "zone": "UTC"}


def api(me: Any, eta: Any = ANSWER) -> Api:
    return Api(
        {
            "GET /accounts/me": me,
            "GET /accounts/prices": PRICES,
            "GET /ml/models": [{"name": "city"}, {"name": "<b>bold</b>"}],
            "POST /eta": eta,
        },
        {"POST /eta": PAID} if me is CLIENT else {},
    )


async def test_nobody_pays_for_looking_at_the_form() -> None:
    door = api(CLIENT)
    async with pages_over(door) as pages:
        page = await pages("GET", "/predict")
    assert page.status == 200
    assert "0.02" in page.text
    assert "data-once" in page.text
    assert "input delay" not in page.text
    assert door.all("POST", "/eta") == []
    assert door.all("GET", "/ml/models") == []


async def test_the_same_order_of_one_form_has_one_key() -> None:
    door = api(CLIENT)
    async with pages_over(door) as pages:
        for given in (
            FORM,
            FORM,
            FORM | {"items": "4"},
            FORM | {"model": "city"},
            FORM | {"once": "n2"},
        ):
            page = await pages("POST", "/predict", given, part=True)
            assert page.status == 200
        whole = await pages("POST", "/predict", FORM)
    keys = [one.headers["idempotency-key"] for one in door.all("POST", "/eta")]
    assert keys[0] == keys[1] == keys[5]
    assert len(set(keys)) == 4
    assert door.all("POST", "/eta")[0].json == {
        "items": 3,
        "currency": "EUR",
        "subtotal_minor": 3450,
    }
    assert door.all("POST", "/eta")[0].query == {"explain": ["true"]}
    assert "4.98" in page.text
    assert 'id="balance" hx-swap-oob' in page.text
    assert "<html" in whole.text
    assert "hx-swap-oob" not in whole.text


async def test_the_house_is_answered_as_it_types_and_free() -> None:
    door = api(OPERATOR)
    async with pages_over(door) as pages:
        page = await pages("GET", "/predict")
        part = await pages("POST", "/predict", FORM, part=True)
    assert "input delay:300ms" in page.text
    assert "&lt;b&gt;bold&lt;/b&gt;" in page.text
    (asked,) = door.all("POST", "/eta")
    assert "idempotency-key" not in asked.headers
    assert "charged" not in part.text


async def test_what_the_answer_stands_on_is_told() -> None:
    async with pages_over(api(OPERATOR)) as pages:
        part = await pages("POST", "/predict", FORM, part=True)
    for told in (
        "45",
        "30 to 45",
        "From history",
        "No model could answer",
        "temperature",
        "Basket",
    ):
        assert told in part.text
    assert "<i>" not in part.text.replace("<i class", "")


async def test_a_balance_too_small_leads_to_topping_up() -> None:
    short = PaymentRequired(balance_minor=1, price_minor=2, currency="EUR")
    async with pages_over(api(CLIENT, short)) as pages:
        part = await pages("POST", "/predict", FORM, part=True)
        whole = await pages("POST", "/predict", FORM)
    assert (part.status, whole.status) == (200, 402)
    for page in (part, whole):
        assert 'href="/account/top-up"' in page.text
        assert "0.01" in page.text


async def test_what_is_wrong_is_named_where_it_was_typed() -> None:
    wrong = InvalidInput(
        "No", problems=[FieldProblem("distance_km", "is -2, not between 0 and 500")]
    )
    door = api(OPERATOR, wrong)
    async with pages_over(door) as pages:
        part = await pages("POST", "/predict", FORM, part=True)
        assert "<strong>Way by road</strong>: is -2" in part.text
        odd = await pages("POST", "/predict", FORM | {"further": "what <b>is</b> this"}, part=True)
        assert "line 1 is not NAME = VALUE" in odd.text
        assert len(door.all("POST", "/eta")) == 1


def test_an_order_is_read_as_people_write_it() -> None:
    given = {
        "items": " 3 ",
        "store_lat": "60,5",
        "subtotal": "12",
        "currency": "JPY",
        "store_id": "s 1",
        "placed": "2026-07-01T12:30",
        "zone": "Europe/Helsinki",
        "further": "rating = 4.5\n\nkind=x",
        "delivered_at": "never",
        "once": "n",
        "model": "m",
        "city": "",
    }
    assert read_order(given) == {
        "items": 3,
        "store_lat": 60.5,
        "subtotal_minor": 12,
        "currency": "JPY",
        "store_id": "s 1",
        "placed_at": "2026-07-01T12:30:00+03:00",
        "rating": 4.5,
        "kind": "x",
    }
    assert read_order({"currency": "EUR"}) == {}
    with pytest.raises(InvalidInput) as refused:
        read_order({"subtotal": "much", "placed": "soon", "zone": "Mars/Olympus"})
    assert [one.field for one in refused.value.problems] == ["subtotal_minor", "placed_at"]
    for zone in ("/etc/passwd", "../x", "Nowhere/None"):
        with pytest.raises(InvalidInput):
            read_order({"placed": "2026-07-01T12:30", "zone": zone})


def test_the_command_is_one_for_a_shell() -> None:
    order = {"store_id": "it's; rm -rf / $HOME"}
    words = shlex.split(curl("http://x/", order, "a&b").replace("\\\n", ""))
    assert words[:2] == ["curl", "-s"]
    assert words[2] == "http://x/api/v1/eta?explain=true&model=a%26b"
    assert json.loads(words[-1]) == order


def test_a_waterfall_ends_where_the_forecast_is() -> None:
    steps = waterfall(ANSWER["explanation"])
    assert [step.name for step in steps] == ["typical", "basket", "load", "others", "median"]
    assert sum(step.minutes for step in steps[:-1]) == pytest.approx(36.5)
    assert steps[-1].minutes == pytest.approx(36.5)
    assert steps[1].span.left == steps[0].span.left
    assert steps[1].span.right == pytest.approx(steps[2].span.right, abs=0.02)
    assert all(step.span.left >= 0 and step.span.right <= 100 for step in steps)


def test_an_interval_holds_the_promise_too() -> None:
    drawn = interval(ANSWER)
    assert drawn.wide.left < drawn.narrow.left < drawn.median.left < drawn.narrow.right
    assert drawn.promise is not None
    assert drawn.narrow.right < drawn.promise.right < drawn.wide.right
    assert interval(ANSWER | {"promise": None}).promise is None
