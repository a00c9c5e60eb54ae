"""Models: what answers, how good each version is, what was in production when."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from fastapi import APIRouter, Request
from fastapi.responses import Response, StreamingResponse

from foodex.core.access import allow
from foodex.services.dashboard import model_charts
from foodex.services.dashboard.events import stream
from foodex.services.dashboard.gateway import Gateway
from foodex.services.dashboard.navigation import ANALYSTS, STAFF
from foodex.services.dashboard.pages.jobs import RUNNING, follow
from foodex.services.dashboard.rendering import form, go, page

_JOBS: Final = 20
_EVALUATIONS: Final = 30
_LOG: Final = 20


def router(gateway: Gateway) -> APIRouter:
    """The routes of models: looking is for the house, changing for analysts and admins."""
    routes = APIRouter(dependencies=[allow(*STAFF)])
    _add_looking(routes, gateway)
    changing = APIRouter(dependencies=[allow(*ANALYSTS)])
    _add_changing(changing, gateway)
    routes.include_router(changing)
    return routes


def _add_looking(routes: APIRouter, gateway: Gateway) -> None:
    @routes.get("/models")
    async def models(request: Request) -> Response:
        found, log, jobs = await asyncio.gather(
            gateway.get("/ml/models"),
            gateway.get("/ml/production"),
            gateway.get("/ml/jobs", {"limit": _JOBS}),
        )
        newest = await asyncio.gather(*(_shown_version(gateway, model) for model in found))
        return page(
            request,
            "models.html",
            models=list(zip(found, newest, strict=True)),
            since=_since(log),
            log=log[:_LOG],
            jobs=[job for job in jobs if job["state"] in RUNNING],
        )

    @routes.get("/models/jobs/{job_id}/events")
    async def watch(request: Request, job_id: str) -> StreamingResponse:
        path = f"/ml/jobs/{quote(job_id, safe='')}"
        return stream(follow(gateway, request, path, "parts/scenario_progress.html"))

    @routes.get("/models/{name}")
    async def model(request: Request, name: str) -> Response:
        path = _path(name)
        found, versions, log = await asyncio.gather(
            gateway.get(path),
            gateway.get(f"{path}/versions"),
            gateway.get("/ml/production", {"model": name}),
        )
        return page(
            request,
            "model.html",
            model=found,
            versions=versions,
            answering=next((v for v in versions if v["in_production"]), None),
            before=_before(found, versions, log),
            log=log[:_LOG],
            draw=model_charts,
        )

    @routes.get("/models/{name}/versions/{version}")
    async def version(
        request: Request, name: str, version: int, judged: str = "", by: str = ""
    ) -> Response:
        found, jobs = await asyncio.gather(
            gateway.get(f"{_path(name)}/versions/{version}"),
            gateway.get("/ml/jobs", {"kind": "evaluate", "model": name, "limit": _EVALUATIONS}),
        )
        done = [
            job
            for job in jobs
            if job["state"] == "done" and job["result"].get("version") == version
        ]
        # Of those alike the newest: a judgement of one day says little beside one of many.
        widest = max(done, key=lambda job: job["result"]["n"], default=None)
        chosen = next((job for job in done if job["id"] == judged), widest)
        evaluation = chosen["result"] if chosen else None
        dimensions = model_charts.dimensions(evaluation) if evaluation else []
        return page(
            request,
            "model_version.html",
            version=found,
            summary=found["summary"],
            evaluations=done,
            chosen=chosen,
            evaluation=evaluation,
            dimensions=dimensions,
            by=by if by in dimensions else (dimensions[0] if dimensions else ""),
            drift=model_charts.drifted(found, evaluation) if evaluation else None,
            draw=model_charts,
        )


def _add_changing(routes: APIRouter, gateway: Gateway) -> None:
    @routes.post("/models/jobs/{job_id}/cancel")
    async def cancel(request: Request, job_id: str) -> Response:
        await gateway.post(f"/ml/jobs/{quote(job_id, safe='')}/cancel")
        return go(request, "/models")

    @routes.post("/models/{name}/promote")
    async def promote(request: Request, name: str) -> Response:
        number = quote((await form(request)).get("version", ""), safe="")
        await gateway.post(f"{_path(name)}/versions/{number}/promote")
        return go(request, f"/models/{quote(name, safe='')}")

    @routes.post("/models/{name}/rollback")
    async def rollback(request: Request, name: str) -> Response:
        await gateway.post(f"{_path(name)}/rollback")
        return go(request, f"/models/{quote(name, safe='')}")

    @routes.post("/models/{name}/retire")
    async def retire(request: Request, name: str) -> Response:
        await gateway.post(f"{_path(name)}/retire")
        return go(request, f"/models/{quote(name, safe='')}")

    @routes.post("/models/{name}/delete")
    async def delete(request: Request, name: str) -> Response:
        await gateway.ask("DELETE", _path(name))
        return go(request, "/models")

    @routes.post("/models/{name}/versions/{version}/delete")
    async def delete_version(request: Request, name: str, version: int) -> Response:
        await gateway.ask("DELETE", f"{_path(name)}/versions/{version}")
        return go(request, f"/models/{quote(name, safe='')}")


async def _shown_version(gateway: Gateway, model: Mapping[str, Any]) -> Any:
    """The version by which a model is judged in a list: what answers, else the newest."""
    number = model["production"] or model["latest"]
    return await gateway.get(f"{_path(model['name'])}/versions/{number}") if number else None


def _since(log: list[dict[str, Any]]) -> dict[str, str]:
    """Since when each model's version in production is there, by the model's name."""
    newest: dict[str, str] = {}
    for change in log:
        newest.setdefault(change["model"], change["at"])
    return newest


def _before(
    model: Mapping[str, Any], versions: list[dict[str, Any]], log: list[dict[str, Any]]
) -> int | None:
    """The version that a rollback puts back: the log replayed, as the service does."""
    there = {version["version"] for version in versions}
    stack: list[int] = []
    for change in reversed(log):
        if change["action"] == "promote":
            stack.append(change["version"])
        elif change["action"] == "rollback":
            while stack and stack[-1] != change["version"]:
                stack.pop()
    while stack and (stack[-1] not in there or stack[-1] == model["production"]):
        stack.pop()
    return stack[-1] if stack else None


def _path(name: str) -> str:
    return f"/ml/models/{quote(name, safe='')}"
