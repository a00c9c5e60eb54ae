"""Signing in and out, as people meet it in a browser."""

from playwright.sync_api import expect

from tests.browser.conftest import PageAs, People


def test_signing_in_leads_where_somebody_wanted_to_go(page_as: PageAs, people: People) -> None:
    page = page_as(None)
    page.goto("/account")
    name, password = people.known["client"]
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/account")
    expect(page.locator(".menu-name")).to_contain_text(name)
