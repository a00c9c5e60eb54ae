"""One order, answered as it is typed; for clients when they ask, since each answer is paid."""

import asyncio
import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import Response

from foodex.core.access import EVERY_ROLE, allow
from foodex.core.errors import FoodexError, InvalidInput, NotFound, PaymentRequired
from foodex.services.dashboard.answers import interval, waterfall
from foodex.services.dashboard.gateway import Gateway
from foodex.services.dashboard.order_forms import EXAMPLE, curl, read_order
from foodex.services.dashboard.prices import ONE, choices, known_models, pays, prices_of
from foodex.services.dashboard.rendering import form, is_partial, page


@dataclass(frozen=True, slots=True, kw_only=True)
class Paid:
    """What an answer cost, and what that left; `before` if it had been paid already."""

    id: str
    price_minor: int
    balance_minor: int
    currency: str
    before: bool


def router(gateway: Gateway) -> APIRouter:
    """The page's routes."""
    routes = APIRouter(dependencies=[allow(*EVERY_ROLE)])

    @routes.get("/predict")
    async def show(request: Request) -> Response:
        given = {**EXAMPLE, "once": secrets.token_hex(8), **request.query_params}
        return await _page(request, given, command=_command(request, given))

    @routes.post("/predict")
    async def answer(request: Request) -> Response:
        given = await form(request)
        try:
            values = await _answered(request, given)
            status = 200
        except (InvalidInput, NotFound, PaymentRequired) as error:
            values = {"error": error, "command": _command(request, given)}
            # While somebody types, most of what they typed is wrong only so far.
            status = 200 if is_partial(request) else error.status
        if is_partial(request):
            return page(request, "parts/predict_answer.html", pays=pays(), **_NONE | values)
        return await _page(request, given, status=status, **values)

    async def _answered(request: Request, given: Mapping[str, str]) -> dict[str, Any]:
        order = read_order(given)
        model = given.get("model") or None
        body = msgspec.json.encode(order)
        headers = {}
        if pays():
            # The same order of the same form is paid once, however often it is sent.
            asked = hashlib.sha256(body + (model or "").encode()).hexdigest()[:24]
            headers["idempotency-key"] = f"page-{given.get('once', '')[:64]}-{asked}"
        query = {"explain": True, "model": model}
        async with gateway.open("POST", "/eta", query=query, body=body, headers=headers) as opened:
            told = msgspec.json.decode(b"".join([piece async for piece in opened.pieces]))
            paid = _paid(opened.headers)
        return {
            "answer": told,
            "interval": interval(told),
            "steps": waterfall(told["explanation"]) if told["explanation"] else (),
            "paid": paid,
            "command": curl(str(request.base_url), order, model),
        }

    async def _page(
        request: Request, given: Mapping[str, str], *, status: int = 200, **values: Any
    ) -> Response:
        models, prices = await asyncio.gather(known_models(gateway), prices_of(gateway, ONE))
        return page(
            request,
            "predict.html",
            status=status,
            given=given,
            models=choices(models, prices),
            prices=prices,
            pays=pays(),
            near=f"{EXAMPLE['store_lat']},{EXAMPLE['store_lon']}",
            **_NONE | values,
        )

    return routes


_NONE: Final[dict[str, Any]] = {
    "answer": None,
    "error": None,
    "interval": None,
    "steps": (),
    "paid": None,
    "command": "",
}


def _command(request: Request, given: Mapping[str, str]) -> str:
    try:
        return curl(str(request.base_url), read_order(given), given.get("model") or None)
    except FoodexError:
        return ""


def _paid(headers: Mapping[str, str]) -> Paid | None:
    if "foodex-prediction-id" not in headers:
        return None
    return Paid(
        id=headers["foodex-prediction-id"],
        price_minor=int(headers["foodex-price-minor"]),
        balance_minor=int(headers["foodex-balance-minor"]),
        currency=headers["foodex-currency"],
        before=headers.get("idempotency-replayed") == "true",
    )
