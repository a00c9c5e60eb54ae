"""Pages over an API that is told what to say: for what pages make of answers."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from foodex.core.settings import HttpSettings
from foodex.services.dashboard.app import create_dashboard
from foodex.services.dashboard.gateway import AppWire, Gateway
from foodex.services.dashboard.session import ACCESS
from tests.support.serving import serve


@dataclass
class Asked:
    """A request that reached the API."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Api:
    """Answers by method and path: JSON, or a problem with its status, or a response."""

    roles: tuple[str, ...] = ("analyst",)
    says: dict[str, Any] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)

    def refuses(self, what: str, status: int, type_: str, **more: Any) -> None:
        """Have one request answered with a problem."""
        told = {"type": f"urn:foodex:problem:{type_}", "status": status, **more}
        self.says[what] = JSONResponse(told, status, media_type="application/problem+json")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        path = scope["path"].removeprefix("/api/v1")
        body = await request.body()
        headers, query = dict(request.headers), dict(request.query_params)
        self.asked.append(Asked(request.method, path, query, headers, body))
        me = {"name": "ada", "roles": self.roles, "account": None}
        me |= {"balance_minor": None, "currency": None}
        said = {"GET /accounts/me": me, **self.says}.get(f"{request.method} {path}")
        if said is None:
            said = JSONResponse(
                {"type": "urn:foodex:problem:not-found", "status": 404, "detail": f"no {path}"}, 404
            )
        answer = said if isinstance(said, Response) else JSONResponse(said)
        await answer(scope, receive, send)

    def last(self, what: str) -> Asked:
        """The last request of a method and path."""
        return [one for one in self.asked if f"{one.method} {one.path}" == what][-1]


@dataclass
class Browser:
    """Asks for pages as somebody who has signed in."""

    web: aiohttp.ClientSession
    url: str

    async def __call__(
        self, method: str, path: str, data: Any = None, **headers: str
    ) -> tuple[int, str, aiohttp.ClientResponse]:
        sent = {"cookie": f"{ACCESS}=token", "sec-fetch-site": "same-origin"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.web.request(
            method, self.url + path, data=data, headers=sent, allow_redirects=False
        ) as answer:
            return answer.status, await answer.text(), answer


@asynccontextmanager
async def pages_over(api: Api) -> AsyncIterator[Browser]:
    """The pages of a dashboard whose API is this one."""
    app = create_dashboard(Gateway(AppWire(api)), settings=HttpSettings())
    async with serve(app) as url, aiohttp.ClientSession() as web:
        yield Browser(web, url)
