"""Signing in and out, and what goes wrong, as people meet it in a browser."""

import re

from playwright.sync_api import Page, expect

from tests.browser.conftest import COOKIES, ELSEWHERE, PHONE, PageAs, People
from tests.support.running import Up

# The page asks for news at times of its own; what htmx says of that belongs to it.
_LOST = ("ERR_INTERNET_DISCONNECTED", "Failed to fetch", "htmx:sendError", "htmx:afterRequest")


def _sign_in(page: Page, people: People, person: str) -> None:
    name, password = people.known[person]
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()


def _sign_out(page: Page) -> None:
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/sign-in")


def test_an_expired_session_leads_to_sign_in_and_back(page_as: PageAs, people: People) -> None:
    page = page_as("admin", expected=("401",))
    page.goto("/admin/audit?who=system")
    page.context.clear_cookies()
    page.get_by_role("button", name="Show").click()
    page.wait_for_url("**/sign-in?next=*")
    page.get_by_label("Name").fill("nobody")
    page.get_by_label("Password").fill("not the password")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert").first).to_contain_text("wrong")
    expect(page.get_by_label("Name")).to_have_value("nobody")
    _sign_in(page, people, "admin")
    page.wait_for_url("**/admin/audit?who=system*")
    expect(page.locator(".menu-name")).to_contain_text(people.name("admin"))


def test_an_access_token_that_ended_is_renewed_unseen(page_as: PageAs) -> None:
    page = page_as("client")
    page.goto("/account")
    page.context.clear_cookies(name="foodex_access")
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    assert {cookie["name"] for cookie in page.context.cookies()} >= set(COOKIES)


def test_parts_of_a_page_notice_an_expired_session(page_as: PageAs) -> None:
    page = page_as("admin")
    page.goto("/admin")
    page.context.clear_cookies()
    page.wait_for_url("**/sign-in?next=%2Fadmin")


def test_signing_out_in_one_tab_ends_the_other(page_as: PageAs) -> None:
    page = page_as("client")
    page.goto("/account")
    other = page.context.new_page()
    other.goto("/predict")
    _sign_out(page)
    # As a browser tells a tab that is looked at again.
    other.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    other.wait_for_url("**/sign-in?next=%2Fpredict")


def test_somebody_else_in_another_tab_is_noticed(page_as: PageAs, people: People) -> None:
    page = page_as("client")
    page.goto("/account")
    other = page.context.new_page()
    other.goto("/account")
    _sign_out(page)
    _sign_in(page, people, "analyst")
    expect(page.locator(".menu-name")).to_contain_text(people.name("analyst"))
    other.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(other.locator(".menu-name")).to_contain_text(people.name("analyst"))


def test_the_back_button_after_signing_out_shows_nothing_private(page_as: PageAs) -> None:
    page = page_as("client")
    page.goto("/account")
    expect(page.locator("#balance")).to_be_visible()
    _sign_out(page)
    page.go_back()
    page.wait_for_url("**/sign-in?next=%2Faccount")
    expect(page.locator("#balance")).to_have_count(0)


def test_a_lost_connection_is_said_and_found_again(page_as: PageAs) -> None:
    page = page_as("admin", expected=_LOST)
    page.goto("/admin")
    notice = page.locator("[data-offline]")
    expect(notice).to_be_hidden()
    page.context.set_offline(True)
    expect(notice).to_be_visible()
    with page.expect_response("**/admin/system"):
        page.context.set_offline(False)
    expect(notice).to_be_hidden()


def test_answers_of_what_stands_between_are_not_shown_as_ours(page_as: PageAs) -> None:
    page = page_as("admin", expected=("502",))
    page.goto("/admin/money")
    place = "**/admin/money/verification"
    page.route(place, lambda route: route.fulfill(status=502, body="<h1>Bad gateway</h1>"))
    page.get_by_role("button", name="Verify now").click()
    expect(page.locator("#messages")).to_contain_text("did not work")
    expect(page.get_by_text("Bad gateway")).to_have_count(0)
    page.unroute(place)
    page.get_by_role("button", name="Verify now").click()
    expect(page.locator("#verification")).to_contain_text("The ledger holds")


