"""Passwords, sessions, money and work that was given up, as one person and an admin meet them."""

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import PageAs, People
from tests.support.running import Up

MARKUP = "<b>x</b>\"'&"
_OLD, _NEW = "an old password", "quite another one"


@pytest.fixture
def somebody(people: People, request: pytest.FixtureRequest) -> str:
    """A new client, called after the test."""
    name: str = request.function.__name__.removeprefix("test_").replace("_", "-")[:40].strip("-")
    made = {"name": name, "password": _OLD, "roles": ["client"]}
    people.ask("admin", "POST", "/accounts/people", made)
    people.known[name] = (name, _OLD)
    return name


def agree(page: Page, *, says: str = "") -> None:
    """Say yes to what is asked, as impatient people do."""
    expect(page.locator("#confirm-text")).to_contain_text(says)
    page.locator("[data-yes]").dblclick()


def look(page: Page) -> None:
    """As a browser tells a page that is looked at again."""
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")


def enter(page: Page, name: str, password: str) -> None:
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()


def test_a_new_password_ends_the_other_sessions(page_as: PageAs, somebody: str) -> None:
    page, other = page_as(somebody, expected=["422"]), page_as(somebody, expected=["401"])
    other.goto("/account")

    def change(old: str) -> None:
        page.get_by_label("Password now").fill(old)
        page.get_by_label("New password", exact=True).fill(_NEW)
        page.get_by_label("New password again").fill(_NEW)
        page.get_by_role("button", name="Change the password").dblclick()

    page.goto("/account/security")
    change("not the password")
    expect(page.get_by_text("This is not the password you have now")).to_be_visible()
    change(_OLD)
    expect(page.get_by_text("The password is changed")).to_be_visible()
    look(other)
    other.wait_for_url("**/sign-in?next=%2Faccount")
    enter(other, somebody, _OLD)
    expect(other.get_by_role("alert").first).to_contain_text("wrong")
    enter(other, somebody, _NEW)
    other.wait_for_url("**/account")

    page.get_by_role("button", name="Sign out everywhere").click()
    agree(page, says="End all your sessions")
    page.wait_for_url("**/sign-in")
    look(other)
    other.wait_for_url("**/sign-in?next=%2Faccount")


def test_money_is_given_back_once_and_put_right(
    page_as: PageAs, people: People, somebody: str
) -> None:
    money = {"account": somebody, "amount_minor": 1000}
    people.ask("admin", "POST", "/accounts/top-ups", money)
    for items in (2, 3):
        people.ask(somebody, "POST", "/eta", {"items": items, "distance_km": 2.4})
    page = page_as("admin", expected=["402", "422"])
    page.goto(f"/admin/people/{somebody}")
    has = page.locator(".admin-balance")
    refunds = page.get_by_role("button", name="Refund")
    expect(refunds).to_have_count(2)
    refunds.first.click()
    agree(page, says="0.02")
    expect(has).to_have_text(re.compile("9.98"))
    expect(page.get_by_text("Refunded", exact=True)).to_have_count(1)
    # Sent again, as from another tab, a form gives nothing back twice.
    entries = people.ask("admin", "GET", f"/accounts/entries?account={somebody}")["entries"]
    for charge in [one["reference"] for one in entries if one["kind"] == "charge"] * 2:
        page.evaluate(
            """([path, charge]) => fetch(path, {
                 method: "POST", body: new URLSearchParams({charge})})""",
            [f"/admin/people/{somebody}/refund", charge],
        )
    page.reload()
    expect(has).to_have_text(re.compile("10.00"))
    expect(refunds).to_have_count(0)

    def correct(amount: str, note: str) -> None:
        page.get_by_label("What").select_option("correction")
        page.get_by_label("Amount").fill(amount)
        page.get_by_label("Note").fill(note)
        page.get_by_role("button", name="Book it").click()
        agree(page, says=f"Correction, {amount} EUR")

    correct("-1", "")
    expect(page.get_by_text("Say why.", exact=True)).to_be_in_viewport()
    correct("-11", MARKUP)
    expect(page.get_by_text("below zero")).to_be_visible()
    correct("-1", MARKUP)
    expect(has).to_have_text(re.compile("9.00"))
    expect(page.get_by_text(MARKUP, exact=True)).to_be_visible()

    client = page_as(somebody)
    client.goto("/account/entries")
    expect(client.locator("#balance")).to_contain_text("9.00")
    expect(client.locator("tbody tr").first).to_contain_text(MARKUP)
    expect(client.get_by_text("Of a forecast")).to_have_count(2)
    page.goto("/admin/money")
    expect(page.get_by_role("table", name="Prices")).to_contain_text("0.02")
    page.get_by_role("button", name="Verify now").click()
    expect(page.locator("#verification")).to_contain_text("The ledger holds")


