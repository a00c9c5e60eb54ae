"""One's account on its pages: money, history, keys and password."""

from datetime import UTC, datetime
from typing import Any

import pytest

from foodex.core.errors import Conflict, FieldProblem, InvalidInput, NotAuthenticated
from tests.services.dashboard.said_api import ADMIN, CLIENT, OPERATOR, PRICES, Api, pages_over
from tests.services.dashboard.test_predict import ANSWER

KEYS = "/accounts/people/me/keys"
KEY = {
    "id": "k1",
    "person": "ada",
    "name": "<b>x</b>",
    "scopes": ["eta", "balance:read"],
    "created_at": "2026-11-01T10:00:00Z",
    "expires_at": None,
    "last_used_at": None,
    "revoked_at": None,
}
PAYMENT = {
    "id": "p1", "account": "ada", "amount_minor": 2500, "currency": "EUR", "provider": "local",
    "provider_id": "l", "pay_at": "local://x", "state": "pending", "who": "ada",
    "created_at": "2026-11-01T10:00:00Z", "changed_at": "2026-11-01T10:00:00Z",
}  # fmt: skip
ENTRY = {
    "account": "ada", "number": 7, "kind": "charge", "amount_minor": -2, "balance_minor": 498,
    "reference": "r", "subject": "f" * 32, "who": "ada", "note": "<u>n</u>",
    "price": {**PRICES[0], "model": "city"}, "at": "2026-11-01T10:00:00Z",
}  # fmt: skip
PREDICTION = {
    "id": "f" * 32, "account": "ada", "at": "2026-11-01T10:00:00Z", "key_id": "k1",
    "operation": "eta", "model": "city", "version": 3, "price_minor": 2, "currency": "EUR",
}  # fmt: skip


def api(me: Any = CLIENT, **says: Any) -> Api:
    today = datetime.now(UTC).date().isoformat()
    return Api(
        {
            "GET /accounts/me": me,
            "GET /accounts/prices": PRICES,
            "GET /accounts/usage": [
                {"day": today, "operation": "eta", "quantity": 41, "charged_minor": 82}
            ],
            "GET /accounts/entries": {"entries": [ENTRY], "next_before": 7},
            "GET /accounts/entries.csv": b"number\n7\n",
            "GET /accounts/predictions": {"predictions": [PREDICTION], "next_before": None},
            "GET /accounts/payments": {"payments": [PAYMENT], "next_before": None},
            "GET /accounts/payments/p1": PAYMENT,
            f"GET {KEYS}": [KEY],
        }
        | says
    )


async def test_the_overview_adds_up_what_was_used() -> None:
    door = api()
    async with pages_over(door) as pages:
        page = await pages("GET", "/account?days=7")
        odd = await pages("GET", "/account?days=9999")
    assert (page.status, odd.status) == (200, 200)
    for told in ("41", "0.82", "5.00", "Single forecasts", "&lt;u&gt;n&lt;/u&gt;"):
        assert told in page.text
    week, month = door.all("GET", "/accounts/usage")
    assert week.query["since"][0] > month.query["since"][0]


@pytest.mark.parametrize(("me", "shown"), [(OPERATOR, False), (ADMIN, True)])
async def test_the_house_sees_what_concerns_it(me: Any, shown: bool) -> None:
    nothing: Any = {"GET /accounts/usage": [], "GET /accounts/entries": {"entries": []}}
    async with pages_over(api(me, **nothing)) as pages:
        page = await pages("GET", "/account")
    assert "You work here" in page.text
    assert "/account/keys" in page.text
    assert "/account/entries" not in page.text
    assert ("/account/top-up" in page.text) is shown


async def test_filters_are_asked_of_the_api_and_kept_in_addresses() -> None:
    door = api()
    async with pages_over(door) as pages:
        asked = "kind=charge&since=2026-10-01&until=2026-10-31"
        page = await pages("GET", f"/account/entries?{asked}&before=9")
        file = await pages("GET", f"/account/entries.csv?{asked}")
        odd = await pages("GET", "/account/entries?since=yesterday")
    (first, wrong), (second,) = (
        door.all("GET", "/accounts/entries"),
        door.all("GET", "/accounts/entries.csv"),
    )
    for one in (first, second):
        assert one.query["kind"] == ["charge"]
        assert one.query["since"] == ["2026-10-01T00:00:00Z"]
        assert one.query["until"] == ["2026-11-01T00:00:00Z"]
    assert first.query["before"] == ["9"]
    assert "since" not in wrong.query
    assert odd.status == 200
    assert f"/account/entries.csv?{asked}".replace("&", "&amp;") in page.text
    assert f"?{asked}&before=7".replace("&", "&amp;") in page.text
    assert file.text == "number\n7\n"


