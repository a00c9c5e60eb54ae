"""What was charged and what was bought: lists with filters, as files, and one prediction whole."""

import asyncio
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from fastapi.responses import Response

from foodex.core.access import EVERY_ROLE, allow
from foodex.core.errors import Conflict, NotFound
from foodex.services.dashboard.answers import interval, waterfall
from foodex.services.dashboard.gateway import Gateway
from foodex.services.dashboard.passing import passed_on
from foodex.services.dashboard.prices import pays
from foodex.services.dashboard.rendering import page

KINDS: Final = ("top_up", "charge", "reservation", "release", "refund", "correction")
_PER_PAGE: Final = 50


def router(gateway: Gateway) -> APIRouter:
    """The routes of entries and of predictions."""
    routes = APIRouter(dependencies=[allow(*EVERY_ROLE)])

    @routes.get("/account/entries")
    async def entries(request: Request) -> Response:
        chosen = _chosen(request, "kind")
        before = request.query_params.get("before")
        query = {**_asked(chosen), "before": before, "limit": _PER_PAGE}
        found = await gateway.get("/accounts/entries", query)
        return page(
            request,
            "account_entries.html",
            entries=found["entries"],
            more=_further("/account/entries", chosen, found["next_before"]),
            first=_further("/account/entries", chosen) if before else None,
            file=_further("/account/entries.csv", chosen),
            chosen=chosen,
            kinds=KINDS,
        )

    @routes.get("/account/entries.csv")
    async def entries_csv(request: Request) -> Response:
        chosen = _chosen(request, "kind")
        return await passed_on(gateway, "/accounts/entries.csv", _asked(chosen))

    @routes.get("/account/predictions")
    async def predictions(request: Request) -> Response:
        chosen = _chosen(request, "model", "key_id")
        before = request.query_params.get("before")
        query = {**_asked(chosen), "before": before, "limit": _PER_PAGE}
        found, keys = await asyncio.gather(
            gateway.get("/accounts/predictions", query),
            gateway.get("/accounts/people/me/keys"),
        )
        return page(
            request,
            "account_predictions.html",
            predictions=found["predictions"],
            more=_further("/account/predictions", chosen, found["next_before"]),
            first=_further("/account/predictions", chosen) if before else None,
            file=_further("/account/predictions.csv", chosen),
            chosen=chosen,
            keys={one["id"]: one["name"] for one in keys},
            pays=pays(),
        )

    @routes.get("/account/predictions.csv")
    async def predictions_csv(request: Request) -> Response:
        chosen = _chosen(request, "model", "key_id")
        return await passed_on(gateway, "/accounts/predictions.csv", _asked(chosen))

    @routes.get("/account/predictions/{prediction_id}")
    async def prediction(request: Request, prediction_id: str) -> Response:
        found = await gateway.get(f"/accounts/predictions/{prediction_id}")
        answer = found["answer"]
        explained = answer and answer.get("explanation")
        return page(
            request,
            "account_prediction.html",
            prediction=found,
            answer=answer,
            interval=interval(answer) if answer else None,
            steps=waterfall(explained) if explained else (),
            paid=None,
        )

    @routes.post("/account/predictions/{prediction_id}/reproduce")
    async def reproduce(request: Request, prediction_id: str) -> Response:
        values: dict[str, Any] = {"again": None, "error": None}
        try:
            values["again"] = await gateway.post(f"/predictions/{prediction_id}/reproduce")
        except (Conflict, NotFound) as error:
            values["error"] = error
        return page(request, "parts/account_reproduced.html", **values)

    return routes


def _chosen(request: Request, *names: str) -> dict[str, str]:
    """The filters of a list as the page's address has them."""
    known = request.query_params
    return {name: known.get(name, "").strip() for name in (*names, "since", "until")}


def _asked(chosen: Mapping[str, str]) -> dict[str, str]:
    """The same for the API: days of UTC, the last one with its whole length."""
    asked = {name: value for name, value in chosen.items() if value}
    for name, more in (("since", 0), ("until", 1)):
        try:
            day = date.fromisoformat(asked.pop(name, ""))
        except ValueError:
            continue
        asked[name] = f"{day + timedelta(days=more)}T00:00:00Z"
    return asked


def _further(path: str, chosen: Mapping[str, str], before: Any = "first") -> str | None:
    """The address of a list with these filters, from a cursor on; None where nothing follows."""
    if before is None:
        return None
    asked = {name: value for name, value in chosen.items() if value}
    if before != "first":
        asked["before"] = str(before)
    return f"{path}?{urlencode(asked)}" if asked else path
