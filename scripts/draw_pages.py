"""Draw the dashboard's main pages into docs/images/, light, dark and as a phone shows them.

    .venv/bin/python -m scripts.draw_pages

A developer's tool: starts a FoodEx with a demonstration in a folder that is removed at the end
(half a minute), signs in as its admin, and lets the machine's own Chromium take the pictures.
"""

import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from tests.support.running import Up, up
from tests.support.servers import chromium

FOLDER = Path(__file__).parent.parent / "docs/images"
MOST_BYTES = 150_000
LAPTOP = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}
STILL_COMING = """[...document.querySelectorAll(".loading")].filter((one) =>
    one.checkVisibility() && one.getBoundingClientRect().top < innerHeight).length"""
PICTURES = (
    ("overview", "/", LAPTOP, "light"),
    ("overview-dark", "/", LAPTOP, "dark"),
    ("overview-phone", "/", PHONE, "light"),
    ("predict", "/predict", LAPTOP, "light"),
    ("import", "/data/import", LAPTOP, "light"),
    ("models", "/models/demo_city", LAPTOP, "light"),
    ("scenarios", "/scenarios", LAPTOP, "dark"),
    ("costs", "/costs", LAPTOP, "light"),
)


def take(page: Page, name: str) -> Path:
    """A picture of what the page shows: lossless where that is small enough."""
    path = FOLDER / f"{name}.png"
    page.screenshot(path=path)
    if path.stat().st_size <= MOST_BYTES:
        return path
    path.unlink()
    path = path.with_suffix(".jpg")
    for quality in (85, 75, 65, 50):
        page.screenshot(path=path, type="jpeg", quality=quality)
        if path.stat().st_size <= MOST_BYTES:
            return path
    sys.exit(f"{path.name} cannot be drawn in {MOST_BYTES} bytes")


def draw(running: Up) -> None:
    """All pictures, of a FoodEx that runs."""
    password = (running.state / "demo-admin.password").read_text().strip()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        context = browser.new_context(
            base_url=running.url,
            locale="en-GB",
            timezone_id="Europe/Helsinki",
            reduced_motion="reduce",
        )
        page = context.new_page()
        page.goto("/sign-in")
        page.get_by_label("Name").fill("demo-admin")
        page.get_by_label("Password").fill(password)
        page.get_by_role("button", name="Sign in").click()
        page.locator(".menu-name").wait_for(state="attached")
        for name, path, size, colours in PICTURES:
            page.set_viewport_size({"width": size["width"], "height": size["height"]})
            page.emulate_media(color_scheme="dark" if colours == "dark" else "light")
            page.goto(path)
            # Figures and maps come after the page; pages that ask all the time are never idle.
            page.wait_for_load_state("load")
            for _ in range(100):
                page.wait_for_timeout(300)
                if not page.evaluate(STILL_COMING):
                    break
            page.wait_for_timeout(4000)
            path_of_picture = take(page, name)
            print(f"{path_of_picture} {path_of_picture.stat().st_size:,} bytes")  # noqa: T201
        browser.close()


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="foodex-pages-"))
    try:
        with up(folder / "state") as running:
            draw(running)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
