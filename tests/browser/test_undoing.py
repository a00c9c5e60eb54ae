"""What can be stopped and taken away again: loads, runs, rows, data sets, trainings, models.

And names with markup in them, which are text wherever they are shown.
"""

import json
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

import pytest
from playwright.sync_api import FilePayload, Locator, Page, expect

from tests.browser.conftest import PageAs, People
from tests.browser.test_people import MARKUP, agree

_TIMED = pytest.mark.timeout(180)
_LINEAR: Final = {"algorithm": "linear_regression"}
_SLOW: Final = {"algorithm": "random_forest", "parameters": {"n_estimators": 50_000}}
"""A training that nobody waits for."""


class Shop:
    """A shop whose orders are at an address; until `answers` is set, it keeps all waiting."""

    def __init__(self) -> None:
        self.answers = threading.Event()
        self.answers.set()
        begins = datetime.fromisoformat("2026-09-01T08:00:00+03:00")
        self.orders: list[dict[str, Any]] = [
            {
                "Order": f"{MARKUP}{n}",
                "Placed": (begins + timedelta(minutes=11 * n)).isoformat(),
                "Took (min)": 20 + n % 25,
                "Kitchen": MARKUP if n % 4 == 0 else "plain",
            }
            for n in range(120)
        ]
        shop = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                shop.answers.wait(30)
                body = json.dumps(shop.orders).encode()
                try:
                    self.send_response(200)
                    self.send_header("content-type", "application/json")
                    self.end_headers()
                    self.wfile.write(body)
                except OSError:
                    pass  # Whoever asked has gone.

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        """Where the orders are."""
        return f"http://127.0.0.1:{self.server.server_port}/orders"


@pytest.fixture
def shop() -> Iterator[Shop]:
    """A shop that is open until the test ends."""
    made = Shop()
    thread = threading.Thread(target=made.server.serve_forever)
    thread.start()
    yield made
    made.answers.set()
    made.server.shutdown()
    thread.join()
    made.server.server_close()


def rows_of(people: People, dataset: str) -> int:
    """How many rows a data set has."""
    return int(people.ask("analyst", "GET", f"/storage/datasets/{dataset}")["rows"])


def without(people: People, *paths: str) -> None:
    """Take away what a test added."""
    for path in paths:
        people.ask("analyst", "DELETE", path)


