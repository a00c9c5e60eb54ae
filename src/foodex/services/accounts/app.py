"""The accounts service as an app of its own."""

from collections.abc import Mapping

from fastapi import APIRouter, FastAPI
from prometheus_client import CollectorRegistry

from foodex.core.access import Access
from foodex.core.http import Check
from foodex.core.http import create_app as create_any_app
from foodex.core.settings import HttpSettings
from foodex.ports.accounts import Accounts
from foodex.services.accounts import api, api_system

PREFIX = "/api/v1/accounts"


def create_app(
    accounts: Accounts,
    *,
    access: Access,
    settings: HttpSettings,
    checks: Mapping[str, Check] | None = None,
    registry: CollectorRegistry | None = None,
) -> FastAPI:
    """The app over an accounts port that is running already.

    Besides the routes of the gateway it has those for other services, which no gateway has.
    """
    routes = APIRouter(prefix=PREFIX, tags=["accounts"])
    routes.include_router(api.router(accounts))
    routes.include_router(api_system.router(accounts))
    return create_any_app(
        "accounts",
        router=routes,
        access=access,
        settings=settings,
        checks=checks,
        registry=registry,
        description="People, their keys and sessions, prepaid accounts and paid predictions.",
    )
