"""Pages of scenarios, runs and reports, over an API that is told what to say."""

import re
from typing import Any

from starlette.responses import Response

from tests.services.dashboard.stub_api import Api, pages_over

SCENARIO: dict[str, Any] = {
    "name": "count-orders",
    "title": "Count orders",
    "purpose": "How many there are.",
    "roles": ["analyst"],
    "parameters": {
        "properties": {
            "dataset": {"type": "string", "title": "Dataset", "x-choices": "datasets"},
            "weeks_back": {"type": "integer", "title": "Weeks Back", "default": 2, "maximum": 9},
            "rows": {"type": "string", "x-upload": {"path": "/api/v1/files", "answer": "location"}},
        },
        "required": ["dataset"],
    },
    "reproducible": True,
    "report": True,
}
RUN: dict[str, Any] = {
    "id": "r1",
    "scenario": "count-orders",
    "title": "Count orders",
    "state": "done",
    "progress": 1.0,
    "message": "",
    "who": "ada",
    "parameters": {"dataset": "<b>orders</b>", "weeks_back": 3},
    "created_at": "2026-11-21T10:00:00Z",
    "finished_at": "2026-11-21T10:00:09Z",
    "seconds": 9.0,
    "seconds_left": None,
    "outcome": {
        "summary": ["There are 12 <i>orders</i>."],
        "figures": [
            {"name": "Kept", "value": 0.5, "unit": "share", "currency": "", "other": 0.4}
            | {"versus": "before", "better": "higher", "low": 0.45, "high": 0.55},
        ],
        "tables": [
            {
                "title": "By day",
                "columns": [
                    {"title": "Day", "unit": "text", "currency": ""},
                    {"title": "Orders", "unit": "count", "currency": ""},
                    {"title": "Takings", "unit": "money", "currency": "EUR"},
                ],
                "rows": [["Mon", 5, 1234], ["Tue", 7, None]],
                "note": "",
            }
        ],
        "exact": {"since": "2026-11-14T00:00:00+02:00", "until": "2026-11-21T00:00:00+02:00"},
        "facts": {},
    },
    "files": [
        {"name": "report.html", "size_bytes": 10},
        {"name": "report.pdf", "size_bytes": 2048},
    ],
    "error": None,
    "error_type": None,
    "problems": [],
    "paid_minor": None,
    "currency": None,
}
SAYS = {
    "GET /scenarios": [SCENARIO],
    "GET /scenarios/count-orders": SCENARIO,
    "GET /scenarios/runs": {"runs": [RUN], "next_before": "r0"},
    "GET /scenarios/runs/r1": RUN,
    "GET /reports": {"runs": [RUN], "next_before": None},
    "GET /storage/datasets": [
        {"name": "orders", "layer": "processed", "columns": []},
        {"name": "orders", "layer": "raw", "columns": []},
    ],
}


async def test_a_scenario_nobody_has_thought_of_has_a_form_and_a_result() -> None:
    async with pages_over(Api(says=dict(SAYS))) as browser:
        _, cards, _ = await browser("GET", "/scenarios")
        _, form, _ = await browser("GET", "/scenarios/count-orders?weeks_back=5")
        _, run, _ = await browser("GET", "/scenarios/runs/r1")
    assert "Count orders" in cards
    assert "How many there are." in cards
    assert form.count('<option value="orders"') == 1
    assert re.search(r'type="number"[^>]*name="weeks_back" value="5"[^>]*max="9"', form)
    assert 'data-upload="/scenarios/count-orders/files/rows?file="' in form
    assert "Weeks Back" in form
    assert "There are 12 &lt;i&gt;orders&lt;/i&gt;." in run
    assert "&lt;b&gt;orders&lt;/b&gt;" in run
    assert "50%" in run
    assert "before: 40%" in run
    assert "12.34\N{NARROW NO-BREAK SPACE}EUR" in run
    assert "data-chart" in run


async def test_a_run_is_begun_once_with_what_was_filled_in() -> None:
    api = Api(says={**SAYS, "POST /scenarios/count-orders/runs": {"id": "r2"}})
    given = {"_key": "k1", "dataset": "orders", "weeks_back": "3", "rows": ""}
    async with pages_over(api) as browser:
        status, _, answer = await browser("POST", "/scenarios/count-orders", given)
    assert (status, answer.headers["location"]) == (303, "/scenarios/runs/r2")
    sent = api.last("POST /scenarios/count-orders/runs")
    assert sent.json == {"dataset": "orders", "weeks_back": 3}
    assert sent.headers["idempotency-key"] == "k1"