@_TIMED
def test_a_source_is_loaded_again_stopped_and_taken_away(
    page_as: PageAs, people: People, shop: Shop
) -> None:
    page = page_as("analyst", expected=["422"])
    page.goto("/data/sources")

    def add(location: str) -> None:
        page.get_by_label("Name").fill("corner_shop")
        page.get_by_label("Address or path").fill(location)
        page.get_by_role("button", name="Add the source").dblclick()

    add("ftp://corner.example")
    expect(page.get_by_role("alert").first).to_contain_text("begins with http")
    add(shop.url)
    page.wait_for_url("**/data/sources/corner_shop")
    page.get_by_role("link", name="Fetch the next batch").click()
    expect(page.locator("tbody tr").first).to_contain_text(f"{MARKUP}0")
    page.get_by_role("link", name="Map and import").click()
    page.get_by_label("Where does the business live?").fill("Europe/Helsinki")
    page.get_by_label("Where does the business live?").press("Tab")
    expect(page.locator("#trial")).to_contain_text("100%")
    page.locator(".mapping-side").get_by_role("button", name="Import").click()
    page.wait_for_url("**/data/loads/*")
    expect(page.get_by_role("heading", level=1)).to_have_text("corner_shop")
    page.get_by_role("link", name="Open the data set").click()
    assert rows_of(people, "corner_shop") == 120

    # The source knows by now what becomes of its rows.
    shop.answers.clear()
    page.goto("/data/sources/corner_shop")
    page.get_by_role("button", name="Import into corner_shop").dblclick()
    page.wait_for_url("**/data/loads/*")
    page.get_by_role("button", name="Cancel the import").click()
    agree(page, says="Nothing of it will stay")
    expect(page.get_by_text("The import was cancelled")).to_be_visible()
    page.goto("/data/loads")
    expect(page.locator("tbody tr").first).to_contain_text("Cancelled")

    # A run that waits on the shop; the admin's, for another test counts the analyst's.
    boss = page_as("admin")
    boss.goto("/scenarios/collect-data")
    boss.get_by_label("Source").first.select_option("corner_shop")
    boss.get_by_role("button", name="Run it").dblclick()
    boss.wait_for_url("**/scenarios/runs/*")
    boss.get_by_role("button", name="Stop it").click()
    agree(boss, says="thrown away")
    expect(boss.get_by_text("This run was stopped")).to_be_visible()
    shop.answers.set()
    assert rows_of(people, "corner_shop") == 120

    page.goto("/data/sets/corner_shop")
    page.get_by_label("Field").select_option("store_id")
    page.get_by_label("Value", exact=True).fill(MARKUP)
    page.get_by_role("button", name="Filter").click()
    expect(page.locator(".filter-chips")).to_contain_text(MARKUP)
    page.get_by_role("button", name="Delete all rows that fit").click()
    agree(page, says="cannot be undone")
    expect(page.get_by_text("30 rows were deleted.")).to_be_visible()
    assert rows_of(people, "corner_shop") == 90
    delete = page.get_by_role("button", name="Delete the data set")
    delete.click()
    page.locator("#confirm [value=no]").click()
    delete.click()
    agree(page, says="corner_shop")
    page.wait_for_url("**/data")
    expect(page.get_by_role("table", name="Data sets").get_by_text("corner_shop")).to_have_count(0)
    page.goto("/data/sources/corner_shop")
    page.get_by_role("button", name="Remove").click()
    agree(page, says="corner_shop")
    page.wait_for_url("**/data/sources")
    expect(page.get_by_role("link", name="corner_shop")).to_have_count(0)
    without(people, "/collector/mappings/corner_shop")


@_TIMED
def test_trainings_are_stopped_and_models_taken_away(page_as: PageAs, people: People) -> None:
    wish = {"model": "passing", "dataset": "demo_city"}
    for _ in range(2):
        job = people.ask("analyst", "POST", "/ml/trainings", wish | _LINEAR)
        people.running.ended(f"/ml/jobs/{job['id']}")
    job = people.ask("analyst", "POST", "/ml/trainings", wish | _SLOW)
    people.running.follow(f"/ml/jobs/{job['id']}", lambda found: found["state"] == "running")
    page = page_as("analyst")
    page.goto("/models")
    page.get_by_role("button", name="Stop").click()
    agree(page, says="passing")
    expect(page.get_by_role("button", name="Stop")).to_have_count(0)
    assert people.running.ended(f"/ml/jobs/{job['id']}")["state"] == "cancelled"

    page.goto("/models/passing")

    def row(version: int) -> Locator:
        link = page.get_by_role("link", name=f"Version {version}", exact=True)
        return page.get_by_role("row").filter(has=link)

    row(2).get_by_role("button", name="Promote").click()
    agree(page, says="Put version 2 of passing into production")
    expect(row(2)).to_contain_text("Answers now")
    page.get_by_role("button", name="Back to version 1").click()
    agree(page, says="Put version 1 of passing back")
    expect(row(1)).to_contain_text("Answers now")
    row(2).get_by_role("button", name="Delete").click()
    agree(page, says="Delete version 2 of passing")
    expect(row(2)).to_have_count(0)
    page.get_by_role("button", name="Take out of production").click()
    agree(page, says="Version 1 answers no more")
    page.locator(".page-actions").get_by_role("button", name="Delete").click()
    agree(page, says="Delete passing with all its versions (1)")
    page.wait_for_url("**/models")
    expect(page.get_by_role("link", name="passing")).to_have_count(0)
    log = page.locator("tr").filter(has_text="passing")
    for what in ("Promoted", "Rolled back", "Taken out"):
        expect(log.filter(has_text=what).first).to_be_visible()


