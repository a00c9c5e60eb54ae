"""What each stage costs, at the public door."""

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Query

from foodex.core.access import Role, allow
from foodex.domain.costs import MAX_BYTES, MAX_PREDICTIONS, Load, plan
from foodex.services.gateway.costs import curve, load_price_list, told


def router() -> APIRouter:
    """The route; the price list is read each time, so that a new one counts at once."""
    routes = APIRouter(prefix="/costs", tags=["costs"])

    @routes.get(
        "",
        dependencies=[allow(Role.OPERATOR, Role.ANALYST, Role.ADMIN)],
        summary="What each stage costs a month, and where one overtakes the next",
    )
    async def costs(
        predictions: Annotated[
            int | None,
            Query(ge=1, le=MAX_PREDICTIONS, description="A month; else the price list's own."),
        ] = None,
        object_bytes: Annotated[
            int | None,
            Query(
                alias="bytes", ge=0, le=MAX_BYTES, description="Kept; else the price list's own."
            ),
        ] = None,
    ) -> dict[str, Any]:
        """Amounts are exact decimals as texts; `curve` has the totals of more and more
        predictions, with the same bytes kept."""
        return await asyncio.to_thread(_plan, predictions, object_bytes)

    return routes


def _plan(predictions: int | None, object_bytes: int | None) -> dict[str, Any]:
    prices = load_price_list()
    usual = prices.reference
    load = Load(
        predictions=usual.predictions if predictions is None else predictions,
        object_bytes=usual.object_bytes if object_bytes is None else object_bytes,
    )
    return {**told(plan(prices, load)), "curve": curve(prices, load.object_bytes)}
