"""One person: their rights, their money, and what was done to them."""

import asyncio
import secrets
from typing import Any, Final

from fastapi import APIRouter, Request
from fastapi.responses import Response

from foodex.core.access import allow
from foodex.core.errors import Conflict, FieldProblem, FoodexError, InvalidInput, PaymentRequired
from foodex.services.dashboard.amounts import minor_units
from foodex.services.dashboard.gateway import Gateway, part
from foodex.services.dashboard.navigation import ADMINS
from foodex.services.dashboard.pages.admin_people import PLACE, place_of
from foodex.services.dashboard.rendering import form, form_pairs, go, page

_SHOWN: Final = 10
_WAYS: Final = {"top-up": "/accounts/top-ups", "correction": "/accounts/corrections"}


def router(gateway: Gateway) -> APIRouter:
    """The routes of one person's page and of the money on it."""
    routes = APIRouter(dependencies=[allow(*ADMINS)])

    @routes.get(f"{PLACE}/{{name}}")
    async def show(request: Request, name: str) -> Response:
        return await shown(request, name)

    @routes.post(f"{PLACE}/{{name}}/roles")
    async def change_roles(request: Request, name: str) -> Response:
        chosen = [value for key, value in await form_pairs(request) if key == "role"]
        try:
            await gateway.ask("PUT", f"/accounts/people/{part(name)}/roles", json={"roles": chosen})
        except (InvalidInput, Conflict) as error:
            return await shown(request, name, "roles", error, chosen=chosen)
        return go(request, place_of(name))

    @routes.post(f"{PLACE}/{{name}}/password")
    async def set_password(request: Request, name: str) -> Response:
        wanted = {"password": (await form(request)).get("password") or None}
        try:
            made = await gateway.post(f"/accounts/people/{part(name)}/password", wanted)
        except InvalidInput as error:
            return await shown(request, name, "password", error)
        return page(request, "admin_password.html", made=made, new=False)

    @routes.post(f"{PLACE}/{{name}}/money")
    async def money(request: Request, name: str) -> Response:
        given = await form(request)
        try:
            wanted = {
                "account": name,
                "amount_minor": minor_units(given.get("amount", "")),
                # A form sent twice does it once.
                "reference": given.get("reference") or None,
                "note": given.get("note", ""),
            }
            way = given.get("way", "")
            if way not in _WAYS:
                raise InvalidInput(problems=[FieldProblem("way", "must be one of the two")])
            if way == "correction" and not wanted["note"]:
                raise InvalidInput(problems=[FieldProblem("note", "must say why")])
            await gateway.post(_WAYS[way], wanted)
        except (InvalidInput, Conflict, PaymentRequired) as error:
            return await shown(request, name, "money", error, given=given)
        return go(request, f"{place_of(name)}#money")

    @routes.post(f"{PLACE}/{{name}}/refund")
    async def refund(request: Request, name: str) -> Response:
        given = await form(request)
        charge = given.get("charge", "")
        # One refund of all that is left of a charge: its reference says so.
        wanted = {"account": name, "charge": charge, "reference": f"refund-of-{charge}"[:200]}
        await gateway.post("/accounts/refunds", wanted)
        return go(request, f"{place_of(name)}#money")

    async def shown(
        request: Request,
        name: str,
        wrong: str = "",
        error: FoodexError | None = None,
        *,
        given: dict[str, str] | None = None,
        chosen: list[str] | None = None,
    ) -> Response:
        """The page; where its form `wrong` could not be done, with the error beside it."""
        person: dict[str, Any] = await gateway.get(f"/accounts/people/{part(name)}")
        account = {"account": person["account"]}
        balance, entries, keys, done = await asyncio.gather(
            gateway.get("/accounts/balance", account),
            gateway.get("/accounts/entries", account | {"limit": _SHOWN}),
            gateway.get(f"/accounts/people/{part(name)}/keys"),
            gateway.get("/accounts/audit", {"target": person["name"], "limit": _SHOWN}),
        )
        back = {one["subject"] for one in entries["entries"] if one["kind"] == "refund"}
        return page(
            request,
            "admin_person.html",
            status=200 if error is None else error.status,
            person=person,
            chosen=person["roles"] if chosen is None else chosen,
            balance=balance,
            entries=entries["entries"],
            refunded=back,
            keys=keys,
            lines=done["entries"],
            given=given or {},
            reference=(given or {}).get("reference") or secrets.token_hex(12),
            error=error,
            wrong=wrong,
            fields={one.field: one.message for one in error.problems} if error else {},
        )

    return routes
