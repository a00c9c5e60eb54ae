"""Runs of scenarios: their history, their progress as it happens, what came of them, again."""

import asyncio
import secrets
from typing import Any, Final
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Request
from fastapi.responses import Response, StreamingResponse

from foodex.core.access import EVERY_ROLE, allow
from foodex.services.dashboard import scenario_view as view
from foodex.services.dashboard.events import stream
from foodex.services.dashboard.gateway import Gateway
from foodex.services.dashboard.pages.jobs import follow
from foodex.services.dashboard.pages.scenarios import shown_with
from foodex.services.dashboard.passing import passed_on
from foodex.services.dashboard.rendering import form, go, page

PAGE: Final = "/scenarios/runs"
STATES: Final = ("waiting", "running", "done", "failed", "cancelled", "dead")
_A_PAGE: Final = 30


def router(gateway: Gateway) -> APIRouter:
    """The routes of runs; before those with a scenario's name, which would take `runs` for one."""
    routes = APIRouter(dependencies=[allow(*EVERY_ROLE)])
    _add_history(routes, gateway)
    _add_one(routes, gateway)
    return routes


def _add_history(routes: APIRouter, gateway: Gateway) -> None:
    @routes.get(PAGE)
    async def history(
        request: Request, scenario: str = "", state: str = "", who: str = "", before: str = ""
    ) -> Response:
        chosen = {"scenario": scenario, "state": state, "who": who}
        scenarios, found = await asyncio.gather(
            gateway.get("/scenarios"),
            gateway.get(PAGE, {**chosen, "before": before, "limit": _A_PAGE}),
        )
        kept = {name: value for name, value in chosen.items() if value}
        following = found["next_before"]
        more = urlencode({**kept, "before": following}) if following else ""
        return page(
            request,
            "scenario_runs.html",
            scenarios=scenarios,
            runs=found["runs"],
            chosen=chosen,
            states=STATES,
            more=f"{PAGE}?{more}" if more else None,
            first=f"{PAGE}?{urlencode(kept)}" if before else None,
            **shown_with(),
        )


def _add_one(routes: APIRouter, gateway: Gateway) -> None:
    @routes.get(PAGE + "/{run_id}")
    async def show(request: Request, run_id: str) -> Response:
        run = await gateway.get(_path(run_id))
        scenario = await gateway.get(f"/scenarios/{quote(run['scenario'], safe='')}")
        outcome = run["outcome"]
        return page(
            request,
            "scenario_run.html",
            run=run,
            scenario=scenario,
            pictures=dict(view.pictures(outcome)) if outcome else {},
            keys=[secrets.token_urlsafe(16) for _ in range(2)],
            **shown_with(),
        )

    @routes.get(PAGE + "/{run_id}/events")
    async def watch(request: Request, run_id: str) -> StreamingResponse:
        return stream(follow(gateway, request, _path(run_id), "parts/scenario_progress.html"))

    @routes.post(PAGE + "/{run_id}/cancel")
    async def cancel(request: Request, run_id: str) -> Response:
        await gateway.post(_path(run_id) + "/cancel")
        return go(request, f"{PAGE}/{quote(run_id, safe='')}")

    @routes.post(PAGE + "/{run_id}/repeat")
    async def repeat(request: Request, run_id: str) -> Response:
        given = await form(request)
        run: dict[str, Any] = await gateway.ask(
            "POST",
            _path(run_id) + "/repeat",
            query={"anew": given.get("anew") == "true"},
            headers={"idempotency-key": given.get("_key") or secrets.token_urlsafe(16)},
        )
        return go(request, f"{PAGE}/{run['id']}")

    @routes.get(PAGE + "/{run_id}/files/{name}")
    async def file(run_id: str, name: str) -> StreamingResponse:
        return await passed_on(gateway, f"{_path(run_id)}/files/{quote(name, safe='')}")


def _path(run_id: str) -> str:
    return f"{PAGE}/{quote(run_id, safe='')}"
