"""What happened, where, and how good promises are; for clients what they bought."""

import asyncio
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from foodex.core.access import EVERY_ROLE, allow
from foodex.core.errors import InvalidInput, NotFound
from foodex.services.dashboard.gateway import Gateway
from foodex.services.dashboard.navigation import STAFF
from foodex.services.dashboard.overview_figures import PERIODS, Bought, Chosen, Model, Shown
from foodex.services.dashboard.passing import passed_on
from foodex.services.dashboard.rendering import go, page
from foodex.services.dashboard.session import current_viewer

_BUSIEST = 12
_LAST = 6
_STREETS_KEPT = "private, max-age=86400"


def router(gateway: Gateway) -> APIRouter:
    """The page's routes: the page itself at once, what must be added up once it is seen."""
    routes = APIRouter()
    routes.include_router(_everybodys(gateway))
    routes.include_router(_staffs(gateway))
    return routes


def _everybodys(gateway: Gateway) -> APIRouter:
    routes = APIRouter(dependencies=[allow(*EVERY_ROLE)])

    @routes.get("/")
    async def show(request: Request) -> Response:
        viewer = current_viewer()
        if viewer is None or not viewer.may(*STAFF):
            return page(request, "overview_client.html")
        return page(request, "overview.html", chosen=Chosen.of(request.query_params))

    @routes.get("/overview/bought")
    async def bought(request: Request) -> Response:
        usage, last = await asyncio.gather(
            gateway.get("/accounts/usage"), gateway.get("/predictions", {"limit": _LAST})
        )
        return page(
            request,
            "parts/overview_bought.html",
            bought=Bought(usage, datetime.now(UTC).date()),
            predictions=last["predictions"],
        )

    @routes.get("/overview/streets.json")
    async def streets(request: Request) -> Response:
        known = request.headers
        sent = {name: known[name] for name in ("accept-encoding", "if-none-match") if name in known}
        return await passed_on(gateway, "/overview/streets", sent=sent, cache_control=_STREETS_KEPT)

    return routes


def _staffs(gateway: Gateway) -> APIRouter:
    routes = APIRouter(dependencies=[allow(*STAFF)])

    @routes.get("/overview/figures")
    async def figures(request: Request) -> Response:
        chosen = Chosen.of(request.query_params)
        overview, against = await asyncio.gather(_overview(chosen), gateway.get("/overview/model"))
        if not overview["datasets"]:
            return go(request, "/welcome")
        return page(
            request,
            "parts/overview_figures.html",
            chosen=chosen,
            periods=PERIODS,
            overview=overview,
            shown=Shown(overview["facts"]) if overview["facts"] else None,
            model=Model(against) if against else None,
        )

    @routes.get("/overview/stores")
    async def stores(request: Request) -> Response:
        query = {**Chosen.of(request.query_params).query(), "stores": _BUSIEST}
        try:
            places = await gateway.get("/overview/places", query)
        except (NotFound, InvalidInput):
            # Why there are none is told where the figures would be.
            places = None
        return page(request, "parts/overview_stores.html", places=places)

    @routes.get("/overview/places.json")
    async def places(request: Request) -> Response:
        query = Chosen.of(request.query_params).query()
        try:
            return await passed_on(gateway, "/overview/places", query)
        except (NotFound, InvalidInput):
            return Response(status_code=204)

    async def _overview(chosen: Chosen) -> dict[str, Any]:
        try:
            found: dict[str, Any] = await gateway.get("/overview", chosen.query())
        except (NotFound, InvalidInput) as error:
            # No such data set or period: something else can be chosen at once.
            others = await gateway.get("/overview")
            found = {**others, "facts": None, "without_facts": error.message}
            if any(one["name"] == chosen.dataset for one in others["datasets"]):
                found["dataset"] = chosen.dataset
        return found

    return routes