def test_blocked_let_in_and_given_another_role(
    page_as: PageAs, people: People, somebody: str
) -> None:
    page, other = page_as("admin", expected=["422"]), page_as(somebody, expected=["401"])
    other.goto("/account")
    page.goto(f"/admin/people/{somebody}")
    page.get_by_role("button", name="Block").click()
    agree(page, says=somebody)
    expect(page.get_by_text("This person is blocked")).to_be_visible()
    look(other)
    other.wait_for_url("**/sign-in?next=%2Faccount")
    enter(other, somebody, _OLD)
    expect(other.get_by_role("alert").first).to_be_visible()
    page.get_by_role("button", name="Let in again").click()
    expect(page.get_by_role("button", name="Block")).to_be_visible()
    enter(other, somebody, _OLD)
    other.wait_for_url("**/account")

    def hold(role: str, *, whether: bool) -> None:
        page.locator(f"[name=role][value={role}]").set_checked(whether)

    hold("client", whether=False)
    page.get_by_role("button", name="Save roles").click()
    agree(page)
    expect(page.locator("#roles [role=alert]")).to_contain_text("role")
    # An answer to a form is loaded again as the page that the form was on.
    page.locator("#language").select_option("ru")
    expect(page.locator("html")).to_have_attribute("lang", "ru")
    expect(page.locator("[name=role][value=client]")).to_be_checked()
    page.locator("#language").select_option("en")
    expect(page.locator("html")).to_have_attribute("lang", "en")
    hold("client", whether=False)
    hold("analyst", whether=True)
    page.get_by_role("button", name="Save roles").click()
    agree(page)
    expect(page.get_by_text("Roles changed")).to_be_visible()
    other.goto("/")
    expect(other.get_by_role("link", name="Models")).to_be_visible()

    page.get_by_role("button", name="Set password").click()
    agree(page)
    expect(page.locator("#password")).to_be_visible()
    page.locator("#theme").select_option("dark")
    page.wait_for_url(f"**/admin/people/{somebody}")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.goto(f"/admin/audit?target={somebody}")
    for done in ("Blocked", "Let in again", "Roles changed", "Password set"):
        expect(page.locator("tbody").get_by_text(done, exact=True)).to_be_visible()


def test_the_back_button_after_a_payment(page_as: PageAs, people: People, somebody: str) -> None:
    page = page_as(somebody)
    page.goto("/account/top-up")
    go_on = page.get_by_role("button", name="Go on to the payment")
    page.get_by_label("Amount").fill("25")
    go_on.dblclick()
    page.wait_for_url("**/account/payments/*")
    payment = page.url.rpartition("/")[2]
    page.go_back()
    expect(page.locator("tbody tr")).to_have_count(1)
    expect(go_on).not_to_have_attribute("aria-busy", "true")
    page.go_forward()
    admin = page_as("admin")
    admin.goto("/account/top-up")
    waits = admin.get_by_role("row").filter(has_text=somebody)
    waits.get_by_role("button", name="Confirm").click()
    agree(admin, says=f"paid by {somebody}")
    expect(waits).to_have_count(0)
    expect(page.get_by_text("arrived")).to_be_visible()
    assert page.url.endswith(payment)
    expect(page.locator("#balance")).to_contain_text("25.00")


def test_work_that_was_given_up_is_tried_again(
    page_as: PageAs, running: Up, tmp_path: Path
) -> None:
    (tmp_path / "one.csv").write_text("order_id,distance_km,items\nA-1,2.4,3\n")
    page = page_as("admin")
    page.goto("/batches")
    page.locator("input[type=file]").set_input_files(tmp_path / "one.csv")
    page.get_by_role("button", name=re.compile("Start")).click()
    expect(page.get_by_role("link", name="Download the result")).to_be_visible()
    job = page.url.rpartition("/")[2]
    # Nothing that is sent makes work fail by a fault of ours, so the fault is written down.
    with closing(sqlite3.connect(running.state / "foodex.db", timeout=20)) as database, database:
        database.execute(
            "UPDATE jobs_jobs SET state = 'dead', error = ? WHERE id = ?", (MARKUP, job)
        )
    page.goto("/admin/jobs")

    def letters() -> Locator:
        return page.get_by_role("table", name="Given up").get_by_role("row")

    expect(letters().filter(has_text=MARKUP)).to_have_count(1)
    letters().get_by_role("button", name="Try again").click()
    agree(page, says="from the start")
    expect(letters()).to_have_count(0)
    page.goto(f"/batches/{job}")
    expect(page.get_by_role("link", name="Download the result")).to_be_visible()
