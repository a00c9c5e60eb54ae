"""Prices, payments that wait, and whether the ledger holds."""

import asyncio

from fastapi import APIRouter, Request
from fastapi.responses import Response

from foodex.core.access import allow
from foodex.services.dashboard.gateway import Gateway, part
from foodex.services.dashboard.navigation import ADMINS
from foodex.services.dashboard.rendering import form, go, page


def router(gateway: Gateway) -> APIRouter:
    """The page's routes."""
    routes = APIRouter(dependencies=[allow(*ADMINS)])

    @routes.get("/admin/money")
    async def show(request: Request) -> Response:
        waiting = {"everybody": True, "state": "pending", "limit": 50}
        prices, payments, system = await asyncio.gather(
            gateway.get("/accounts/prices"),
            gateway.get("/accounts/payments", waiting),
            gateway.get("/system"),
        )
        provider = next((a["kind"] for a in system["adapters"] if a["seam"] == "payments"), "")
        return page(
            request,
            "admin_money.html",
            prices=prices,
            payments=payments["payments"],
            pretended=provider == "local",
        )

    @routes.get("/admin/money/verification")
    async def verify(request: Request) -> Response:
        found = await gateway.get("/accounts/ledger/verification")
        return page(request, "parts/admin_verification.html", found=found)

    @routes.post("/admin/money/payments/{payment_id}/pretend")
    async def pretend(request: Request, payment_id: str) -> Response:
        account = (await form(request)).get("account", "")
        path = f"/accounts/payments/{part(payment_id)}/pretend"
        await gateway.post(path, query={"account": account})
        return go(request, "/admin/money")

    return routes
