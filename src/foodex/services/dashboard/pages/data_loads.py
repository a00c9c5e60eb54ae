"""Loads: their log, one as it runs, what it kept and what it rejected."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from fastapi import APIRouter, Request
from fastapi.responses import Response, StreamingResponse

from foodex.core.access import allow
from foodex.services.dashboard.events import stream
from foodex.services.dashboard.gateway import Gateway
from foodex.services.dashboard.navigation import ANALYSTS, STAFF
from foodex.services.dashboard.pages.jobs import follow
from foodex.services.dashboard.passing import passed_on
from foodex.services.dashboard.rendering import go, page

LOADS: Final = 50
REJECTIONS: Final = 50


def router(gateway: Gateway) -> APIRouter:
    """The routes of loads."""
    routes = APIRouter(dependencies=[allow(*STAFF)])

    @routes.get("/data/loads")
    async def loads(request: Request, before: int | None = None) -> Response:
        found = await gateway.get("/collector/loads", {"before": before, "limit": LOADS})
        more = found[-1]["id"] if len(found) == LOADS else None
        return page(request, "data_loads.html", loads=found, more=more, before=before)

    @routes.get("/data/loads/{load_id}")
    async def load(request: Request, load_id: int, after: int = 0) -> Response:
        query = {"after": after, "limit": REJECTIONS}
        found, refused = await asyncio.gather(
            gateway.get(f"/collector/loads/{load_id}"),
            gateway.get(f"/collector/loads/{load_id}/rejections", query),
        )
        return page(
            request,
            "data_load.html",
            load=found,
            rejections=refused,
            after=after,
            more=refused[-1]["row"] if len(refused) == REJECTIONS else None,
            nothing_usable=nothing_usable(found),
        )

    @routes.get("/data/loads/{load_id}/events")
    async def watch(request: Request, load_id: int) -> StreamingResponse:
        path = f"/collector/loads/{load_id}"
        return stream(follow(gateway, request, path, "parts/data_progress.html"))

    @routes.get("/data/loads/{load_id}/rejections.csv")
    async def rejections(load_id: int) -> Response:
        return await passed_on(gateway, f"/collector/loads/{load_id}/rejections.csv")

    @routes.post("/data/loads/{load_id}/cancel", dependencies=[allow(*ANALYSTS)])
    async def cancel(request: Request, load_id: int) -> Response:
        await gateway.post(f"/collector/loads/{load_id}/cancel")
        return go(request, f"/data/loads/{load_id}")

    return routes


def nothing_usable(load: Mapping[str, Any]) -> bool:
    """Whether rows were read, none was kept, and not because all are there already."""
    refused = set(load["rejected_by_rule"]) - {"duplicate_order"}
    return load["state"] == "done" and load["rows_kept"] == 0 and bool(refused)
