"""The state of the whole system: services, what they stand on, the queue, models that answer."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from foodex.core.access import allow
from foodex.services.dashboard.gateway import Gateway
from foodex.services.dashboard.navigation import ADMINS
from foodex.services.dashboard.rendering import page


def router(gateway: Gateway) -> APIRouter:
    """The page's routes."""
    routes = APIRouter(dependencies=[allow(*ADMINS)])

    @routes.get("/admin")
    async def show(request: Request) -> Response:
        return page(request, "admin.html", system=await state())

    @routes.get("/admin/system")
    async def again(request: Request) -> Response:
        return page(request, "parts/admin_system.html", system=await state())

    async def state() -> dict[str, Any]:
        found: dict[str, Any] = await gateway.get("/system")
        return found

    return routes
