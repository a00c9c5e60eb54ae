"""Who may see which page, as `pages.txt` says: a new or a changed one must be told there.

.venv/bin/python -m tests.test_page_routes    writes the table anew, to be read before it is kept
"""

from pathlib import Path
from typing import Any

import aiohttp
import pytest

from foodex.bootstrap import pages_description
from foodex.core.access import Role, roles_of
from foodex.core.errors import NotAuthenticated, Unavailable
from foodex.core.settings import HttpSettings
from foodex.services.dashboard.app import create_dashboard
from foodex.services.dashboard.session import ACCESS
from scripts.write_reference import walk_routes
from tests.support.serving import serve

TABLE = Path(__file__).with_name("pages.txt")
PUBLIC = {
    "/health/live",
    "/health/ready",
    "/health/startup",
    "/metrics",
    "/preferences",
    "/register",
    "/sign-in",
    "/sign-out",
    "/static/{stamp}/{name:path}",
}


class OnlyWhoIsWho:
    """A gateway that knows people by their roles, which are their token, and nothing else."""

    async def ask(self, method: str, path: str, *, access_token: str = "", **_: Any) -> Any:
        if path != "/accounts/me":
            raise Unavailable("Only a test")
        if not access_token:
            raise NotAuthenticated
        return {
            "name": "probe",
            "roles": access_token.split("-"),
            "account": "probe",
            "balance_minor": 0,
            "currency": "EUR",
        }

    async def get(self, path: str, query: Any = None) -> Any:
        raise Unavailable("Only a test")

    async def post(self, path: str, json: Any = None, *, query: Any = None) -> Any:
        raise Unavailable("Only a test")

    def open(self, *_: Any, **__: Any) -> Any:
        raise Unavailable("Only a test")


def who_may(route: Any) -> frozenset[str] | None:
    """A route within a group has the group's mark and its own, and both hold."""
    marks = [roles_of(one.call) for one in route.dependant.dependencies]
    found = [frozenset(mark) for mark in marks if mark is not None]
    return frozenset.intersection(*found) if found else None


def declared() -> list[str]:
    lines = []
    for route in walk_routes(pages_description()):
        who = " ".join(sorted(who_may(route) or ())) or "public"
        lines += [f"{m:<6} {route.path_format:<58} {who}" for m in sorted(route.methods)]
    return sorted(lines, key=lambda line: line.split()[1::-1])


def test_every_page_is_marked() -> None:
    routes = walk_routes(pages_description())
    assert len(routes) > 60
    assert [route.path for route in routes if who_may(route) is None] == []
    assert {route.path for route in routes if not who_may(route)} == PUBLIC


def test_the_table_tells_every_page() -> None:
    told, found = TABLE.read_text().splitlines(), declared()
    wrong = [f"- {line}" for line in told if line not in found]
    wrong += [f"+ {line}" for line in found if line not in told]
    assert not wrong, "tests/pages.txt differs from the code:\n" + "\n".join(wrong)
    assert len(told) == len(set(told)) == len(found)


@pytest.mark.parametrize("role", [None, *Role])
async def test_pages_open_to_those_they_are_for(role: Role | None) -> None:
    """Everybody else is refused before anything is asked of the API; nobody is led to sign in."""
    gateway: Any = OnlyWhoIsWho()
    app = create_dashboard(gateway, settings=HttpSettings())
    headers = {"sec-fetch-site": "same-origin"}
    if role is not None:
        headers["cookie"] = f"{ACCESS}={role}"
    wrong, walked = [], 0
    async with serve(app) as url, aiohttp.ClientSession(headers=headers) as web:
        for route in walk_routes(app):
            if not (may := who_may(route)):
                continue
            path = route.path_format
            for name in route.param_convertors:
                path = path.replace("{" + name + "}", "1")
            for method in sorted(route.methods):
                walked += 1
                async with web.request(method, url + path, allow_redirects=False) as answer:
                    led = answer.headers.get("location", "").startswith("/sign-in")
                    refused = answer.status == 403 if role else led
                    if refused is (role in may):
                        wrong.append(f"{role}: {method} {path} answers {answer.status}")
    assert wrong == []
    assert walked > 60


if __name__ == "__main__":
    TABLE.write_text("\n".join(declared()) + "\n")
