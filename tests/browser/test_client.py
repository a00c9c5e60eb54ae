"""A client on their pages: buys a forecast once, finds it again, has a key, sends a file."""

import re
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, expect

from tests.browser.conftest import PageAs, People

ORDERS = "order_id,distance_km,items\nA-1,2.4,3\nA-2,-1,1\n"


def balance(people: People) -> int:
    """What the client has, in minor units."""
    return int(people.ask("client", "GET", "/accounts/me")["balance_minor"])


def bought(people: People) -> list[Any]:
    """The client's newest predictions."""
    found: list[Any] = people.ask("client", "GET", "/accounts/predictions?limit=10")["predictions"]
    return found


def counted(page: Page) -> list[str]:
    """Every request that asks for an answer, as it is sent."""
    sent: list[str] = []
    page.on("request", lambda one: sent.append(one.url) if one.method == "POST" else None)
    return sent


def test_a_forecast_is_paid_once_and_found_again(page_as: PageAs, people: People) -> None:
    before, known = balance(people), {one["id"] for one in bought(people)}
    page = page_as("client")
    page.goto("/predict")
    sent = counted(page)
    expect(page.locator("[data-map]")).to_have_attribute("data-ready", "yes")
    expect(page.locator("[data-distance]")).to_contain_text("0.89 km")
    page.locator("[data-map] canvas").click(position={"x": 120, "y": 200})
    page.get_by_label("Items", exact=True).fill("4")
    assert sent == []
    page.get_by_role("button", name=re.compile("Get the answer")).dblclick()
    paid = page.locator(".predict-paid")
    expect(paid).to_contain_text("0.02")
    left = f"{(before - 2) / 100:.2f}"
    expect(page.locator("#balance")).to_contain_text(left)
    # Sent as it stands once more, it is the same answer and the same money.
    page.get_by_role("button", name=re.compile("Get the answer")).click()
    expect(page.locator(".predict-paid.again")).to_be_visible()
    assert balance(people) == before - 2
    (new,) = [one for one in bought(people) if one["id"] not in known]

    page.goto("/account/predictions")
    page.locator(f"a[href$='{new['id']}']").first.click()
    expect(page.get_by_text("Items", exact=True)).to_be_visible()
    page.get_by_role("button", name="Reproduce").click()
    expect(page.locator("#reproduced")).to_contain_text("The same to the last digit")
    expect(page.locator("#balance")).to_contain_text(left)


def test_a_keys_name_is_text_and_its_secret_is_shown_once(page_as: PageAs, people: People) -> None:
    page = page_as("client")
    page.goto("/account/keys")
    page.get_by_label("Name").fill("<b>x</b>")
    page.get_by_role("button", name="Make the key").click()
    secret = page.locator(".account-secret").inner_text()
    expect(page.get_by_role("heading", name="<b>x</b>")).to_be_visible()
    told = people.running("GET", "/api/v1/accounts/me", key=secret)
    assert told.status == 403  # It may ask for forecasts, and for nothing else.
    page.reload()
    expect(page.locator(".account-secret")).to_have_count(0)
    row = page.get_by_role("row").filter(has_text="<b>x</b>")
    row.get_by_role("button", name="Revoke").click()
    page.locator("[data-yes]").click()
    expect(row.get_by_text("Revoked")).to_be_visible()


def test_a_file_is_priced_begun_once_and_fetched(
    page_as: PageAs, people: People, tmp_path: Path
) -> None:
    before = balance(people)
    jobs = people.ask("client", "GET", "/jobs?kind=predict_file")["jobs"]
    (tmp_path / "two.csv").write_text(ORDERS)
    page = page_as("client")
    page.goto("/batches")
    page.locator("input[type=file]").set_input_files(tmp_path / "two.csv")
    start = page.get_by_role("button", name=re.compile("Start"))
    expect(start).to_contain_text("0.02")
    start.dblclick()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download the result").click()
    assert "forecast_promise_minutes" in Path(download.value.path()).read_text()
    expect(page.get_by_text("Way by road")).to_be_visible()
    expect(page.get_by_text("Given back")).to_be_visible()
    assert balance(people) == before - 1
    after = people.ask("client", "GET", "/jobs?kind=predict_file")["jobs"]
    assert len(after) == len(jobs) + 1
