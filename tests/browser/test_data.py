"""From a file of one's own to a judged model that answers, and the data behind it."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from foodex.city import export_as_company_csv, simulate_history
from tests.browser.conftest import PageAs

_TIMED = pytest.mark.timeout(300)
_WORK_MS = 120_000


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six days of a company's orders as its own system exports them."""
    orders = simulate_history(
        seed=5, start=datetime(2026, 9, 1, tzinfo=UTC), days=6, orders_per_day=100, stores=12
    )
    path = tmp_path_factory.mktemp("export") / "Corner kitchens.csv"
    path.write_bytes(export_as_company_csv(orders))
    return path


def _send(page: Page, path: Path) -> None:
    page.locator("[data-upload] input[type=file]").first.set_input_files(path)


def _import(page: Page) -> None:
    page.locator(".mapping-side").get_by_role("button", name="Import").click()


@_TIMED
def test_from_a_file_to_a_judged_model(page_as: PageAs, export: Path) -> None:
    page = page_as("analyst")
    page.goto("/welcome")
    _send(page, export)
    page.wait_for_url("**/welcome?upload=*")

    # What only a person knows is asked, and the page says so until it is told.
    trial = page.locator("#trial")
    expect(trial).to_contain_text("time zone")
    page.get_by_label("Where does the business live?").fill("Europe/Helsinki")
    page.get_by_label("Where does the business live?").press("Tab")
    expect(trial).to_contain_text("100%")
    # A wrong column shows at once what it would cost, and is put right again.
    took = page.get_by_label("Column of: Delivery took", exact=True)
    took.select_option("Cuisine")
    expect(trial).to_contain_text("Not a number")
    took.select_option("Total Duration (s)")
    page.get_by_label("Unit of: Delivery took").select_option("seconds")
    expect(trial).to_contain_text("100%")
    # The address holds the step: a reload and a second tab begin with the same file.
    page.reload()
    zone = page.get_by_label("Where does the business live?")
    zone.fill("Europe/Helsinki")
    zone.press("Tab")
    expect(trial).to_contain_text("100%")
    _import(page)

    page.wait_for_url("**/welcome?dataset=corner_kitchens*")
    expect(page.locator("#step-train")).to_have_attribute("aria-current", "step", timeout=_WORK_MS)
    page.get_by_label("How it learns").select_option("linear_regression")
    page.get_by_role("button", name="Begin learning").dblclick()
    judge = page.get_by_role("button", name="Judge it")
    judge.wait_for(timeout=_WORK_MS)
    judge.click()
    verdict = page.locator("#step-judge .alert")
    expect(verdict).to_contain_text("FoodEx", timeout=_WORK_MS)
    expect(page.locator("#step-judge tbody tr")).to_have_count(4)
    expect(page.locator("#step-judge tbody")).to_contain_text("Your own estimate")

    page.get_by_role("button", name="Ask for a first forecast").click()
    expect(page.locator("#first-forecast")).to_contain_text(re.compile(r"\d+\smin"))
    # Whoever comes later, or from elsewhere, stands at the same step.
    other = page.context.new_page()
    other.goto("/welcome")
    expect(other.locator("#step-use")).to_have_attribute("aria-current", "step")


@_TIMED
def test_the_same_file_again_and_files_that_are_none(
    page_as: PageAs, export: Path, tmp_path: Path
) -> None:
    page = page_as("analyst", expected=["422"])
    page.goto("/data")
    for _ in range(2):
        _send(page, export)
        page.wait_for_url("**/data/import?*")
        zone = page.get_by_label("Where does the business live?")
        zone.fill("Europe/Helsinki")
        zone.press("Tab")
        expect(page.locator("#trial")).to_contain_text("100%")
        page.get_by_label("Data set to fill").fill("twice")
        _import(page)
        page.wait_for_url("**/data/loads/*")
        expect(page.locator(".card .badge").first).to_have_text(re.compile("Done|Nothing new"))
        page.get_by_role("link", name="Data", exact=True).first.click()
        page.wait_for_url("**/data")
    page.goto("/data/loads")
    expect(page.locator("tbody tr").first).to_contain_text("Nothing new")

    wrong = tmp_path / "menu.pdf"
    wrong.write_bytes(b"%PDF-1.7 not orders")
    page.goto("/data")
    _send(page, wrong)
    expect(page.locator("#mapping-part .alert")).to_contain_text("PDF")
    colours = tmp_path / "colours.csv"
    colours.write_text("name,colour\nA,red\nB,blue\n")
    _send(page, colours)
    expect(page.get_by_role("heading", level=1)).to_have_text("Import colours.csv")
    _import(page)
    expect(page.locator("#mapping-part [role=alert]")).to_contain_text("time of the order")


@_TIMED
def test_rows_are_filtered_and_questions_asked(page_as: PageAs) -> None:
    page = page_as("analyst", expected=["422"])
    page.goto("/data/sets/demo_city")
    page.get_by_label("Field").select_option("delivery_minutes")
    page.get_by_label("Comparison").select_option("gt")
    page.get_by_label("Value", exact=True).fill("20")
    page.get_by_role("button", name="Filter").click()
    page.wait_for_url("**where=delivery_minutes*")
    expect(page.locator("tbody tr").first).to_be_visible()
    page.get_by_text("Download", exact=True).click()
    with page.expect_download() as began:
        page.get_by_role("link", name="NDJSON").click()
    assert began.value.path().read_text().startswith('{"')

    page.goto("/data/sql")
    page.get_by_label("Question", exact=True).fill(
        "SELECT store_category, count() AS orders FROM processed_demo_city GROUP BY 1"
    )
    page.get_by_label("Question", exact=True).press("Control+Enter")
    expect(page.locator("[data-result] thead")).to_contain_text("store_category")
    page.get_by_role("button", name="Chart", exact=True).click()
    expect(page.locator("[data-place] svg")).to_be_visible()
    with page.expect_download() as began:
        page.get_by_role("button", name="CSV").click()
    assert began.value.path().read_bytes().startswith(b"store_category,orders\r\n")
    page.get_by_label("Question", exact=True).fill("DROP TABLE processed_demo_city")
    page.get_by_label("Question", exact=True).press("Control+Enter")
    expect(page.locator("#result [role=alert]")).to_contain_text("Only questions can be asked")
    expect(page.locator("#recent option")).to_have_count(3)
