"""The dashboard in a process of its own, over a gateway elsewhere."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from foodex.core.settings import HttpSettings
from foodex.domain.people import Action, AuditFilter
from foodex.services.dashboard.app import create_dashboard
from foodex.services.dashboard.gateway import Gateway, HttpWire
from tests.services.dashboard.conftest import House, Tab
from tests.support.serving import serve


@asynccontextmanager
async def apart(gateway: str, settings: HttpSettings) -> AsyncIterator[str]:
    async with (
        HttpWire(gateway) as wire,
        serve(create_dashboard(Gateway(wire), settings=settings)) as url,
    ):
        yield url


@pytest.mark.parametrize("http", [HttpSettings(trusted_proxies=("127.0.0.1",))])
async def test_people_use_it_as_if_it_were_the_gateway(house: House, http: HttpSettings) -> None:
    async with apart(house.url, http) as url:
        tab = Tab(house.web, url)
        assert (await tab("GET", "/account")).headers["location"].startswith("/sign-in")
        given = {"name": "ada", "password": "wrong", "next": "/"}
        told = await tab("POST", "/sign-in", given, x_forwarded_for="192.0.2.7")
        assert told.status == 401
        # Guesses are counted where the guesser is, not where the dashboard is.
        found = await house.accounts.audit(AuditFilter(actions=(Action.SIGN_IN_FAILED,)))
        assert [line.address for line in found.entries] == ["192.0.2.7"]
        assert (await tab.sign_in()).status == 303
        assert (await tab("GET", "/session")).headers["foodex-viewer"] == "ada"
        tab.forget_access()
        assert (await tab("GET", "/session")).status == 204
        assert (await tab("POST", "/sign-out")).status == 303


async def test_a_gateway_that_is_away_signs_nobody_out(house: House) -> None:
    tab = await house.signed_in()
    async with apart("http://127.0.0.1:9", HttpSettings()) as url:
        cut_off = Tab(house.web, url, dict(tab.cookies))
        told = await cut_off("GET", "/account")
        assert told.status == 503
        assert not told.cookies
