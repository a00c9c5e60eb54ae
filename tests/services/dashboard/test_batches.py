"""Files of orders on their pages: sent on in pieces, priced, begun once, and told of."""

from typing import Any

from foodex.core.errors import FieldProblem, InvalidInput, NotFound
from tests.services.dashboard.said_api import CLIENT, OPERATOR, PRICES, Api, pages_over

FILE = "0123456789abcdef-orders.csv"
PRICE = {"operation": "eta_batch", "unit_minor": 1, "currency": "EUR", "model": "m", "quantity": 4}
FORM = {"file": FILE, "once": "n1", "output": "csv"}


def job(**values: Any) -> dict[str, Any]:
    return {
        "id": "j1",
        "kind": "predict_file",
        "parameters": {"file": FILE, "mapping": None, "model": None, "output": "csv"},
        "state": "done",
        "progress": 1.0,
        "message": "",
        "created_at": "2026-11-21T10:00:00Z",
        "finished_at": "2026-11-21T10:00:05Z",
        "seconds_left": None,
        "price": PRICE,
        "units_done": 3,
        "settled": True,
        "result": {
            "rows": 4,
            "forecast": 3,
            "refused": 1,
            "model": "m",
            "version": 2,
            "file": "predictions.csv",
        },
        "files": [
            {"name": "predictions.csv", "size_bytes": 900},
            {"name": "rejected.csv", "size_bytes": 90},
        ],
        "error": None,
        "error_type": None,
        "problems": [],
    } | values


def api(me: Any = CLIENT, **says: Any) -> Api:
    return Api(
        {
            "GET /accounts/me": me,
            "GET /accounts/prices": PRICES,
            "GET /ml/models": [{"name": "m"}],
            "GET /collector/mappings": ["<u>ours</u>"],
            "GET /jobs": {"jobs": [], "next_before": None},
            "GET /jobs/j1": job(),
            "GET /jobs/j1/files/rejected.csv": (
                b"row,field,rule,reason,as_it_came\n"
                b"4,subtotal_minor,out_of_range,'-300 <b>is</b>,{}\n"
                b"5,cut"
            ),
            "POST /predictions/batches": {"id": "j1"},
            "POST /predictions/quotes": {"units": 4, "price": PRICE},
            "POST /predictions/files": {"file": FILE, "size_bytes": 5, "kept_until": ""},
        }
        | says
    )


async def test_a_file_is_sent_on_and_leads_to_its_price() -> None:
    door = api()
    async with pages_over(door) as pages:
        sent = await pages("POST", "/batches/files?name=o%20r.csv", b"a,b\n", part=True)
        assert sent.headers["hx-redirect"] == f"/batches/new?file={FILE}&bytes=5"
        new = await pages("GET", f"/batches/new?file={FILE}&bytes=5")
        quote = await pages("POST", "/batches/quote", FORM, part=True)
    (asked,) = door.all("POST", "/predictions/files")
    assert (asked.body, asked.query) == (b"a,b\n", {"name": ["o r.csv"]})
    assert "orders.csv" in new.text
    for told in ("0.04", "5.00", "4.96"):
        assert told in quote.text
    assert "Start" in quote.text
    assert door.all("POST", "/predictions/batches") == []


async def test_what_the_balance_does_not_cover_cannot_be_begun() -> None:
    async with pages_over(api({**CLIENT, "balance_minor": 1})) as pages:
        quote = await pages("POST", "/batches/quote", FORM, part=True)
    assert "/account/top-up?amount=0.03" in quote.text
    assert "Start" not in quote.text


async def test_a_file_of_the_wrong_kind_is_told_in_its_place() -> None:
    wrong = InvalidInput("x.png is a picture", problems=[FieldProblem("file", "<i>no</i>")])
    async with pages_over(api(**{"POST /predictions/quotes": wrong})) as pages:
        quote = await pages("POST", "/batches/quote", FORM, part=True)
    assert quote.status == 200
    assert "x.png is a picture" in quote.text
    assert "&lt;i&gt;no" in quote.text
    assert "hx-retarget" not in quote.headers


async def test_one_form_begins_one_job_for_one_choice() -> None:
    door = api()
    async with pages_over(door) as pages:
        for given in (FORM, FORM, FORM | {"output": "parquet"}):
            begun = await pages("POST", "/batches", given)
            assert (begun.status, begun.headers["location"]) == (303, "/batches/j1")
    first, again, other = door.all("POST", "/predictions/batches")
    assert first.json == {"file": FILE, "output": "csv"}
    assert first.headers["idempotency-key"] == again.headers["idempotency-key"]
    assert first.headers["idempotency-key"] != other.headers["idempotency-key"]


async def test_what_became_of_a_file_is_told_with_its_bad_rows() -> None:
    door = api()
    async with pages_over(door) as pages:
        page = await pages("GET", "/batches/j1")
        file = await pages("GET", "/batches/j1/files/rejected.csv")
        door.says["GET /jobs/j1"] = job(kind="train")
        assert (await pages("GET", "/batches/j1")).status == 404
        door.says["GET /jobs/j1"] = NotFound()
        assert (await pages("GET", "/batches/j1")).status == 404
    for told in ("0.03", "0.01", "Price of the basket", "-300 &lt;b&gt;is"):
        assert told in page.text
    assert "cut" not in page.text
    assert file.text.startswith("row,field")


async def test_a_failed_file_says_why_and_its_money_is_settled() -> None:
    failed = job(
        state="failed", result=None, files=[], error="The file cannot be read", units_done=0,
        problems=[{"field": "items", "message": "is odd", "row": 3}],
    )  # fmt: skip
    async with pages_over(api(**{"GET /jobs/j1": failed})) as pages:
        page = await pages("GET", "/batches/j1")
    assert "The file cannot be read" in page.text
    assert "row 3, items: is odd" in page.text
    assert "0.00" in page.text


async def test_the_house_chooses_and_pays_nothing() -> None:
    door = api(OPERATOR, **{"POST /predictions/quotes": {"units": 4, "price": None}})
    door.says["GET /jobs"] = {"jobs": [job(price=None)], "next_before": "j0"}
    async with pages_over(door) as pages:
        new = await pages("GET", f"/batches/new?file={FILE}&bytes=x")
        quote = await pages("POST", "/batches/quote", FORM, part=True)
        listed = await pages("GET", "/batches")
    assert "&lt;u&gt;ours&lt;/u&gt;" in new.text
    assert "Free" in quote.text
    assert "/batches?before=j0" in listed.text
    (asked,) = door.all("GET", "/jobs")
    assert asked.query["who"] == ["olga"]
    assert asked.query["kind"] == ["predict_file"]
