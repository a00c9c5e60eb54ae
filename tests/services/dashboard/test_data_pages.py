"""Pages of data over an API that is told what to say."""

import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from starlette.responses import Response

from foodex.services.dashboard.catalogue import read
from foodex.services.dashboard.pages.data import by_name, first_columns
from foodex.services.dashboard.pages.data_sources import source_of
from tests.services.dashboard.stub_api import Api, pages_over
from tests.services.dashboard.test_first_run import dataset, load

UPLOAD = "collector/uploads/ab12/Our orders.csv"
SUGGESTION: dict[str, Any] = {
    "toml": 'time_zone = "?"\n[fields]\nplaced_at = { column = "When", formats = ["iso"] }\n'
    'delivery_minutes = { column = "Took" }\n',
    "guesses": [
        {"column": "When", "field": "placed_at", "confidence": 0.9, "reason": "by its name"},
        {"column": "Took", "field": "delivery_minutes", "confidence": 0.5, "reason": "mostly"},
        {"column": "<i>Stars</i>", "field": None, "confidence": 0.8, "reason": "left out: told"},
    ],
    "questions": ["In which time zone does the business live?"],
    "sample": [{"When": "2026-03-02 18:42", "Took": "31", "<i>Stars</i>": "5"}],
}
TRIAL: dict[str, Any] = {
    "rows_read": 1000,
    "rows_kept": 990,
    "rejected_by_rule": {"bad_time": 10},
    "repaired": {},
    "rows": [{"placed_at": "2026-03-02T16:42:00Z", "delivery_minutes": 31.0}],
    "rejections": [{"row": 4, "rule": "bad_time", "field": "placed_at", "reason": "no time"}],
}
REQUIRED = {"field": "fields.delivery_minutes", "message": "is required: the duration"}
ASKED = {"detail": "The mapping has 1 mistake", "problems": [REQUIRED]}


def api() -> Api:
    return Api(
        says={
            "POST /collector/mappings/suggest": SUGGESTION,
            "POST /collector/mappings/try": TRIAL,
            "GET /collector/mappings": ["last_year"],
            "PUT /collector/mappings/orders": Response(status_code=204),
            "POST /collector/loads": {"id": 12},
        }
    )


def form(**changes: str) -> dict[str, str]:
    facts = {"columns": {"When": ["2026-03-02 18:42"], "Took": ["31"]}}
    return {
        "upload": UPLOAD,
        "source": "",
        "to": "",
        "facts": json.dumps(facts),
        "base": SUGGESTION["toml"],
        "zone": "Europe/Helsinki",
        "dataset": "orders",
        "keep_as": "orders",
        "reference": "once",
    } | changes


async def test_a_file_is_passed_on_and_leads_to_its_mapping() -> None:
    there = api()
    there.says["POST /collector/uploads"] = {"location": UPLOAD}
    async with pages_over(there) as browser:
        status, _, answer = await browser(
            "POST", "/data/uploads?name=Our%20orders.csv", b"a,b\n1,2\n", hx_request="true"
        )
        assert (status, there.last("POST /collector/uploads").body) == (204, b"a,b\n1,2\n")
        next_page = urlsplit(answer.headers["hx-redirect"])
        assert (next_page.path, parse_qs(next_page.query)) == ("/data/import", {"upload": [UPLOAD]})
        _, _, answer = await browser("POST", "/data/uploads?name=a.csv&to=welcome", b"x")
        assert answer.headers["location"].startswith("/welcome?upload=")


async def test_the_mapping_shows_what_was_guessed_and_asks_for_the_rest() -> None:
    there = api()
    there.refuses("POST /collector/mappings/try", 422, "invalid-input", problems=[
        {"field": "time_zone", "message": "only you can answer this"}])  # fmt: skip
    async with pages_over(there) as browser:
        status, text, _ = await browser("GET", f"/data/import/mapping?upload={UPLOAD}")
    assert status == 200
    assert "Say where the business lives" in text
    assert "Sure 90%" in text
    assert "Doubtful 50%" in text
    assert "&lt;i&gt;Stars&lt;/i&gt;" in text
    assert "<i>Stars" not in text
    assert 'value="our_orders"' in text
    assert "Kept mapping: last_year" in text


async def test_a_change_shows_what_would_come_of_it() -> None:
    there = api()
    async with pages_over(there) as browser:
        sent = form(**{"column.placed_at": "Took"})
        status, text, _ = await browser(
            "POST",
            "/data/import/check",
            sent,
            hx_request="true",
            hx_trigger_name="column.placed_at",
        )
    assert status == 200
    assert "99%" in text
    assert "A time that cannot be read" in text
    assert 'id="map-placed_at"' in text
    assert 'hx-swap-oob="true"' in text
    tried = there.last("POST /collector/mappings/try").json
    assert tried["source"] == {"name": "our_orders", "kind": "upload", "location": UPLOAD}
    assert 'time_zone = "Europe/Helsinki"' in tried["toml"]