@_TIMED
def test_markup_in_names_is_text(page_as: PageAs, people: People) -> None:
    page = page_as("analyst")
    page.goto("/data")
    lines = [
        f"{MARKUP},2026-09-01T{8 + n % 12:02}:{n % 60:02}:00,{20 + n},1,60.17,24.94"
        for n in range(40)
    ]
    quoted = [line.replace(MARKUP, '"<b>x</b>""\'&"') for line in lines]
    file: FilePayload = {
        "name": f"{MARKUP}.csv",
        "mimeType": "text/csv",
        "buffer": "\n".join(["shop,placed,took,<i>n</i>,store_lat,store_lon", *quoted]).encode(),
    }
    page.locator("[data-upload] input[type=file]").first.set_input_files(file)
    page.wait_for_url("**/data/import?*")
    page.get_by_label("Where does the business live?").fill("Europe/Helsinki")
    page.get_by_label("Where does the business live?").press("Tab")
    expect(page.locator("#trial")).to_contain_text("100%")
    expect(page.get_by_role("columnheader", name="<i>n</i>")).to_be_visible()
    page.get_by_label("Data set to fill").fill("marked")
    page.get_by_label("Keep the mapping as").fill("marked")
    page.locator(".mapping-side").get_by_role("button", name="Import").click()
    page.get_by_role("link", name="Open the data set").click()
    page.get_by_label("What is in it").fill(MARKUP)
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".lead")).to_have_text(MARKUP)
    expect(page.locator("tbody tr").first).to_contain_text(MARKUP)
    page.goto("/?dataset=marked&days=365")
    expect(page.get_by_role("row").filter(has_text=MARKUP).first).to_be_visible()

    page.goto("/data/sql")
    question = page.get_by_label("Question", exact=True)
    question.fill("SELECT store_id, count() AS `<i>n</i>` FROM processed_marked GROUP BY 1")
    question.press("Control+Enter")
    expect(page.locator("[data-result] thead")).to_contain_text("<i>n</i>")
    page.get_by_role("button", name="Chart", exact=True).click()
    expect(page.locator("[data-place] svg")).to_contain_text(MARKUP)
    page.locator("[data-place] svg").hover()
    expect(page.locator("[data-place]").get_by_text("<i>n</i>").last).to_be_visible()
    nothing_made_of_markup(page)
    without(people, "/storage/datasets/marked", "/storage/datasets/marked?layer=raw")
    without(people, "/collector/mappings/marked")

    # People and models cannot be called so; what is typed is told back as it is.
    admin = page_as("admin", expected=["422"])
    admin.goto("/admin/people/new")
    admin.get_by_label("Name").fill(MARKUP)
    admin.get_by_role("button", name="Add", exact=True).click()
    expect(admin.get_by_role("alert").first).to_contain_text("name")
    expect(admin.get_by_label("Name")).to_have_value(MARKUP)
    client = page_as("client")
    client.goto("/account/keys")
    client.get_by_label("Name").fill(MARKUP)
    client.get_by_role("button", name="Make the key").click()
    expect(client.locator(".account-made h2")).to_contain_text(MARKUP)
    client.get_by_role("row").filter(has_text=MARKUP).get_by_role("button").click()
    agree(client, says=MARKUP)
    expect(client.get_by_role("row").filter(has_text=MARKUP)).to_contain_text("Revoked")
    nothing_made_of_markup(client)


def nothing_made_of_markup(page: Page) -> None:
    """No element came of a name."""
    made = page.evaluate(
        """[...document.querySelectorAll("b, i:not([class])")].map(one => one.outerHTML)"""
    )
    assert [one for one in made if one in ("<b>x</b>", "<i>n</i>")] == []
