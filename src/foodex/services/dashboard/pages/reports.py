"""Reports to read and to send on."""

from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import quote

from fastapi import APIRouter, Request
from fastapi.responses import Response, StreamingResponse

from foodex.core.access import allow
from foodex.core.errors import NotFound
from foodex.services.dashboard import scenario_view as view
from foodex.services.dashboard.gateway import Gateway
from foodex.services.dashboard.navigation import STAFF
from foodex.services.dashboard.pages.scenarios import shown_with
from foodex.services.dashboard.passing import passed_on
from foodex.services.dashboard.rendering import POLICY, go, page

_A_PAGE: Final = 30
_DOCUMENT: Final = "report.html"
_FRAMED: Final = {
    # A report is one page of our own making: styles and drawings within it, and nothing else.
    # Without a script it needs nothing of a page's rights, so it is given none.
    "content-security-policy": (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'; "
        "sandbox"
    ),
    "x-frame-options": "SAMEORIGIN",
}


def router(gateway: Gateway) -> APIRouter:
    """The routes of reports: the list, one of them in its page, and the document itself."""
    routes = APIRouter(dependencies=[allow(*STAFF)])

    @routes.get("/reports")
    async def reports(request: Request, before: str = "") -> Response:
        found = await gateway.get("/reports", {"before": before, "limit": _A_PAGE})
        scenarios = await gateway.get("/scenarios")
        return page(
            request,
            "reports.html",
            runs=found["runs"],
            makers=[one for one in scenarios if one["report"]],
            more=f"/reports?before={found['next_before']}" if found["next_before"] else None,
            first="/reports" if before else None,
            about=_about,
            **shown_with(),
        )

    @routes.get("/reports/{run_id}")
    async def report(request: Request, run_id: str) -> Response:
        run = await gateway.get(_path(run_id))
        if not view.report_of(run):
            return go(request, f"/scenarios/runs/{quote(run_id, safe='')}")
        framed = {"content-security-policy": f"{POLICY}; frame-src 'self'"}
        return page(
            request, "report.html", headers=framed, run=run, about=_about(run), **shown_with()
        )

    @routes.get("/reports/{run_id}/document")
    async def document(run_id: str) -> StreamingResponse:
        run = await gateway.get(_path(run_id))
        if not view.report_of(run):
            raise NotFound("This run left no report")
        answer = await passed_on(gateway, f"{_path(run_id)}/files/{_DOCUMENT}", {"inline": True})
        answer.headers.update(_FRAMED)
        return answer

    return routes


def _about(run: dict[str, Any]) -> dict[str, Any]:
    """What a report is on: with the versions and the period that the run chose itself."""
    outcome = run["outcome"] or {}
    chosen = {**run["parameters"], **outcome.get("exact", {})}
    until = chosen.get("until")
    models = chosen.get("models") or [chosen.get("model")]
    return {
        "models": [model for model in models if model],
        "dataset": chosen.get("dataset"),
        "since": chosen.get("since"),
        # An end at midnight is the end of the day before.
        "until": datetime.fromisoformat(until) - timedelta(seconds=1) if until else None,
        "day": chosen.get("day"),
        "days": chosen.get("days"),
    }


def _path(run_id: str) -> str:
    return f"/scenarios/runs/{quote(run_id, safe='')}"
