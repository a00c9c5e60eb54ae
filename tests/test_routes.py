"""Every route says who may call it, and holds to it."""

from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest
from fastapi import FastAPI

from foodex.bootstrap import api_description
from foodex.core.access import Access, Principal, Role, scope_of
from foodex.core.errors import NotAuthenticated
from foodex.core.settings import HttpSettings
from foodex.domain.people import Scope
from foodex.services.accounts.app import create_app as create_accounts_app
from scripts.write_reference import route_roles, walk_routes
from tests.support.serving import serve


class RolesInTheHeader(Access):
    """Tests say in a header which roles the caller has."""

    async def authenticate(self, headers: Any) -> Principal | None:
        given = headers.get("x-roles")
        if given is None:
            return None
        if given == "wrong":
            raise NotAuthenticated
        scopes = headers.get("x-scopes")
        return Principal(
            "probe",
            frozenset(Role(role) for role in given.split(",") if role),
            key_id=None if scopes is None else "k1",
            scopes=None if scopes is None else frozenset(scopes.split(",")),
        )


def test_every_route_is_marked() -> None:
    routes = walk_routes(api_description())
    assert len(routes) > 40
    assert [route.path for route in routes if route_roles(route) is None] == []


PUBLIC = {
    "/",
    "/docs",
    "/docs/{name}",
    "/reference",
    "/health/live",
    "/health/ready",
    "/health/startup",
    "/metrics",
    "/openapi.json",
    "/api/v1/accounts/register",
    "/api/v1/accounts/sign-in",
    "/api/v1/accounts/refresh",
    "/api/v1/accounts/sign-out",
    "/api/v1/accounts/prices",
    # The link is the right to the file, for as long as it lasts.
    "/api/v1/jobs/linked/{token}",
    "/api/v1/accounts/payments/notices",
}


def test_only_these_are_public() -> None:
    found = {r.path for r in walk_routes(api_description()) if not route_roles(r)}
    assert found <= PUBLIC


def calls(app: FastAPI) -> Iterator[tuple[Any, str, str]]:
    """Every route that somebody may be refused at, with a method and a path to try it with."""
    for route in walk_routes(app):
        if route_roles(route):
            path = route.path_format
            for name in route.param_convertors:
                path = path.replace("{" + name + "}", "1")
            for method in route.methods:
                yield route, method, path


@pytest.mark.parametrize("role", [None, "wrong", *Role])
async def test_roles_are_held(role: str | None) -> None:
    """Who may not call a route is refused before anything else is looked at."""
    app = api_description(access=RolesInTheHeader())
    headers = {} if role is None else {"x-roles": role}
    problems = []
    async with serve(app) as url, aiohttp.ClientSession(headers=headers) as session:
        for route, method, path in calls(app):
            async with session.request(method, url + path) as answer:
                refused = answer.status in (401, 403)
                expected = 401 if role in (None, "wrong") else 403
                if role in (route_roles(route) or ()):
                    if refused:
                        problems.append(f"{role} is refused at {method} {path}")
                elif answer.status != expected:
                    problems.append(f"{role} got {answer.status} at {method} {path}")
    assert problems == []


def scope_that_opens(route: Any) -> str | None:
    found = [scope_of(dependency.call) for dependency in route.dependant.dependencies]
    return next((scope for scope in found if scope), None)


@pytest.mark.parametrize("scopes", [(), *((scope,) for scope in Scope), tuple(Scope)], ids=str)
async def test_a_key_opens_only_routes_of_its_scopes(scopes: tuple[Scope, ...]) -> None:
    """Though it is the key of somebody who may do everything."""
    app = api_description(access=RolesInTheHeader())
    headers = {"x-roles": ",".join(Role), "x-scopes": ",".join(scopes)}
    problems, opened = [], set()
    async with serve(app) as url, aiohttp.ClientSession(headers=headers) as session:
        for route, method, path in calls(app):
            async with session.request(method, url + path) as answer:
                needed = scope_that_opens(route)
                if (needed in scopes) is (answer.status == 403):
                    problems.append(f"{scopes} got {answer.status} at {method} {path}")
                if answer.status != 403:
                    opened.add(needed)
    assert problems == []
    assert {scope for scope in opened if scope} <= set(scopes)
    assert opened >= {Scope.BALANCE_READ, Scope.PREDICTIONS_READ} & set(scopes)


@pytest.mark.parametrize("role", [None, "wrong", *Role, ",".join(Role)])
async def test_routes_for_services_open_to_services_alone(role: str | None) -> None:
    """Not even to somebody who may do everything, by whatever credentials."""
    nothing: Any = object()
    app = create_accounts_app(nothing, access=RolesInTheHeader(), settings=HttpSettings())
    paths = [
        (method, route.path_format.format(**dict.fromkeys(route.param_convertors, "1")))
        for route in walk_routes(app)
        for method in route.methods
        if "/system/" in route.path_format
    ]
    assert len(paths) > 10
    headers = {} if role is None else {"x-roles": role}
    expected = 401 if role in (None, "wrong") else 403
    async with serve(app) as url, aiohttp.ClientSession(headers=headers) as session:
        for method, path in paths:
            async with session.request(method, url + path) as answer:
                assert answer.status == expected, (method, path)


def test_no_gateway_has_the_routes_for_services() -> None:
    assert not [r.path for r in walk_routes(api_description()) if "/system/" in r.path]
