"""The dashboard's app, and how it stands beside a gateway at one address."""

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any, Final

from fastapi import APIRouter, FastAPI
from prometheus_client import CollectorRegistry
from starlette.types import ASGIApp, Receive, Scope, Send

from foodex.core.http import Check, create_app, put_around
from foodex.core.settings import HttpSettings
from foodex.services.dashboard import files
from foodex.services.dashboard.gateway import Gateway
from foodex.services.dashboard.pages import all_pages
from foodex.services.dashboard.rendering import ErrorPage
from foodex.services.dashboard.session import Sessions, ViewerAccess

_THE_GATEWAYS: Final = ("/api/", "/health/", "/metrics", "/openapi.json", "/docs", "/reference")


def create_dashboard(
    gateway: Gateway,
    *,
    settings: HttpSettings,
    running: Callable[[], AbstractAsyncContextManager[Any]] = nullcontext,
    checks: Mapping[str, Check] | None = None,
    registry: CollectorRegistry | None = None,
) -> FastAPI:
    """The pages over a gateway."""
    everything = APIRouter(include_in_schema=False)
    everything.include_router(files.router())
    for router in all_pages(gateway, settings):
        everything.include_router(router)
    app = create_app(
        "dashboard",
        router=everything,
        access=ViewerAccess(),
        settings=settings,
        running=running,
        checks=checks,
        registry=registry,
        render=ErrorPage,
    )
    put_around(
        app,
        lambda inner: Sessions(inner, gateway=gateway, settings=settings, render=ErrorPage),
    )
    return app


def beside(gateway_app: ASGIApp, dashboard: ASGIApp) -> ASGIApp:
    """Both at one address: what is not the API's is a page."""

    async def split(scope: Scope, receive: Receive, send: Send) -> None:
        a_page = scope["type"] == "http" and not scope["path"].startswith(_THE_GATEWAYS)
        await (dashboard if a_page else gateway_app)(scope, receive, send)

    return split
