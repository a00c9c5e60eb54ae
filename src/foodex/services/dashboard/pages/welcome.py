"""The way from an empty system to a judged model of one's own file."""

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from foodex.core.access import allow
from foodex.services.dashboard.gateway import Gateway
from foodex.services.dashboard.navigation import STAFF
from foodex.services.dashboard.rendering import page


def router(gateway: Gateway) -> APIRouter:
    """The page's routes."""
    routes = APIRouter(dependencies=[allow(*STAFF)])

    @routes.get("/welcome")
    async def show(request: Request) -> HTMLResponse:
        return page(request, "welcome.html")

    return routes
