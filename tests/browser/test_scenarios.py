"""Every scenario from its form to its result, versions promoted and rolled back, costs."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import PageAs, People

pytestmark = pytest.mark.timeout(300)

DATA: Final = "demo_city"
RIVAL: Final = "rival"
_MINUTES_MS: Final = 120_000
MAPPING: Final = """
time_zone = "UTC"
[fields]
order_id = { column = "order_id" }
placed_at = { column = "placed_at", formats = ["%Y-%m-%d %H:%M"] }
delivery_minutes = { column = "minutes", unit = "minutes" }
"""
PAST: Final = "order_id,placed_at,minutes\nS-1,2026-03-01 10:00,31\nS-2,2026-03-01 11:00,soon\n"
ORDERS: Final = "order_id,distance_km,items\nA-1,2.4,3\nA-2,1.1,1\n"


@dataclass(frozen=True, slots=True)
class Desk:
    """Where files lie that are sent, and the last day of the demonstration's orders."""

    folder: Path
    day: str


def choose(page: Page, label: str, value: str) -> None:
    page.get_by_label(label).select_option(value)


def send(page: Page, desk: Desk, name: str, text: str) -> None:
    path = desk.folder / name
    path.write_text(text)
    page.locator("input[type=file]").set_input_files(path)
    expect(page.locator(".sent-file")).to_contain_text(name)


def train(page: Page, desk: Desk) -> None:
    page.get_by_label("Model", exact=True).fill(RIVAL)
    choose(page, "Data set", DATA)
    choose(page, "How it learns", "linear_regression")
    page.get_by_label("Vehicle").check()


def collect(page: Page, desk: Desk) -> None:
    send(page, desk, "past.csv", PAST)
    choose(page, "Mapping", "browser")
    page.get_by_label("Data set").fill("browser")


def predict_file(page: Page, desk: Desk) -> None:
    send(page, desk, "orders.csv", ORDERS)


def predict_order(page: Page, desk: Desk) -> None:
    page.get_by_label("Items", exact=True).fill("5")


def report_model(page: Page, desk: Desk) -> None:
    choose(page, "Model", f"{DATA}:1")
    page.get_by_label("From").fill(f"{desk.day}T08:00")


def report_period(page: Page, desk: Desk) -> None:
    choose(page, "Data set", DATA)
    page.get_by_label("Days").fill("2")


def plan_costs(page: Page, desk: Desk) -> None:
    page.get_by_label("Predictions a month").fill("2000000")


def what_if(page: Page, desk: Desk) -> None:
    choose(page, "Data set", DATA)
    choose(page, "Model", f"{DATA}:1")
    page.get_by_label("Quantile that is promised").fill("0.9")


def compare(page: Page, desk: Desk) -> None:
    for version in (f"{DATA}:1", f"{RIVAL}:1"):
        page.get_by_label(version, exact=True).check()
    choose(page, "Data set", DATA)


Fill = Callable[[Page, Desk], None]
AT_ONCE: Final[dict[str, tuple[Fill, str]]] = {
    # What takes longest is begun first.
    "train-model": (train, f"{RIVAL}:1 learned from"),
    "report-model": (report_model, "The forecast misses by"),
    "what-if": (what_if, "would have been on time"),
    "collect-data": (collect, "1 row taken into 'browser'"),
    "predict-file": (predict_file, "2 orders"),
    "report-period": (report_period, "orders were placed on 2 days"),
    "plan-costs": (plan_costs, "carries it cheapest"),
    "predict-order": (predict_order, "Promise"),
}
LATER: Final[dict[str, tuple[Fill, str]]] = {
    "compare-models": (compare, f"{RIVAL}:1"),
}


def begun(page: Page, desk: Desk, name: str, fill: Fill) -> str:
    """The address of a run that was begun by its form, clicked twice."""
    page.goto(f"/scenarios/{name}")
    fill(page, desk)
    page.get_by_role("button", name="Run it").dblclick()
    page.wait_for_url("**/scenarios/runs/*")
    return page.url


