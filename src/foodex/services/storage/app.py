"""The storage service as an app of its own."""

from collections.abc import Mapping

from fastapi import APIRouter, FastAPI
from prometheus_client import CollectorRegistry

from foodex.core.access import Access
from foodex.core.http import Check
from foodex.core.http import create_app as create_any_app
from foodex.core.settings import HttpSettings
from foodex.ports.storage import Storage
from foodex.services.storage import api

PREFIX = "/api/v1/storage"


def create_app(
    storage: Storage,
    *,
    access: Access,
    settings: HttpSettings,
    checks: Mapping[str, Check] | None = None,
    registry: CollectorRegistry | None = None,
) -> FastAPI:
    """The app over a storage port that is running already."""
    routes = APIRouter(prefix=PREFIX, tags=["storage"])
    routes.include_router(api.router(storage))
    return create_any_app(
        "storage",
        router=routes,
        access=access,
        settings=settings,
        checks=checks,
        registry=registry,
        description="Data sets, their rows, analytical questions and objects.",
    )
