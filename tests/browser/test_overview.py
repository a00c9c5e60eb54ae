"""The overview as it is seen: the map is drawn, and leads where its table says."""

from playwright.sync_api import expect

from tests.browser.conftest import PageAs


def test_the_map_is_drawn_and_can_be_coloured(page_as: PageAs) -> None:
    page = page_as("operator")
    page.goto("/")
    page.wait_for_selector("[data-map][data-drawn]")
    expect(page.locator(".maplibregl-ctrl-attrib")).to_contain_text("OpenStreetMap")
    name = page.locator("[data-legend-name]")
    expect(name).to_have_text("Orders")
    page.get_by_text("Late", exact=True).first.click()
    expect(name).to_have_text("Late")
    expect(page.locator("[data-high]")).to_contain_text("%")
    page.locator("#charts [data-chart] svg").first.wait_for()
    page.locator("[data-fly]").first.click()
    with page.expect_navigation():
        page.get_by_label("Period").select_option("28")
    page.wait_for_selector("[data-map][data-drawn]")
    assert "days=28" in page.url