def test_every_scenario_from_its_form_to_its_result(
    page_as: PageAs, people: People, tmp_path: Path
) -> None:
    people.ask("analyst", "PUT", "/collector/mappings/browser", {"toml": MAPPING})
    offered = {one["name"] for one in people.ask("analyst", "GET", "/scenarios")}
    assert offered == {*AT_ONCE, *LATER}
    last_at = people.ask("analyst", "GET", f"/storage/datasets/{DATA}")["last_at"]
    desk = Desk(tmp_path, last_at[:10])
    page = page_as("analyst")
    runs: dict[str, str] = {}
    for together in (AT_ONCE, LATER):
        for name, (fill, _) in together.items():
            runs[name] = begun(page, desk, name, fill)
        for name, (_, says) in together.items():
            page.goto(runs[name])
            # The page is loaded again by itself when the run has ended.
            ended = page.locator(".outcome, main [role=alert]")
            expect(ended).to_be_visible(timeout=_MINUTES_MS)
            expect(ended).to_contain_text(says)
    mine = people.ask("analyst", "GET", "/scenarios/runs?who=demo-analyst")["runs"]
    assert sorted(run["scenario"] for run in mine) == sorted(runs), "each once"

    page.goto(runs["predict-file"])
    with page.expect_download() as fetched:
        page.get_by_role("link", name="Download predictions.csv").click()
    assert len(fetched.value.path().read_text().splitlines()) == 3

    page.goto(runs["report-period"])
    page.get_by_role("link", name="Read the report").click()
    document = page.frame_locator("iframe.report-frame")
    expect(document.get_by_role("heading", name="Deliveries")).to_be_visible()
    page.goto("/reports")
    row = page.get_by_role("row").filter(has_text="Report on a period").first
    with page.expect_download() as fetched:
        row.get_by_role("link", name="Download report.pdf").click()
    assert fetched.value.path().read_bytes().startswith(b"%PDF")


def test_a_wrong_parameter_is_told_at_its_field_and_nothing_typed_is_lost(page_as: PageAs) -> None:
    page = page_as("operator", expected=("422",))
    page.goto("/scenarios/what-if")
    page.get_by_label("Days").fill("3")
    page.get_by_role("button", name="Run it").click()
    alert = page.get_by_role("main").get_by_role("alert")
    expect(alert).to_contain_text("nothing is changed")
    expect(page.get_by_label("Days")).to_have_value("3")
    page.get_by_label("Quantile that is promised").fill("0.9")
    page.get_by_label("Longest promise").evaluate("field => field.removeAttribute('max')")
    page.get_by_text("More to choose").click()
    page.get_by_label("Longest promise").fill("9999")
    page.get_by_role("button", name="Run it").click()
    expect(page.locator("#f-ceiling_minutes-error")).to_contain_text("600")


def test_a_version_is_promoted_and_rolled_back(page_as: PageAs, people: People) -> None:
    newest = trained(people)
    page = page_as("analyst")
    page.goto(f"/models/{DATA}")
    row = page.get_by_role("row").filter(
        has=page.get_by_role("link", name=f"Version {newest}", exact=True)
    )
    row.get_by_role("button", name="Promote").click()
    expect(page.locator("#confirm-text")).to_contain_text(f"Put version {newest} of {DATA}")
    page.locator("#confirm [value=no]").click()
    expect(row.get_by_text("Answers now")).to_have_count(0)
    row.get_by_role("button", name="Promote").click()
    page.locator("[data-yes]").click()
    expect(row.get_by_text("Answers now")).to_be_visible()
    page.get_by_role("button", name="Back to version 1").click()
    expect(page.locator("#confirm-text")).to_contain_text("Put version 1")
    page.locator("[data-yes]").click()
    expect(page.get_by_role("row").filter(has_text="Rolled back").first).to_be_visible()
    assert people.ask("analyst", "GET", f"/ml/models/{DATA}")["production"] == 1
    page.get_by_role("link", name=f"Version {newest}", exact=True).click()
    expect(page.get_by_role("heading", name="Model card")).to_be_visible()
    expect(page.locator(".hash")).to_contain_text(re.compile("^[0-9a-f]{64}$"))


def trained(people: People) -> int:
    """The number of a new version that waits to be promoted."""
    asked: dict[str, Any] = {"model": DATA, "dataset": DATA, "algorithm": "linear_regression"}
    job = people.ask("analyst", "POST", "/ml/trainings", asked | {"without": ["vehicle"]})
    while job["state"] in ("waiting", "running"):
        seen = job["progress"]
        job = people.ask("analyst", "GET", f"/ml/jobs/{job['id']}?wait=20&seen={seen}")
    assert job["state"] == "done", job
    return int(job["result"]["version"])


def test_costs_follow_the_slider(page_as: PageAs) -> None:
    page = page_as("operator")
    page.goto("/costs")
    best = page.locator(".stage.best h2")
    expect(best).to_have_text("Laptop")
    slider = page.get_by_label("Predictions a month")
    slider.fill("8.5")
    expect(best).to_have_text("One server")
    expect(page.locator("[data-of=p]")).to_have_text("320,000,000")
    expect(page.locator("#plan [data-chart] svg")).to_be_visible()
    page.reload()
    expect(best).to_have_text("One server")
