"""What is seen at a glance, at the public door."""

import asyncio
from dataclasses import replace
from datetime import date
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response

from foodex.core.access import Role, allow
from foodex.domain.datasets import NAME_PATTERN
from foodex.domain.overview import Against, Overview, Places
from foodex.services.gateway.overview.figures import DAYS, Asked, OverviewFigures
from foodex.services.gateway.overview.places import MOST_STORES
from foodex.services.gateway.overview.streets import street_map
from foodex.services.gateway.reports.period import MOST_DAYS

_STAFF: Final = [allow(Role.OPERATOR, Role.ANALYST, Role.ADMIN)]
_FIRST: Final = date(1971, 1, 1)
_LAST: Final = date(2199, 12, 31)
"""Times beyond are none of the warehouse's."""
_KEPT: Final = "private, max-age=86400"


def _asked(
    dataset: Annotated[
        str | None,
        Query(
            pattern=NAME_PATTERN,
            description="A data set of orders; without it, the one that the model in production "
            "learned from, or else the newest.",
        ),
    ] = None,
    first_day: Annotated[
        date | None,
        Query(
            ge=_FIRST,
            le=_LAST,
            description="From this day on; without it, `days` up to the last one.",
        ),
    ] = None,
    last_day: Annotated[
        date | None,
        Query(
            ge=_FIRST,
            le=_LAST,
            description="Up to the end of this day; without it, of the data set's last one.",
        ),
    ] = None,
    days: Annotated[
        int, Query(ge=1, le=MOST_DAYS, description="How many, where `first_day` is not said.")
    ] = DAYS,
) -> Asked:
    return Asked(dataset=dataset, first_day=first_day, last_day=last_day, days=days)


Period = Annotated[Asked, Depends(_asked)]


def router(figures: OverviewFigures) -> APIRouter:
    """The routes over what adds the figures up."""
    routes = APIRouter(prefix="/overview", tags=["overview"])

    @routes.get(
        "",
        dependencies=_STAFF,
        summary="A data set's figures over a period, beside the period before it",
    )
    async def overview(asked: Period) -> Overview:
        """Orders, minutes, lateness against what the company had said, and takings; by day, by
        hour of the week, and of the stores that keep least. `facts` is null where the data set
        cannot tell, which `without_facts` explains."""
        return await figures.overview(asked)

    @routes.get(
        "/places",
        dependencies=_STAFF,
        response_model=Places,
        summary="Where a period's orders were",
    )
    async def places(
        asked: Period,
        stores: Annotated[
            int, Query(ge=0, le=MOST_STORES, description="Most stores, busiest first.")
        ] = MOST_STORES,
    ) -> Any:
        """Stores, and zones of customers as H3 cells as small as still have orders enough."""
        found = await figures.places(asked)
        if (more := len(found.stores) - stores) > 0:
            left_out = found.stores_left_out + more
            found = replace(found, stores=found.stores[:stores], stores_left_out=left_out)
        # Many thousand values: checking each once more would take the others' time.
        return Response(msgspec.json.encode(found), media_type="application/json")

    @routes.get(
        "/model",
        dependencies=_STAFF,
        summary="The version in production against what the company promised",
    )
    async def model() -> Against | None:
        """Of the same orders: how far each was off, and how many came by then. Null where no
        version is in production, or nothing has judged it."""
        return await figures.against()

    @routes.get(
        "/streets",
        # Clients set points on them.
        dependencies=[allow(*Role)],
        response_class=Response,
        responses={200: {"content": {"application/geo+json": {}}}},
        summary="The demonstration city's streets as GeoJSON",
    )
    async def streets(request: Request) -> Response:
        """One feature per class of street; `attribution` must be shown wherever they are."""
        found = await asyncio.to_thread(street_map)
        headers = {"etag": found.etag, "cache-control": _KEPT, "vary": "Accept-Encoding"}
        if request.headers.get("if-none-match") == found.etag:
            return Response(status_code=304, headers=headers)
        body = found.body
        if "gzip" in request.headers.get("accept-encoding", ""):
            body, headers["content-encoding"] = found.compressed, "gzip"
        return Response(body, media_type="application/geo+json", headers=headers)

    return routes
