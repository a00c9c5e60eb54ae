"""Jobs in the background, and those that were given up."""

import asyncio
from typing import Any, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from fastapi.responses import Response

from foodex.core.access import allow
from foodex.services.dashboard.gateway import Gateway, part
from foodex.services.dashboard.navigation import ADMINS
from foodex.services.dashboard.rendering import form, go, page

STATES: Final = ("waiting", "running", "done", "failed", "cancelled", "dead")
_PER_PAGE: Final = 50


def router(gateway: Gateway) -> APIRouter:
    """The page's routes."""
    routes = APIRouter(dependencies=[allow(*ADMINS)])

    @routes.get("/admin/jobs")
    async def jobs(request: Request) -> Response:
        return page(request, "admin_jobs.html", **await found(request))

    @routes.get("/admin/jobs/list")
    async def part_of_page(request: Request) -> Response:
        return page(request, "parts/admin_jobs.html", **await found(request))

    @routes.post("/admin/jobs/{job_id}/replay")
    async def replay(request: Request, job_id: str) -> Response:
        await gateway.post(f"/jobs/{part(job_id)}/replay")
        return go(request, "/admin/jobs")

    @routes.post("/admin/jobs/{job_id}/cancel")
    async def cancel(request: Request, job_id: str) -> Response:
        await form(request)
        await gateway.post(f"/jobs/{part(job_id)}/cancel")
        return go(request, "/admin/jobs")

    async def found(request: Request) -> dict[str, Any]:
        asked = request.query_params
        chosen = {"state": asked.get("state", ""), "who": asked.get("who", "").strip()}
        if chosen["state"] not in STATES:
            chosen["state"] = ""
        before = asked.get("before", "")
        counts, listed, dead = await asyncio.gather(
            gateway.get("/jobs/counts"),
            gateway.get("/jobs", {**chosen, "before": before, "limit": _PER_PAGE}),
            gateway.get("/jobs/dead/letters", {"limit": _PER_PAGE}),
        )
        return {
            "counts": counts,
            "jobs": listed["jobs"],
            "dead": dead["jobs"],
            "chosen": chosen,
            "before": before,
            "listed": urlencode({**chosen, "before": before}),
            "more": listed["next_before"]
            and "/admin/jobs?" + urlencode({**chosen, "before": listed["next_before"]}),
            "first": "/admin/jobs?" + urlencode(chosen) if before else None,
            "states": STATES,
        }

    return routes
