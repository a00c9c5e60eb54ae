"""Questions to the data in SQL."""

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from foodex.core.access import allow
from foodex.services.dashboard.gateway import Gateway
from foodex.services.dashboard.navigation import ANALYSTS
from foodex.services.dashboard.rendering import page


def router(gateway: Gateway) -> APIRouter:
    """The page's routes."""
    routes = APIRouter(dependencies=[allow(*ANALYSTS)])

    @routes.get("/data/sql")
    async def show(request: Request) -> HTMLResponse:
        return page(request, "sql.html")

    return routes