async def test_what_the_api_refuses_is_told_at_its_field_and_nothing_typed_is_lost() -> None:
    api = Api(says=dict(SAYS))
    problems = [{"field": "weeks_back", "row": None, "message": "is too <large>"}]
    problems += [{"field": "parameters", "row": None, "message": "nothing is changed"}]
    api.refuses(
        "POST /scenarios/count-orders/runs", 422, "invalid-input", detail="no", problems=problems
    )
    given = {"_key": "k1", "dataset": "orders", "weeks_back": "99"}
    async with pages_over(api) as browser:
        status, form, _ = await browser("POST", "/scenarios/count-orders", given)
    assert status == 422
    assert 'id="f-weeks_back-error">is too &lt;large&gt;<' in form
    assert "nothing is changed" in form
    assert 'value="99"' in form
    assert 'name="_key" value="k1"' not in form


async def test_a_file_is_sent_on_to_where_the_schema_says() -> None:
    api = Api(says={**SAYS, "POST /files": {"location": "kept/orders.csv"}})
    async with pages_over(api) as browser:
        path = "/scenarios/count-orders/files/rows?file=orders.csv"
        status, told, _ = await browser("POST", path, b"a,b\n1,2\n", hx_request="true")
        none, _, _ = await browser("POST", "/scenarios/count-orders/files/dataset", b"")
    assert status == 200
    assert 'name="rows" value="kept/orders.csv"' in told
    sent = api.last("POST /files")
    assert (sent.body, sent.query) == (b"a,b\n1,2\n", {"name": "orders.csv"})
    assert none == 404


async def test_a_run_is_repeated_under_its_key_and_begun_anew_from_its_form() -> None:
    api = Api(says={**SAYS, "POST /scenarios/runs/r1/repeat": {"id": "r3"}})
    async with pages_over(api) as browser:
        given = {"anew": "true", "_key": "k2"}
        _, _, answer = await browser("POST", "/scenarios/runs/r1/repeat", given)
        _, form, _ = await browser("GET", "/scenarios/count-orders?run=r1")
    assert answer.headers["location"] == "/scenarios/runs/r3"
    sent = api.last("POST /scenarios/runs/r1/repeat")
    assert (sent.query, sent.headers["idempotency-key"]) == ({"anew": "true"}, "k2")
    assert 'name="weeks_back" value="3"' in form


async def test_the_history_is_narrowed_and_turned_over() -> None:
    api = Api(says=dict(SAYS))
    async with pages_over(api) as browser:
        _, runs, _ = await browser("GET", "/scenarios/runs?state=done&who=ada")
    assert 'href="/scenarios/runs?state=done&amp;who=ada&amp;before=r0"' in runs
    assert api.last("GET /scenarios/runs").query == {"state": "done", "who": "ada", "limit": "30"}


async def test_clients_are_offered_no_names_that_they_may_not_see() -> None:
    api = Api(roles=("client",), says=dict(SAYS))
    async with pages_over(api) as browser:
        status, form, _ = await browser("GET", "/scenarios/count-orders")
    assert status == 200
    assert 'name="dataset"' in form
    assert not [one for one in api.asked if one.path == "/storage/datasets"]


async def test_a_report_is_framed_without_any_rights() -> None:
    api = Api(says=dict(SAYS))
    api.says["GET /scenarios/runs/r1/files/report.html"] = Response("<p>hi", media_type="text/html")
    async with pages_over(api) as browser:
        _, reports, _ = await browser("GET", "/reports")
        _, shown, page = await browser("GET", "/reports/r1")
        _, body, document = await browser("GET", "/reports/r1/document")
    assert 'href="/reports/r1"' in reports
    assert re.search(r'<iframe [^>]*src="/reports/r1/document" sandbox ', shown)
    assert "frame-src 'self'" in page.headers["content-security-policy"]
    assert body == "<p>hi"
    policy = document.headers["content-security-policy"]
    assert policy.endswith("; sandbox")
    assert "frame-ancestors 'self'" in policy
    assert "script" not in policy
    assert document.headers["x-frame-options"] == "SAMEORIGIN"
