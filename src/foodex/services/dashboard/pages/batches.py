"""Files of orders: price, progress, download."""

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from foodex.core.access import EVERY_ROLE, allow
from foodex.services.dashboard.gateway import Gateway
from foodex.services.dashboard.rendering import page


def router(gateway: Gateway) -> APIRouter:
    """The page's routes."""
    routes = APIRouter(dependencies=[allow(*EVERY_ROLE)])

    @routes.get("/batches")
    async def show(request: Request) -> HTMLResponse:
        return page(request, "batches.html")

    return routes
