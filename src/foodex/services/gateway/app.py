"""The one public door."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any

from fastapi import APIRouter
from prometheus_client import CollectorRegistry
from starlette.types import ASGIApp

from foodex.core.access import Access
from foodex.core.http import App, Check, create_app, open_to_origins, put_around
from foodex.core.limits import UNLIMITED, Limiter
from foodex.core.settings import HttpSettings
from foodex.ports.accounts import Accounts
from foodex.ports.ml import Ml
from foodex.services.gateway import docs, eta, predictions
from foodex.services.gateway.refusals import teller
from foodex.services.gateway.selling import Desk

_DESCRIPTION = """\
How long will this order take, and what should the customer be told?

Send your key with every request: `Authorization: Bearer KEY`.
"""


def create_gateway(
    *,
    routers: Mapping[str, APIRouter],
    own: Sequence[APIRouter] = (),
    ml: Ml,
    accounts: Accounts | None = None,
    access: Access,
    settings: HttpSettings,
    running: Callable[[], AbstractAsyncContextManager[Any]] = nullcontext,
    checks: Mapping[str, Check] | None = None,
    registry: CollectorRegistry | None = None,
    limiter: Limiter = UNLIMITED,
    layers: Sequence[Callable[[ASGIApp], ASGIApp]] = (),
) -> App:
    """The gateway over the other services' routes, by service name, and more of its `own`.

    With `accounts` clients pay for their forecasts. The routes stand on the services' ports, so
    the same gateway serves them from this process and from processes apart. `layers` are put around
    the whole, within what lets other origins in.
    """
    registry = registry or CollectorRegistry()
    api = APIRouter(prefix="/api/v1")
    desk = Desk(ml, accounts)
    api.include_router(eta.router(desk))
    if accounts is not None:
        api.include_router(predictions.router(ml, accounts))
    for router in own:
        api.include_router(router)
    for name, router in routers.items():
        api.include_router(router, prefix=f"/{name}", tags=[name])
    everything = APIRouter()
    everything.include_router(api)
    everything.include_router(docs.router("FoodEx API"))
    app = create_app(
        "gateway",
        router=everything,
        access=access,
        settings=settings,
        running=running,
        checks=checks,
        registry=registry,
        description=_DESCRIPTION,
        limiter=limiter,
    )
    put_around(
        app,
        lambda inner: eta.eta_lane(
            inner,
            desk=desk,
            access=access,
            registry=registry,
            settings=settings,
            limiter=limiter,
            refused=None if accounts is None else teller(accounts),
        ),
    )
    for layer in layers:
        put_around(app, layer)
    open_to_origins(app, settings)
    return app
