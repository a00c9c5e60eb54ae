"""`POST /api/v1/ml/forecast` in a lane of its own, where orders that wait share a model call."""

from typing import Any, Final

import msgspec
from prometheus_client import CollectorRegistry
from starlette.types import ASGIApp

from foodex.core.access import Access
from foodex.core.gathering import Gathering
from foodex.core.lane import Asked, Lane, read_object, read_query
from foodex.core.limits import UNLIMITED, Limiter, RawHeaders
from foodex.core.settings import HttpSettings
from foodex.domain.forecasts import Answered, Ask
from foodex.domain.people import Scope
from foodex.ports.ml import Ml
from foodex.services.ml.api import MAY_FORECAST

PATH: Final = "/api/v1/ml/forecast"
MAX_BODY_BYTES: Final = 1 << 16
"""No order is larger."""

_encode = msgspec.json.Encoder().encode


def forecast_lane(
    app: ASGIApp,
    *,
    ml: Ml,
    access: Access,
    registry: CollectorRegistry,
    settings: HttpSettings,
    limiter: Limiter = UNLIMITED,
) -> Lane:
    """The lane in front of the app; its answers are those of the app's own route."""
    gathering: Gathering[Ask, Answered] = Gathering(ml.answers)

    async def answer(asked: Asked) -> tuple[bytes, RawHeaders]:
        order: dict[str, Any] = read_object(asked.body, "order")
        model, explain = read_query(asked.query)
        answered = await gathering.ask(Ask(order=order, model=model, explain=explain))
        return _encode(answered.forecast), ()

    return Lane(
        app,
        path=PATH,
        answer=answer,
        roles=MAY_FORECAST,
        scope=Scope.ETA,
        most_body_bytes=MAX_BODY_BYTES,
        name="foodex_forecast_http",
        access=access,
        registry=registry,
        settings=settings,
        limiter=limiter,
    )