def test_pages_that_are_not_there_or_not_ones_own(page_as: PageAs) -> None:
    page = page_as("client", expected=("404", "403"))
    page.goto("/nowhere")
    expect(page.get_by_role("heading", level=1)).to_have_text("There is nothing here")
    page.goto("/admin/people")
    expect(page.get_by_role("heading", level=1)).to_have_text("This is not yours to do")
    page.get_by_role("link", name="To the overview").click()
    expect(page.locator(".menu")).to_be_visible()


def test_language_and_colours_are_chosen_on_a_phone_too(page_as: PageAs) -> None:
    page = page_as("client", viewport=PHONE)
    page.goto("/account")
    page.get_by_role("button", name="Menu").click()
    page.locator("#language-menu").select_option("ru")
    page.wait_for_url("**/account")
    expect(page.locator("html")).to_have_attribute("lang", "ru")
    page.get_by_role("button", name="Меню").click()
    page.locator("#theme-menu").select_option("dark")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.get_by_role("button", name="Меню").click()
    page.keyboard.press("Escape")
    expect(page.locator("#menu")).to_be_hidden()


def test_forms_work_where_browsers_tell_no_fetch_metadata(
    page_as: PageAs, people: People, running: Up
) -> None:
    """Over plain HTTP from another machine; the name stands for such an address."""
    port = running.url.rpartition(":")[2]
    page = page_as(
        None, base_url=f"http://{ELSEWHERE}:{port}", expected=("Cross-Origin-Opener-Policy",)
    )
    page.goto("/sign-in")
    with page.expect_request("**/sign-in") as sent:
        _sign_in(page, people, "client")
    assert "sec-fetch-site" not in sent.value.all_headers()
    expect(page.locator(".menu-name")).to_contain_text(people.name("client"))


def test_an_admin_adds_somebody_and_books_money_once(page_as: PageAs, people: People) -> None:
    page = page_as("admin", expected=("401", "422"))
    page.goto("/admin/people/new")
    page.get_by_label("Name").fill("grace")
    page.get_by_role("button", name="Add", exact=True).click()
    secret = page.locator("#password").inner_text()
    assert len(secret) >= 10
    page.get_by_role("link", name="Go to this person").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("grace")
    assert secret not in page.content()

    def book(amount: str) -> None:
        page.get_by_label("Amount").fill(amount)
        page.get_by_role("button", name="Book it").click()
        page.get_by_role("button", name="Yes, do it").click()

    book("twelve")
    expect(page.get_by_role("alert").first).to_contain_text("amount")
    expect(page.get_by_label("Amount")).to_have_value("twelve")
    book("12,50")
    page.wait_for_url("**/admin/people/grace#money")
    expect(page.locator(".admin-balance")).to_have_text(re.compile("12.50"))
    # The same form sent twice, as from two tabs, books it once.
    reference = page.locator("[name=reference]").input_value()
    for _ in range(2):
        page.evaluate(
            """([path, reference]) => fetch(path, {method: "POST", body: new URLSearchParams(
                {way: "top-up", amount: "1", note: "", reference})})""",
            ["/admin/people/grace/money", reference],
        )
    page.reload()
    expect(page.locator(".admin-balance")).to_have_text(re.compile("13.50"))

    other = page_as(None, expected=("401",))
    other.goto("/sign-in")
    other.get_by_label("Name").fill("grace")
    other.get_by_label("Password").fill(secret)
    other.get_by_role("button", name="Sign in").click()
    expect(other.locator("#balance")).to_contain_text("13.50")
    page.get_by_role("button", name="Block").click()
    page.get_by_role("button", name="Yes, do it").click()
    expect(page.get_by_text("This person is blocked")).to_be_visible()
    other.goto("/account")
    other.wait_for_url("**/sign-in?next=%2Faccount")
    page.goto("/admin/audit?target=grace")
    expect(page.get_by_role("table")).to_contain_text("Blocked")