async def test_a_prediction_is_shown_whole_and_made_again() -> None:
    kept = {**PREDICTION, "order": {"items": 3, "note": "<s>"}, "answer": ANSWER}
    place = f"/accounts/predictions/{PREDICTION['id']}"
    again = f"/predictions/{PREDICTION['id']}/reproduce"
    same = {"identical": True, "model": "city", "version": 3, "recorded": {}, "reproduced": {}}
    door = api(**{f"GET {place}": kept, f"POST {again}": same})
    page_at = f"/account/predictions/{PREDICTION['id']}"
    async with pages_over(door) as pages:
        listed = await pages("GET", "/account/predictions")
        page = await pages("GET", page_at)
        told = await pages("POST", f"{page_at}/reproduce", part=True)
        door.says[f"POST {again}"] = Conflict("What this was made from is no longer kept")
        gone = await pages("POST", f"{page_at}/reproduce", part=True)
        door.says[f"GET {place}"] = {**kept, "order": None, "answer": None}
        forgotten = await pages("GET", page_at)
    assert "&lt;b&gt;x&lt;/b&gt;" in listed.text
    assert "city, version 3" in page.text
    assert "&lt;s&gt;" in page.text
    assert "same to the last digit" in told.text
    assert (gone.status, "no longer kept" in gone.text) == (200, True)
    assert "no longer kept" in forgotten.text


async def test_a_key_is_made_and_its_secret_shown_once() -> None:
    door = api(**{f"POST {KEYS}": {"key": KEY, "secret": "fdx_s3cret"}})
    async with pages_over(door) as pages:
        sent = [("name", "<b>x</b>"), ("scope", "eta"), ("scope", "batches"), ("days", "30")]
        made = await pages("POST", "/account/keys", sent, part=True)
        after = await pages("GET", "/account/keys")
        door.says[f"POST {KEYS}"] = InvalidInput(
            problems=[FieldProblem("scopes", "must name at least one scope")]
        )
        wrong = await pages("POST", "/account/keys", {"name": "y"})
    asked = door.all("POST", KEYS)[0].json
    assert asked["scopes"] == ["eta", "batches"]
    assert asked["expires_at"] > datetime.now(UTC).isoformat()
    assert "fdx_s3cret" in made.text
    assert "fdx_s3cret" not in after.text
    for page in (made, after):
        assert "&lt;b&gt;x&lt;/b&gt;" in page.text
        assert "<b>x" not in page.text
    assert wrong.status == 422
    assert "Tick at least one" in wrong.text
    assert 'value="y"' in wrong.text


async def test_a_password_is_changed_only_if_all_is_right() -> None:
    change = "POST /accounts/people/me/password-change"
    door = api(**{change: NotAuthenticated()})
    given = {"old": "old password", "new": "new password", "again": "new passwort"}
    async with pages_over(door) as pages:
        differs = await pages("POST", "/account/security/password", given)
        assert door.all("POST", "/accounts/people/me/password-change") == []
        given["again"] = given["new"]
        refused = await pages("POST", "/account/security/password", given)
        door.says[change] = b""
        door.says["POST /accounts/sign-in"] = {
            "access_token": "a", "access_seconds": 300, "refresh_token": "r",
            "refresh_until": "2100-01-01T00:00:00Z",
        }  # fmt: skip
        changed = await pages("POST", "/account/security/password", given)
    assert (differs.status, refused.status) == (422, 422)
    assert "This differs from the one above" in differs.text
    assert "This is not the password you have now" in refused.text
    for page in (differs, refused):
        assert "old password" not in page.text
        assert "new password" not in page.text
    assert (changed.status, changed.headers["location"]) == (303, "/account/security?changed=1")
    (asked,) = door.all("POST", "/accounts/sign-in")
    assert asked.json == {"name": "ada", "password": "new password"}


async def test_a_payment_is_begun_and_says_what_happens_next() -> None:
    door = api(**{"POST /accounts/payments": PAYMENT})
    async with pages_over(door) as pages:
        wrong = await pages("POST", "/account/top-up", {"amount": "much"})
        begun = await pages("POST", "/account/top-up", {"amount": "25,00"})
        page = await pages("GET", "/account/payments/p1")
        door.says["GET /accounts/payments/p1"] = {**PAYMENT, "state": "paid"}
        paid = await pages("GET", "/account/payments/p1/state", part=True)
        assert (await pages("POST", "/account/payments/p1/pretend", {})).status == 403
    assert (wrong.status, 'value="much"' in wrong.text) == (422, True)
    assert begun.headers["location"] == "/account/payments/p1"
    (asked,) = door.all("POST", "/accounts/payments")
    assert asked.json == {"amount_minor": 2500}
    assert "every 3s" in page.text
    assert "no money moves" in page.text
    assert "every 3s" not in paid.text
    assert 'id="balance" hx-swap-oob' in paid.text


async def test_an_admin_confirms_what_is_pretended() -> None:
    door = api(ADMIN, **{"POST /accounts/payments/p1/pretend": {**PAYMENT, "state": "paid"}})
    async with pages_over(door) as pages:
        page = await pages("GET", "/account/top-up")
        done = await pages("POST", "/account/payments/p1/pretend", {"account": "ada"})
    assert "Confirm" in page.text
    assert done.status == 303
    assert door.all("POST", "/accounts/payments/p1/pretend")[0].query == {"account": ["ada"]}
    everybody = [one for one in door.all("GET", "/accounts/payments") if "everybody" in one.query]
    assert everybody[0].query["state"] == ["pending"]
