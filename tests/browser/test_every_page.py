"""Every page that links lead to, for every role: it answers, everybody can use it, it fits phones.

What a console complains of fails the test by `page_as`.
"""

import json
import re
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page

from tests.browser.conftest import PHONE, PageAs

_ROOT: Final = Path(__file__).resolve().parents[2]
_AXE: Final = (_ROOT / "frontend/node_modules/axe-core/axe.min.js").read_text()
_ROUTES: Final = [
    (path, re.compile(re.sub(r"\\\{[a-z_]+\\\}", "[^/]+", re.escape(path)) + "$"))
    for method, path, *_ in map(str.split, (_ROOT / "tests/pages.txt").read_text().splitlines())
    if method == "GET"
]
_BAD: Final = ("serious", "critical")
_DONE: Final[set[tuple[str, bool]]] = set()
"""What was looked at closely already: pages of staff are made of the same parts."""

_AUDIT: Final = """async (rules) => {
  await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  const changes = document.getAnimations().filter((one) => one instanceof CSSTransition);
  await Promise.allSettled(changes.map((one) => one.finished));
  const told = (node) => node.target.join(" ") + " " + node.html.slice(0, 120);
  const { violations } = await axe.run(document, rules ? { runOnly: rules } : {});
  return violations.map((one) => [one.impact, one.id, one.nodes.slice(0, 3).map(told)]);
}"""
_FITS: Final = """() => new Promise((done) => {
  // Charts take a new width when they are told of it.
  const ends = performance.now() + 5000;
  const look = () => {
    if (document.documentElement.scrollWidth <= innerWidth) done(true);
    else if (performance.now() > ends) done(false);
    else requestAnimationFrame(look);
  };
  look();
})"""
_FILES: Final = re.compile(r"\.[a-z]+$|/files/|/document$|/events$")
_LINKS: Final = (
    """[...document.querySelectorAll("a[href]")].filter(a => !a.download).map(a => a.href)"""
)


def pattern_of(path: str) -> str | None:
    """The route that a path is of, the plainest first; None for what is no page."""
    found = [route for route, matches in _ROUTES if matches.match(path)]
    return min(found, key=lambda route: route.count("{"), default=None)


@pytest.mark.parametrize("person", ["admin", "client", "analyst", "operator"])
@pytest.mark.timeout(240)
def test_every_page(page_as: PageAs, person: str) -> None:
    page = page_as(person, reduced_motion="reduce")
    wrong: list[str] = []
    ahead, seen = ["/"], {"/"}
    while ahead:
        path = ahead.pop(0)
        answer = page.goto(path)
        assert answer is not None
        if answer.status >= 400:
            wrong.append(f"{path} answers {answer.status}")
            continue
        wrong += [f"{path}: {one}" for one in _looked_at(page, path, person)]
        for href in page.evaluate(_LINKS):
            parts = urlsplit(href)
            pattern = pattern_of(parts.path)
            if _FILES.search(parts.path):
                continue
            if parts.netloc == urlsplit(page.url).netloc and pattern and pattern not in seen:
                seen.add(pattern)
                ahead.append(parts.path + (f"?{parts.query}" if parts.query else ""))
    assert wrong == []
    assert len(seen) >= {"admin": 20, "analyst": 15, "operator": 12, "client": 8}[person]


def test_pages_before_signing_in(page_as: PageAs) -> None:
    page = page_as(None, reduced_motion="reduce")
    for path in ("/sign-in", "/register"):
        page.goto(path)
        assert _looked_at(page, path, "nobody") == []


def _looked_at(page: Page, path: str, person: str) -> list[str]:
    page.wait_for_load_state("load")
    key = (pattern_of(urlsplit(path).path) or path, person in ("client", "nobody"))
    if key in _DONE:
        return []
    _DONE.add(key)
    page.evaluate(_AXE)
    wrong = _found(page)
    page.emulate_media(color_scheme="dark")
    wrong += [f"in the dark: {one}" for one in _found(page, ["color-contrast"])]
    page.emulate_media(color_scheme="light")
    laptop = page.viewport_size
    assert laptop is not None
    page.set_viewport_size(PHONE)
    if not page.evaluate(_FITS):
        wrong.append("scrolls sideways on a phone")
    page.set_viewport_size(laptop)
    return wrong


def _found(page: Page, rules: list[str] | None = None) -> list[str]:
    violations: list[Any] = page.evaluate(_AUDIT, rules)
    return [json.dumps(one) for one in violations if one[0] in _BAD]
