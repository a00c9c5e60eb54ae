"""Jobs in the background, and their progress as it happens."""

from collections.abc import AsyncIterator
from typing import Any, Final

from fastapi import APIRouter, Request
from fastapi.responses import Response, StreamingResponse

from foodex.core.access import EVERY_ROLE, allow
from foodex.core.errors import FoodexError
from foodex.services.dashboard.events import event, stream
from foodex.services.dashboard.gateway import Gateway
from foodex.services.dashboard.rendering import fragment, go, inner_path, page

RUNNING: Final = frozenset({"waiting", "running"})
_WAIT_SECONDS: Final = 20


def router(gateway: Gateway) -> APIRouter:
    """The routes of jobs: watching one, and stopping it."""
    routes = APIRouter(dependencies=[allow(*EVERY_ROLE)])

    @routes.get("/jobs/{job_id}/events")
    async def watch(request: Request, job_id: str) -> StreamingResponse:
        return stream(follow(gateway, request, f"/jobs/{job_id}"))

    @routes.get("/jobs/{job_id}/card")
    async def card(request: Request, job_id: str) -> Response:
        return page(request, "parts/job.html", job=await gateway.get(f"/jobs/{job_id}"))

    @routes.post("/jobs/{job_id}/cancel")
    async def cancel(request: Request, job_id: str) -> Response:
        await gateway.post(f"/jobs/{job_id}/cancel")
        return go(request, inner_path(request.query_params.get("next")))

    return routes


async def follow(
    gateway: Gateway, request: Request, path: str, template: str = "parts/progress.html"
) -> AsyncIterator[bytes]:
    """A job's progress until it has ended: `progress` events, then one `ended`.

    Whoever connects again begins with where it stands now, so nothing is missed.
    """
    try:
        job: dict[str, Any] = await gateway.get(path)
        yield event("progress", fragment(request, template, job=job))
        while job["state"] in RUNNING:
            query = {"wait": _WAIT_SECONDS, "seen": job["progress"]}
            job = await gateway.get(path, query)
            yield event("progress", fragment(request, template, job=job))
        yield event("ended", job["state"])
    except FoodexError as error:
        yield event("failed", error.message)
