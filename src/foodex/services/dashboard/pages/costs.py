"""What each stage costs a month, and where one overtakes the next."""

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from foodex.core.access import allow
from foodex.services.dashboard.gateway import Gateway
from foodex.services.dashboard.navigation import STAFF
from foodex.services.dashboard.rendering import page


def router(gateway: Gateway) -> APIRouter:
    """The page's routes."""
    routes = APIRouter(dependencies=[allow(*STAFF)])

    @routes.get("/costs")
    async def show(request: Request) -> HTMLResponse:
        return page(request, "costs.html")

    return routes
