"""The ml service as an app of its own."""

from collections.abc import Mapping

from fastapi import APIRouter, FastAPI
from prometheus_client import CollectorRegistry

from foodex.core.access import Access
from foodex.core.http import Check, put_around
from foodex.core.http import create_app as create_any_app
from foodex.core.settings import HttpSettings
from foodex.ports.ml import Ml
from foodex.services.ml import api
from foodex.services.ml.lane import forecast_lane

PREFIX = "/api/v1/ml"


def create_app(
    ml: Ml,
    *,
    access: Access,
    settings: HttpSettings,
    checks: Mapping[str, Check] | None = None,
    registry: CollectorRegistry | None = None,
) -> FastAPI:
    """The app over a ml port that is running already."""
    routes = APIRouter(prefix=PREFIX, tags=["ml"])
    routes.include_router(api.router(ml))
    registry = registry or CollectorRegistry()
    app = create_any_app(
        "ml",
        router=routes,
        access=access,
        settings=settings,
        checks=checks,
        registry=registry,
        description="Models, the jobs that make them, and the forecasts they give.",
    )
    put_around(
        app,
        lambda inner: forecast_lane(
            inner, ml=ml, access=access, registry=registry, settings=settings
        ),
    )
    return app