async def test_a_mapping_corrected_as_text_is_taken_at_its_word() -> None:
    there = api()
    async with pages_over(there) as browser:
        written = 'time_zone = "UTC"\r\n[fields]\r\nplaced_at = { column = "Took" }\r\n'
        _, text, answer = await browser("POST", "/data/import/check", form(written=written))
        assert answer.headers["hx-retarget"] == "#mapping-part"
        assert 'value="UTC"' in text
        # Line ends alone are no correction.
        same = SUGGESTION["toml"].replace("\n", "\r\n")
        _, _, answer = await browser("POST", "/data/import/check", form(written=same))
        assert "hx-retarget" not in answer.headers


async def test_an_import_keeps_the_mapping_and_begins_once() -> None:
    there = api()
    async with pages_over(there) as browser:
        status, _, answer = await browser("POST", "/data/import", form())
        assert (status, answer.headers["location"]) == (303, "/data/loads/12")
        _, _, answer = await browser("POST", "/data/import", form(to="welcome"))
        assert answer.headers["location"] == "/welcome?dataset=orders&load=12"
    wish = there.last("POST /collector/loads").json
    assert (wish["mapping"], wish["dataset"], wish["reference"]) == ("orders", "orders", "once")


async def test_a_mapping_without_what_is_needed_is_shown_again_with_its_choices() -> None:
    there = api()
    for what in ("PUT /collector/mappings/orders", "POST /collector/mappings/try"):
        there.refuses(what, 422, "invalid-input", **ASKED)
    async with pages_over(there) as browser:
        status, text, _ = await browser("POST", "/data/import", form(zone="Asia/Tokyo"))
        assert status == 422
        assert text.count("Choose the column that says how long the delivery took") == 1
        assert 'value="Asia/Tokyo"' in text
        status, text, _ = await browser("POST", "/data/import", form(keep_as="../x"))
        assert status == 422
        assert "name has small letters" in text
    assert not [one for one in there.asked if one.path == "/collector/loads"]


async def test_a_file_that_is_none_is_told_in_its_place() -> None:
    there = api()
    there.refuses("POST /collector/mappings/suggest", 422, "invalid-input", detail="x.pdf is a PDF")
    async with pages_over(there) as browser:
        status, text, _ = await browser("GET", f"/data/import/mapping?upload={UPLOAD}")
    assert status == 200
    assert "x.pdf is a PDF" in text
    assert "data-upload" in text


async def test_rows_are_asked_for_by_what_the_address_says() -> None:
    there = Api()
    columns = [{"name": name, "kind": kind, "meaning": ""} for name, kind in (
        ("order_id", "text"), ("placed_at", "time"), ("note", "category"))]  # fmt: skip
    there.says["GET /storage/datasets"] = [dataset("ours", columns=columns)]
    row = {"order_id": "A", "placed_at": None, "note": "<script>"}
    there.says["GET /storage/datasets/ours/rows"] = {"rows": [row], "next_after": 40}
    async with pages_over(there) as browser:
        path = "/data/sets/ours?column=note&where=note:contains:a%3Ab"
        status, text, _ = await browser("GET", path)
        assert status == 200
        assert "&lt;script&gt;" in text
        assert "after=40" in text
        assert there.last("GET /storage/datasets/ours/rows").query["where"] == "note:contains:a:b"
        status, _, answer = await browser(
            "GET", "/data/sets/ours?field=note&comparison=eq&value=a%26b&where=order_id:eq:1"
        )
        assert answer.headers["location"] == (
            "/data/sets/ours?where=order_id%3Aeq%3A1&where=note%3Aeq%3Aa%26b"
        )
        there.refuses("GET /storage/datasets/ours/rows", 422, "invalid-input", detail="no such")
        status, text, _ = await browser("GET", "/data/sets/ours?where=note:gt:x")
        assert status == 422
        assert "no such" in text
        assert "data-confirm" in text


async def test_deleting_takes_both_layers_and_is_for_analysts() -> None:
    there = Api()
    there.says = {
        "GET /storage/datasets": [dataset("ours"), dataset("ours", layer="raw"), dataset("b")],
        "DELETE /storage/datasets/ours": Response(status_code=204),
    }
    async with pages_over(there) as browser:
        await browser("POST", "/data/sets/ours/delete")
        gone = [one.query["layer"] for one in there.asked if one.method == "DELETE"]
        assert gone == ["processed", "raw"]
        there.roles = ("operator",)
        for path in ("/data/sets/ours/delete", "/data/import", "/data/sources/a/delete"):
            assert (await browser("POST", path))[0] == 403


