"""Who did what to whom: the audit log with filters."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from fastapi.responses import Response

from foodex.core.access import allow
from foodex.core.errors import FieldProblem, InvalidInput
from foodex.domain.people import Action
from foodex.services.dashboard.gateway import Gateway
from foodex.services.dashboard.navigation import ADMINS
from foodex.services.dashboard.rendering import page

_FIELDS: Final = ("who", "target", "action", "since", "until")
_PER_PAGE: Final = 50


def router(gateway: Gateway) -> APIRouter:
    """The page's routes."""
    routes = APIRouter(dependencies=[allow(*ADMINS)])

    @routes.get("/admin/audit")
    async def audit(request: Request) -> Response:
        chosen = {name: request.query_params.get(name, "").strip() for name in _FIELDS}
        before = request.query_params.get("before", "")
        asked: dict[str, Any] = {
            **chosen,
            "since": _day(chosen["since"], "since"),
            # The last day is wanted whole.
            "until": _day(chosen["until"], "until", timedelta(days=1)),
            "before": before,
            "limit": _PER_PAGE,
        }
        found = await gateway.get("/accounts/audit", asked)
        further = found["next_before"]
        return page(
            request,
            "admin_audit.html",
            lines=found["entries"],
            chosen=chosen,
            actions=[action.value for action in Action],
            more="/admin/audit?" + urlencode({**chosen, "before": further}) if further else None,
            first="/admin/audit?" + urlencode(chosen) if before else None,
        )

    return routes


def _day(text: str, field: str, plus: timedelta = timedelta()) -> str:
    if not text:
        return ""
    try:
        return (datetime.fromisoformat(text).replace(tzinfo=UTC) + plus).isoformat()
    except (ValueError, OverflowError):
        problem = FieldProblem(field, "must be a day")
        raise InvalidInput("The days cannot be read", problems=[problem]) from None
