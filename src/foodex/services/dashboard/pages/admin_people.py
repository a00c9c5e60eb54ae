"""People: who there is, what they may do, and making somebody."""

import asyncio
from typing import Any, Final

from fastapi import APIRouter, Request
from fastapi.responses import Response

from foodex.core.access import Role, allow
from foodex.core.errors import Conflict, InvalidInput, NotFound
from foodex.services.dashboard.gateway import Gateway, part
from foodex.services.dashboard.navigation import ADMINS
from foodex.services.dashboard.rendering import form_pairs, go, page

PLACE: Final = "/admin/people"
_PER_PAGE: Final = 50
ROLES: Final = tuple(Role)


def router(gateway: Gateway) -> APIRouter:
    """The routes of the list and of what changes somebody."""
    routes = APIRouter(dependencies=[allow(*ADMINS)])

    @routes.get(PLACE)
    async def people(request: Request) -> Response:
        begins = request.query_params.get("begins", "").strip().lower()
        after = request.query_params.get("after", "")
        found, balances = await asyncio.gather(
            named(begins) if begins else gateway.get("/accounts/people", _page(after)),
            gateway.get("/accounts/balances", _page(after or begins)),
        )
        return page(
            request,
            "admin_people.html",
            people=found["people"],
            more=found["next_after"],
            after=after,
            begins=begins,
            balances={one["account"]: one for one in balances},
        )

    async def named(begins: str) -> Any:
        # People come by name, so those that begin so follow each other; the word itself is before.
        found, exact = await asyncio.gather(
            gateway.get("/accounts/people", _page(begins)), somebody(begins)
        )
        some = [one for one in found["people"] if one["name"].startswith(begins)]
        return {"people": ([exact] if exact else []) + some, "next_after": None}

    async def somebody(name: str) -> Any:
        try:
            return await gateway.get(f"/accounts/people/{part(name)}")
        except NotFound:
            return None

    @routes.get(f"{PLACE}/new")
    async def new(request: Request) -> Response:
        return page(request, "admin_person_new.html", name="", chosen=("client",), error=None)

    @routes.post(f"{PLACE}/new")
    async def create(request: Request) -> Response:
        pairs = await form_pairs(request)
        given = dict(pairs)
        chosen = tuple(value for key, value in pairs if key == "role")
        wanted: dict[str, Any] = {"name": given.get("name", ""), "roles": chosen}
        if given.get("password"):
            wanted["password"] = given["password"]
        try:
            made = await gateway.post("/accounts/people", wanted)
        except (InvalidInput, Conflict) as error:
            values = {"name": wanted["name"], "chosen": chosen, "error": error}
            return page(request, "admin_person_new.html", status=error.status, **values)
        return page(request, "admin_password.html", made=made, new=True)

    @routes.post(f"{PLACE}/{{name}}/block")
    async def block(request: Request, name: str) -> Response:
        await gateway.post(f"/accounts/people/{part(name)}/block")
        return go(request, place_of(name))

    @routes.post(f"{PLACE}/{{name}}/unblock")
    async def unblock(request: Request, name: str) -> Response:
        await gateway.post(f"/accounts/people/{part(name)}/unblock")
        return go(request, place_of(name))

    @routes.post(f"{PLACE}/{{name}}/sign-out")
    async def sign_out(request: Request, name: str) -> Response:
        await gateway.post(f"/accounts/people/{part(name)}/sign-out-everywhere")
        return go(request, place_of(name))

    return routes


def place_of(name: str) -> str:
    """Where somebody's page is."""
    return f"{PLACE}/{part(name)}"


def _page(after: str) -> dict[str, Any]:
    return {"after": after, "limit": _PER_PAGE}