@pytest.mark.parametrize(
    ("state", "told"),
    [
        ("duplicate", "Nothing was added"),
        ("cancelled", "Nothing of it stayed"),
        ("failed", "half written"),
        ("running", "/data/loads/7/events"),
    ],
)
async def test_how_a_load_ended_is_said(state: str, told: str) -> None:
    there = Api()
    found = load("ours", state, error="half written", started_at="2026-11-01T00:00:00Z",
                 finished_at=None, duration_seconds=None, who="ada")  # fmt: skip
    there.says = {"GET /collector/loads/7": found, "GET /collector/loads/7/rejections": []}
    async with pages_over(there) as browser:
        status, text, _ = await browser("GET", "/data/loads/7")
    assert status == 200
    assert told in text


async def test_a_question_is_answered_or_its_error_shown_beside_it() -> None:
    there = Api()
    there.says["GET /storage/datasets"] = [dataset("ours")]
    answer = {"columns": [{"name": "n", "kind": "integer", "meaning": ""}], "rows": [[7]],
              "truncated": True, "elapsed_seconds": 0.1}  # fmt: skip
    there.says["POST /storage/query"] = answer
    async with pages_over(there) as browser:
        _, text, _ = await browser("POST", "/data/sql", {"sql": "SELECT 7"}, hx_request="true")
        assert "The answer was cut" in text
        assert "<html" not in text
        _, text, _ = await browser("POST", "/data/sql", {"sql": "SELECT '</script>'"})
        assert "SELECT &#39;&lt;/script&gt;&#39;" in text
        there.refuses("POST /storage/query", 422, "invalid-input", detail="Only questions")
        status, text, _ = await browser("POST", "/data/sql", {"sql": "DROP"}, hx_request="true")
        assert (status, "Only questions" in text) == (200, True)


async def test_rows_that_fit_are_deleted_and_never_all_by_mistake() -> None:
    there = Api()
    there.says["DELETE /storage/datasets/ours/rows"] = {"rows": 3}
    async with pages_over(there) as browser:
        path = "/data/sets/ours/rows/delete"
        status, _, answer = await browser("POST", f"{path}?layer=raw", {"where": "city:eq:Espoo"})
        assert (status, answer.headers["location"]) == (
            303,
            "/data/sets/ours?layer=raw&deleted=3",
        )
        asked = there.last("DELETE /storage/datasets/ours/rows")
        assert asked.query == {"layer": "raw", "where": "city:eq:Espoo"}
        status, text, _ = await browser("POST", path, {"where": ""})
        assert (status, "must say which rows" in text) == (422, True)
    assert sum(one.method == "DELETE" for one in there.asked) == 1


def test_a_source_is_read_from_its_form() -> None:
    given = {
        "name": "shop",
        "kind": "http",
        "location": " https://x ",
        "paging": "page",
        "rows": "data",
        "size": "50",
        "headers": "x-token: a:b\r\n",
        "mapping": "",
    }
    source = source_of(given)
    assert source["paging"] == {"kind": "page", "rows": "data", "size": 50}
    assert source["headers"] == {"x-token": "a:b"}
    assert (source["location"], source["mapping"], source["dataset"]) == ("https://x", None, None)
    folder = source_of({"name": "f", "kind": "folder", "location": "/x", "paging": "page"})
    assert (folder["paging"], folder["headers"]) == ({}, {})
    with pytest.raises(Exception, match="headers"):
        source_of(given | {"headers": "nonsense"})


def test_layers_of_one_name_are_one_line() -> None:
    found = by_name([dataset("a"), dataset("a", layer="raw", rows=9), dataset("b", layer="raw")])
    assert [(one["name"], one["layer"], one["raw_rows"]) for one in found] == [
        ("a", "processed", 9),
        ("b", "raw", 500),
    ]
    assert first_columns(["x", "order_id", "placed_at", "store_id"])[0] == "order_id"
    assert first_columns([str(n) for n in range(20)]) == [str(n) for n in range(10)]


@pytest.mark.parametrize("language", ["en", "ru"])
def test_every_rule_has_words(language: str) -> None:
    rules = [
        *("broken_line", "skipped", "missing_time", "missing_duration", "bad_time", "bad_number"),
        *("bad_weekday", "out_of_range", "negative_duration", "impossible_coordinate"),
        *("doubtful_coordinate", "duplicate_order"),
    ]
    assert [rule for rule in rules if f"data.rule.{rule}" not in read(language)] == []
