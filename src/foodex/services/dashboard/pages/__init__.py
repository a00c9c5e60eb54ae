"""One module a page; each makes its routes over the gateway."""

from collections.abc import Iterator

from fastapi import APIRouter

from foodex.core.settings import HttpSettings
from foodex.services.dashboard.gateway import Gateway
from foodex.services.dashboard.pages import (
    account,
    account_history,
    account_keys,
    admin,
    admin_audit,
    admin_jobs,
    admin_money,
    admin_people,
    admin_person,
    batches,
    costs,
    data,
    data_import,
    data_loads,
    data_sources,
    jobs,
    models,
    overview,
    predict,
    preferences,
    presence,
    reports,
    scenario_runs,
    scenarios,
    sign_in,
    sql,
    welcome,
)

_PAGES = (
    overview,
    predict,
    batches,
    data,
    data_import,
    data_loads,
    data_sources,
    sql,
    models,
    scenario_runs,
    scenarios,
    reports,
    costs,
    account,
    account_history,
    admin,
    admin_people,
    admin_person,
    admin_money,
    admin_jobs,
    admin_audit,
    jobs,
    welcome,
    preferences,
    presence,
)


def all_pages(gateway: Gateway, settings: HttpSettings) -> Iterator[APIRouter]:
    """The routes of all pages."""
    yield sign_in.router(gateway, settings)
    yield account_keys.router(gateway, settings)
    for module in _PAGES:
        yield module.router(gateway)
