"""Pages over an API that says what a test has it say, and remembers what it was asked."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp

from foodex.core.errors import FoodexError
from foodex.core.http import problem_response
from foodex.core.settings import HttpSettings
from foodex.services.dashboard.app import create_dashboard
from foodex.services.dashboard.gateway import Body, Gateway, Opened
from foodex.services.dashboard.session import ACCESS
from tests.support.serving import serve

CLIENT = {
    "name": "ada",
    "roles": ["client"],
    "account": "ada",
    "balance_minor": 500,
    "currency": "EUR",
}
OPERATOR = {**CLIENT, "name": "olga", "roles": ["operator"], "account": "olga", "balance_minor": 0}
ADMIN = {**OPERATOR, "name": "anna", "roles": ["admin"], "account": "anna"}
PRICES = [
    {"operation": "eta", "unit_minor": 2, "currency": "EUR", "model": None, "quantity": 1},
    {"operation": "eta_batch", "unit_minor": 1, "currency": "EUR", "model": None, "quantity": 1},
]


@dataclass(frozen=True)
class Asked:
    """A request as the API got it."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Api:
    """What the API says to `METHOD /path` below /api/v1: JSON, bytes, or an error."""

    says: dict[str, Any]
    headers: dict[str, dict[str, str]] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)

    def all(self, method: str, path: str) -> list[Asked]:
        return [one for one in self.asked if (one.method, one.path) == (method, path)]

    @asynccontextmanager
    async def send(
        self, method: str, target: str, headers: Mapping[str, str], body: Body
    ) -> AsyncIterator[Opened]:
        parts = urlsplit(target)
        path = parts.path.removeprefix("/api/v1")
        sent = body if isinstance(body, bytes) else b"".join([piece async for piece in body])
        self.asked.append(Asked(method, path, parse_qs(parts.query), headers, sent))
        said = self.says[f"{method} {path}"]
        status = 200
        if isinstance(said, FoodexError):
            answer = problem_response(said)
            status, told = answer.status_code, bytes(answer.body)
        else:
            told = said if isinstance(said, bytes) else json.dumps(said).encode()

        async def pieces() -> AsyncIterator[bytes]:
            yield told

        yield Opened(status, self.headers.get(f"{method} {path}", {}), pieces())


@dataclass(frozen=True)
class Answer:
    """What a page answered."""

    status: int
    text: str
    headers: Mapping[str, str]


@dataclass
class Pages:
    """The pages, asked by whoever the API says it is."""

    web: aiohttp.ClientSession
    url: str

    async def __call__(
        self, method: str, path: str, data: Any = None, *, part: bool = False
    ) -> Answer:
        sent = {"cookie": f"{ACCESS}=token", "sec-fetch-site": "same-origin"}
        if part:
            sent["hx-request"] = "true"
        async with self.web.request(
            method, self.url + path, data=data, headers=sent, allow_redirects=False
        ) as answer:
            return Answer(answer.status, await answer.text(), answer.headers)


@asynccontextmanager
async def pages_over(api: Api) -> AsyncIterator[Pages]:
    """The pages over this API, served."""
    dashboard = create_dashboard(Gateway(api), settings=HttpSettings())
    async with (
        serve(dashboard) as url,
        aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as web,
    ):
        yield Pages(web, url)
