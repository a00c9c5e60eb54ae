"""What each stage costs a month, and where one overtakes the next."""

import asyncio
import math
import secrets
from collections.abc import Mapping
from typing import Any, Final

from fastapi import APIRouter, Request
from fastapi.responses import Response

from foodex.core.access import allow
from foodex.services.dashboard import charts
from foodex.services.dashboard.catalogue import Texts
from foodex.services.dashboard.gateway import Gateway
from foodex.services.dashboard.navigation import STAFF
from foodex.services.dashboard.rendering import is_partial, page

PREDICTIONS: Final = (3.0, 9.5)
"""Ends of the slider for predictions a month, as powers of ten."""
GIGABYTES: Final = (0.0, 6.0)
"""Ends of the slider for gigabytes kept, as powers of ten."""
_DIGITS: Final = 2
_PLANS: Final = 20
_GB: Final = 10**9


def router(gateway: Gateway) -> APIRouter:
    """The page's routes."""
    routes = APIRouter(dependencies=[allow(*STAFF)])

    @routes.get("/costs")
    async def show(request: Request, p: str = "", g: str = "") -> Response:
        query = {
            "predictions": _meant(p, PREDICTIONS, 1),
            "bytes": _meant(g, GIGABYTES, _GB),
        }
        if is_partial(request):
            return page(
                request, "parts/costs_plan.html", **_shown(await gateway.get("/costs", query))
            )
        plan, measured = await asyncio.gather(gateway.get("/costs", query), _measured(gateway))
        load = plan["load"]
        return page(
            request,
            "costs.html",
            **_shown(plan),
            measured=measured,
            key=secrets.token_urlsafe(16),
            sliders={
                "predictions": (*PREDICTIONS, _place(load["predictions"], PREDICTIONS)),
                "gigabytes": (*GIGABYTES, _place(load["objects_gb"], GIGABYTES)),
            },
        )

    return routes


async def _measured(gateway: Gateway) -> dict[str, Any] | None:
    """What the worker's machine answered when it was last measured, and when that was."""
    query = {"scenario": "plan-costs", "state": "done", "limit": _PLANS}
    for run in (await gateway.get("/scenarios/runs", query))["runs"]:
        found = run["outcome"]["facts"].get("measured")
        if found:
            return {**found, "at": run["finished_at"], "run": run["id"]}
    return None


def _shown(plan: Mapping[str, Any]) -> dict[str, Any]:
    return {"plan": plan, "drawn": drawn, "significant": significant}


def drawn(plan: Mapping[str, Any], t: Texts) -> charts.Option:
    """Each stage's costs as the load grows, both in powers of ten; crossings as dashed lines."""
    series = {
        t(f"costs.stage.{stage['stage']}"): [
            (point["predictions"], float(total))
            for point in plan["curve"]
            if (total := point["totals"][stage["stage"]]) is not None and float(total) > 0
        ]
        for stage in plan["stages"]
    }
    option = charts.scatter(series, unit="money")
    option["xAxis"] |= {"type": "log", "min": 10 ** PREDICTIONS[0], "max": 10**10}
    option["yAxis"] |= {"type": "log"}
    for one in option["series"]:
        one["showSymbol"] = False
        one["symbol"] = "circle"
    amounts = [amount for points in series.values() for _, amount in points] or [1.0]
    ends = (10 ** math.floor(math.log10(min(amounts))), 10 ** math.ceil(math.log10(max(amounts))))
    marks = [(c["from_predictions"], "dashed") for c in plan["crossings"]]
    marks.append((plan["load"]["predictions"], "solid"))
    option["series"] += [
        {
            "type": "line",
            "data": [[place, end] for end in ends],
            "silent": True,
            "showSymbol": False,
            "lineStyle": {"type": kind, "width": 1},
            "tooltip": {"show": False},
            "foodexRole": "reference",
        }
        for place, kind in marks
    ]
    return option


def significant(amount: str) -> tuple[float, int]:
    """An exact amount as a number, and with how many digits behind the point to write it."""
    value = float(amount)
    if value == 0 or abs(value) >= 1:
        return value, _DIGITS
    return value, _DIGITS - 1 - math.floor(math.log10(abs(value)))


def _meant(place: str, ends: tuple[float, float], unit: int) -> int | None:
    """What a place of a slider means, in round figures; None where it is no place."""
    try:
        power = float(place)
    except ValueError:
        return None
    if not ends[0] <= power <= ends[1]:
        return None
    value: float = 10.0**power
    step = int(10 ** max(math.floor(power) - (_DIGITS - 1), 0))
    return round(value / step) * step * unit


def _place(value: float, ends: tuple[float, float]) -> float:
    power = math.log10(value) if value > 0 else ends[0]
    return round(min(max(power, ends[0]), ends[1]), 2)
