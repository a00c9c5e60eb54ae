"""`POST /api/v1/eta`: one order in, its promise out, with as little in between as there can be."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Body, Header, Query, Request, Response
from prometheus_client import CollectorRegistry
from starlette.types import ASGIApp

from foodex.core.access import Access, Role, allow, current_principal
from foodex.core.lane import Asked, Lane, Refused, read_object, read_query
from foodex.core.limits import UNLIMITED, Limiter, RawHeaders
from foodex.core.settings import HttpSettings
from foodex.domain.forecasts import Ask
from foodex.domain.people import Scope
from foodex.services.gateway.answers import Eta
from foodex.services.gateway.selling import Desk

PATH: Final = "/api/v1/eta"
MAX_BODY_BYTES: Final = 1 << 16
"""No order is larger."""

_ROLES: Final = frozenset(Role)


def _header(description: str) -> dict[str, Any]:
    return {"description": description, "schema": {"type": "string"}}


_KEY_HEADER: Final = "idempotency-key"
_PAID: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "headers": {
            "foodex-prediction-id": _header(
                "Under which it is recorded; with it, it is made again."
            ),
            "foodex-price-minor": _header("What was charged, in minor units."),
            "foodex-balance-minor": _header("What the charge left."),
            "foodex-currency": _header("Of both."),
            "idempotency-replayed": _header("`true` where it had been answered before."),
        }
    },
}

EXAMPLE: Final[dict[str, Any]] = {
    "order_id": "A-1001",
    "store_id": "store-17",
    "city": "Helsinki",
    "placed_at": "2026-03-06T18:42:00+02:00",
    "store_lat": 60.1699,
    "store_lon": 24.9384,
    "customer_lat": 60.1841,
    "customer_lon": 24.9496,
    "items": 3,
    "subtotal_minor": 3450,
}


def router(desk: Desk) -> APIRouter:
    """The ordinary route: it describes the endpoint, and serves it where no lane does."""
    routes = APIRouter(tags=["eta"])

    @routes.post(
        "/eta",
        dependencies=[allow(*_ROLES, scope=Scope.ETA)],
        summary="When will this order be there?",
        response_model=Eta,
        responses=_PAID,
        max_body_size=MAX_BODY_BYTES,
    )
    async def eta(
        request: Request,
        order: Annotated[dict[str, Any], Body(examples=[EXAMPLE])],
        model: Annotated[
            str | None,
            Query(description="Which model answers; without it, the one promoted last."),
        ] = None,
        explain: Annotated[
            bool, Query(description="Tell what each factor added, in minutes.")
        ] = False,
        idempotency_key: Annotated[
            str | None,
            Header(description="Under it the same is answered again, and charged once."),
        ] = None,
    ) -> Response:
        """All fields of the delivery record that are known when an order is placed may be sent.

        None has to be: what is missing is named in the answer. Without `placed_at` the order is
        placed now. An answer is always found; `source` says how good it can be.

        Clients pay: the answer is charged and recorded before it is given, and headers tell what
        was paid. Where the balance does not cover the price, nothing is answered (402).
        """
        ask = Ask(order=order, model=model, explain=explain)
        body, headers = await desk.answer(
            current_principal(), ask, await request.body(), idempotency_key
        )
        told = {name.decode(): value.decode() for name, value in headers}
        return Response(body, headers=told, media_type="application/json")

    return routes


def eta_lane(
    app: ASGIApp,
    *,
    desk: Desk,
    access: Access,
    registry: CollectorRegistry,
    settings: HttpSettings,
    limiter: Limiter = UNLIMITED,
    refused: Refused | None = None,
) -> Lane:
    """The lane in front of the app; its answers are those of the ordinary route."""

    async def answer(asked: Asked) -> tuple[bytes, RawHeaders]:
        order = read_object(asked.body, "order")
        model, explain = read_query(asked.query)
        ask = Ask(order=order, model=model, explain=explain)
        return await desk.answer(asked.principal, ask, asked.body, asked.headers.get(_KEY_HEADER))

    return Lane(
        app,
        path=PATH,
        answer=answer,
        roles=_ROLES,
        scope=Scope.ETA,
        most_body_bytes=MAX_BODY_BYTES,
        name="foodex_eta",
        access=access,
        registry=registry,
        settings=settings,
        limiter=limiter,
        refused=refused,
    )
