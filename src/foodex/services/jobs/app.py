"""The jobs service as an app of its own."""

from collections.abc import Mapping

from fastapi import APIRouter, FastAPI
from prometheus_client import CollectorRegistry

from foodex.core.access import Access
from foodex.core.http import Check
from foodex.core.http import create_app as create_any_app
from foodex.core.settings import HttpSettings
from foodex.ports.jobs import Jobs
from foodex.services.jobs import api

PREFIX = "/api/v1/jobs"


def create_app(
    jobs: Jobs,
    *,
    access: Access,
    settings: HttpSettings,
    checks: Mapping[str, Check] | None = None,
    registry: CollectorRegistry | None = None,
) -> FastAPI:
    """The app over a jobs port that is running already."""
    routes = APIRouter()
    routes.include_router(api.router(jobs), prefix=PREFIX, tags=["jobs"])
    return create_any_app(
        "jobs",
        router=routes,
        access=access,
        settings=settings,
        checks=checks,
        registry=registry,
        description="Background jobs: asked for, followed, stopped, and their files.",
    )
