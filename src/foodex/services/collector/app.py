"""The collector service as an app of its own."""

from collections.abc import Mapping

from fastapi import APIRouter, FastAPI
from prometheus_client import CollectorRegistry

from foodex.core.access import Access
from foodex.core.http import Check
from foodex.core.http import create_app as create_any_app
from foodex.core.settings import HttpSettings
from foodex.ports.collector import Collector
from foodex.services.collector import api

PREFIX = "/api/v1/collector"


def create_app(
    collector: Collector,
    *,
    access: Access,
    settings: HttpSettings,
    checks: Mapping[str, Check] | None = None,
    registry: CollectorRegistry | None = None,
) -> FastAPI:
    """The app over a collector port that is running already."""
    routes = APIRouter(prefix=PREFIX, tags=["collector"])
    routes.include_router(api.router(collector))
    return create_any_app(
        "collector",
        router=routes,
        access=access,
        settings=settings,
        checks=checks,
        registry=registry,
        description="Sources, mappings and loads.",
    )
