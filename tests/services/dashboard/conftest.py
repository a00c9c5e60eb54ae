"""The pages over a real accounts service, with nothing behind the gateway else."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import aiohttp
import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from foodex.adapters.database.engine import open_database
from foodex.adapters.payments.local import LocalPayments
from foodex.adapters.rates.opening import open_rates
from foodex.core.access import Role
from foodex.core.http import put_around
from foodex.core.settings import AccountsSettings, HttpSettings
from foodex.services.accounts import api as accounts_api
from foodex.services.accounts.access import AccountsAccess
from foodex.services.accounts.service import AccountsService
from foodex.services.accounts.tokens import load_or_create_signing_keys
from foodex.services.dashboard.app import beside, create_dashboard
from foodex.services.dashboard.gateway import AppWire, Gateway
from foodex.services.dashboard.session import ACCESS, REFRESH
from foodex.services.gateway.app import create_gateway
from tests.services.accounts.conftest import SetClock
from tests.support.serving import serve

PASSWORD = "correct horse battery"
FAST = AccountsSettings(argon2_memory_kib=8, argon2_passes=1)


@dataclass
class Answer:
    status: int
    text: str
    headers: Mapping[str, str]
    cookies: "SimpleCookie"


@dataclass
class Tab:
    """A browser as far as cookies go: keeps them, sends them, and says whence it asks."""

    web: aiohttp.ClientSession
    url: str
    cookies: dict[str, str] = field(default_factory=dict)

    async def __call__(self, method: str, path: str, data: Any = None, **headers: str) -> Answer:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if method != "GET":
            sent = {"sec-fetch-site": "same-origin"} | sent
        if self.cookies:
            sent["cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        async with self.web.request(
            method, self.url + path, data=data, headers=sent, allow_redirects=False
        ) as answer:
            cookies = answer.cookies
            told = Answer(answer.status, await answer.text(), answer.headers, cookies)
        for name, morsel in cookies.items():
            self.cookies.pop(name, None)
            if morsel["max-age"] != "0":
                self.cookies[name] = morsel.value
        return told

    def another(self) -> "Tab":
        """A second tab, or a thief, with the cookies as they are now."""
        return Tab(self.web, self.url, dict(self.cookies))

    async def sign_in(self, name: str = "ada", wanted: str = "/account") -> Answer:
        given = {"name": name, "password": PASSWORD, "next": wanted}
        return await self("POST", "/sign-in", given)

    def forget_access(self) -> None:
        """As browsers do when an access token's time is over."""
        self.cookies.pop(ACCESS, None)

    @property
    def refresh(self) -> str | None:
        return self.cookies.get(REFRESH)


@dataclass
class House:
    """Pages and gateway at one address; `away` answers of the API instead of the gateway."""

    accounts: AccountsService
    clock: SetClock
    url: str
    web: aiohttp.ClientSession
    asked: list[str]
    away: list[ASGIApp]

    def tab(self) -> Tab:
        return Tab(self.web, self.url)

    async def signed_in(self, name: str = "ada") -> Tab:
        tab = self.tab()
        assert (await tab.sign_in(name)).status == 303
        return tab


@pytest.fixture
def http() -> HttpSettings:
    return HttpSettings()


@pytest.fixture
async def house(tmp_path: Path, http: HttpSettings) -> AsyncIterator[House]:
    database = open_database(f"sqlite+aiosqlite:///{tmp_path}/accounts.db")
    # Cookies are told how long they last, so the clock begins at the browser's time.
    clock = SetClock(at=datetime.now(UTC))
    service = AccountsService(
        database=database,
        settings=FAST,
        clock=clock,
        rates=open_rates("memory://"),
        provider=LocalPayments(secret="secret", tolerance_seconds=300, clock=clock),
        signing=load_or_create_signing_keys(tmp_path / "signing.json"),
    )
    access = AccountsAccess(service, settings=FAST, clock=clock)
    service.listen(access.forget)
    nothing: Any = Mock()
    asked: list[str] = []
    away: list[ASGIApp] = []
    gateway = create_gateway(
        routers={"accounts": accounts_api.router(service)},
        ml=nothing,
        accounts=service,
        access=access,
        settings=http,
    )

    async def watched(scope: Scope, receive: Receive, send: Send) -> None:
        asked.append(f"{scope['method']} {scope['path']}")
        await (away[0] if away else gateway)(scope, receive, send)

    pages = create_dashboard(Gateway(AppWire(watched)), settings=http)
    put_around(gateway, lambda inner: beside(inner, pages))
    async with (
        service.running(),
        access.running(),
        aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as web,
    ):
        for role in Role:
            await service.create_person(role.value, (role,), PASSWORD)
        await service.create_person("ada", (Role.CLIENT,), PASSWORD)
        async with serve(gateway) as url:
            yield House(service, clock, url, web, asked, away)
    await database.close()
