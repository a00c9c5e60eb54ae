"""People, prices, the audit log, dead letters and the system's state."""

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from foodex.core.access import allow
from foodex.services.dashboard.gateway import Gateway
from foodex.services.dashboard.navigation import ADMINS
from foodex.services.dashboard.rendering import page


def router(gateway: Gateway) -> APIRouter:
    """The page's routes."""
    routes = APIRouter(dependencies=[allow(*ADMINS)])

    @routes.get("/admin")
    async def show(request: Request) -> HTMLResponse:
        return page(request, "admin.html")

    return routes
