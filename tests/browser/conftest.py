"""One FoodEx and one browser for all flows; people of every role, signed in without typing."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.support.running import Up, up
from tests.support.servers import chromium

_HERE: Final = Path(__file__).parent
_SMALL: Final = {
    "FOODEX_CITY__DAYS": "4",
    "FOODEX_CITY__ORDERS_PER_DAY": "150",
    # A test is the shop that orders come from.
    "FOODEX_COLLECTOR__HTTP_ALLOW_PRIVATE": "true",
}
_PASSWORD: Final = "correct horse battery staple"
_LAPTOP: Final = {"width": 1360, "height": 860}
ELSEWHERE: Final = "foodex.test"
"""A name of this machine that browsers trust no more than any other over plain HTTP."""
PHONE: Final = {"width": 390, "height": 844}
_PATIENCE_MS: Final = 20_000
COOKIES: Final = {"foodex_access": "access_token", "foodex_refresh": "refresh_token"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All flows on one worker, beside the one FoodEx they share."""
    for item in items:
        if _HERE in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("browser"))


@dataclass(frozen=True, slots=True)
class People:
    """One person of each role, by the role's name: their names and passwords."""

    running: Up
    known: dict[str, tuple[str, str]]

    def name(self, person: str) -> str:
        """What somebody is called."""
        return self.known[person][0]

    def sign_in(self, person: str) -> Any:
        """New tokens, as the API tells them."""
        name, password = self.known[person]
        sent = {"name": name, "password": password}
        told = self.running("POST", "/api/v1/accounts/sign-in", sent, key="")
        assert told.status == 200, told.body
        return told.json

    def ask(self, person: str, method: str, path: str, body: Any = None) -> Any:
        """Ask under /api/v1 as somebody and expect success; the answer's JSON."""
        token = self.sign_in(person)["access_token"]
        told = self.running(method, "/api/v1" + path, body, key=token)
        assert 200 <= told.status < 300, (told.status, told.body[:2000])
        return told.json if told.body else None


class PageAs(Protocol):
    """Opens a page of a browser of its own, in which somebody has signed in."""

    def __call__(
        self, person: str | None, *, expected: Sequence[str] = (), **options: Any
    ) -> Page: ...


@pytest.fixture(scope="package")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """FoodEx with a small demonstration; shared, so flows take away what they added alone."""
    chromium()  # No browser, no need to start it.
    with up(tmp_path_factory.mktemp("browser") / "state", env=_SMALL) as found:
        yield found


@pytest.fixture(scope="package")
def people(running: Up) -> People:
    """Somebody of each role: `admin`, `operator`, `analyst`, `client`."""
    known = {}
    for role in ("admin", "client"):
        name = f"demo-{role}"
        known[role] = (name, (running.state / f"{name}.password").read_text().strip())
    for role in ("operator", "analyst"):
        made = {"name": f"demo-{role}", "password": _PASSWORD, "roles": [role]}
        running.ok("POST", "/accounts/people", made)
        known[role] = (made["name"], _PASSWORD)
    return People(running, known)


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Chromium; where it runs an event loop stands, so it ends with these tests."""
    path = chromium()
    with sync_playwright() as playwright:
        # The pages are our own, and as root its sandbox does not start.
        started = playwright.chromium.launch(
            executable_path=path,
            args=["--no-sandbox", f"--host-resolver-rules=MAP {ELSEWHERE} 127.0.0.1"],
        )
        yield started
        started.close()


@pytest.fixture
def page_as(running: Up, people: People, browser: Browser) -> Iterator[PageAs]:
    """`page_as("client")` is a page of a fresh browser in which the client has signed in.

    `page_as(None)` is nobody's. Further words are options of the browser's context: `viewport`,
    `locale`, `color_scheme`. The test fails at its end if a page had an error in its console, a
    script that failed, or asked anything of another machine. `expected` names, by a part of their
    text, the errors that the test is about.
    """
    opened: list[BrowserContext] = []
    wrong: list[str] = []

    def open_page(person: str | None, *, expected: Sequence[str] = (), **options: Any) -> Page:
        context = browser.new_context(
            **{
                "base_url": running.url,
                "viewport": _LAPTOP,
                "locale": "en-GB",
                "timezone_id": "Europe/Helsinki",
            }
            | options
        )
        opened.append(context)
        context.set_default_timeout(_PATIENCE_MS)
        if person is not None:
            sign_in(context, running, people.sign_in(person))
        _watch(context, running, lambda text: wrong.append(text), expected)
        return context.new_page()

    yield open_page
    for context in opened:
        context.close()
    assert not wrong, "in the browser:\n" + "\n".join(wrong)


def sign_in(context: BrowserContext, running: Up, tokens: Any) -> None:
    """Give a browser the cookies of a session."""
    context.add_cookies(
        [
            {"name": name, "value": tokens[key], "url": running.url, "httpOnly": True}
            for name, key in COOKIES.items()
        ]
    )


def _watch(
    context: BrowserContext, running: Up, tell: Callable[[str], None], expected: Sequence[str]
) -> None:
    def note(text: str) -> None:
        if not any(part in text for part in expected):
            tell(text)

    own = urlsplit(running.url)
    known = {own.netloc, f"{ELSEWHERE}:{own.port}"}

    def look(url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("data", "blob") and parts.netloc not in known:
            tell(f"asked another machine: {url}")

    context.on("request", lambda request: look(request.url))
    context.on(
        "console",
        lambda message: (
            note(f"console: {message.text} ({message.location.get('url')})")
            if message.type == "error"
            else None
        ),
    )
    context.on("weberror", lambda error: note(f"script: {error.error}"))
