"""Scenarios, their runs and their reports at the public door."""

from collections.abc import AsyncIterator
from pathlib import PurePosixPath
from typing import Annotated, Any, Final
from urllib.parse import quote

from fastapi import APIRouter, Body, Header, Query
from fastapi.responses import StreamingResponse

from foodex.core.access import Role, allow
from foodex.core.following import Seen, Wait
from foodex.core.streams import begun
from foodex.domain.jobs import FileLink, JobState
from foodex.domain.scenarios import Run, RunFilter, RunsPage, ScenarioDescription
from foodex.ports.scenarios import Scenarios

_ANYBODY: Final = [allow(*Role)]
_STAFF: Final = [allow(Role.OPERATOR, Role.ANALYST, Role.ADMIN)]
_EXAMPLE: Final = {"dataset": "orders", "days": 7}
_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".pdf": "application/pdf",
    ".json": "application/json",
    ".csv": "text/csv; charset=utf-8",
}
_SHOWN: Final = frozenset({".html", ".pdf"})
"""What a browser may show as it is: documents of our own making, without scripts."""
_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; sandbox"

Before = Annotated[str | None, Query(description="The `next_before` of the page before.")]
Limit = Annotated[int, Query(ge=1, le=1000)]
IdempotencyKey = Annotated[
    str | None, Header(description="Under it the same is run once; asking again gives that run.")
]
Parameters = Annotated[
    dict[str, Any],
    Body(description="As the scenario's JSON Schema says.", examples=[_EXAMPLE]),
]


def router(scenarios: Scenarios) -> APIRouter:
    """The routes, over the scenarios themselves or their client."""
    routes = APIRouter(prefix="/scenarios", tags=["scenarios"])
    # Before the routes with a scenario's name, which would take `runs` for one.
    _add_runs(routes, scenarios)
    _add_files(routes, scenarios)
    _add_scenarios(routes, scenarios)
    return routes


def reports_router(scenarios: Scenarios) -> APIRouter:
    """The route of the reports that are done."""
    routes = APIRouter(prefix="/reports", tags=["scenarios"])

    @routes.get("", dependencies=_STAFF, summary="Reports that are done, newest first")
    async def reports(before: Before = None, limit: Limit = 100) -> RunsPage:
        """Each with its files: the report as a page, as PDF, and as a value (JSON)."""
        return await scenarios.reports(before=before, limit=limit)

    return routes


def _add_scenarios(routes: APIRouter, scenarios: Scenarios) -> None:
    @routes.get("", dependencies=_ANYBODY, summary="What can be done, with what it takes")
    async def described() -> tuple[ScenarioDescription, ...]:
        """Only what the caller's roles permit; `parameters` is a JSON Schema."""
        return await scenarios.scenarios()

    @routes.get("/{name}", dependencies=_ANYBODY, summary="One scenario")
    async def scenario(name: str) -> ScenarioDescription:
        return await scenarios.scenario(name)

    @routes.post("/{name}/runs", dependencies=_ANYBODY, status_code=202, summary="Run a scenario")
    async def start(
        name: str,
        parameters: Parameters = {},  # noqa: B006
        idempotency_key: IdempotencyKey = None,
    ) -> Run:
        """It runs in the background; follow it under `/scenarios/runs/{id}`."""
        return await scenarios.start(name, parameters, key=idempotency_key)


def _add_runs(routes: APIRouter, scenarios: Scenarios) -> None:
    @routes.get("/runs", dependencies=_ANYBODY, summary="The history of runs, newest first")
    async def runs(
        scenario: Annotated[list[str], Query(description="Of these scenarios only.")] = [],  # noqa: B006
        state: Annotated[list[JobState], Query(description="In these states only.")] = [],  # noqa: B006
        who: Annotated[str | None, Query(description="Of this person only.")] = None,
        before: Before = None,
        limit: Limit = 100,
    ) -> RunsPage:
        """Who ran what when, with what, what came of it, how long it took, and its files.

        A client sees their own.
        """
        wanted = RunFilter(scenarios=tuple(scenario), states=tuple(state), who=who)
        return await scenarios.runs(wanted, before=before, limit=limit)

    @routes.get("/runs/{run_id}", dependencies=_ANYBODY, summary="One run, as far as it is")
    async def run(
        run_id: str,
        wait: Wait = 0.0,
        seen: Seen = -1.0,
    ) -> Run:
        if not wait:
            return await scenarios.run(run_id)
        return await scenarios.wait_for_run(run_id, seen=seen, timeout_seconds=wait)

    @routes.post(
        "/runs/{run_id}/repeat", dependencies=_ANYBODY, status_code=202, summary="Run it again"
    )
    async def repeat(
        run_id: str,
        anew: Annotated[
            bool,
            Query(
                description="With what was asked for then; otherwise exactly as it was made, with "
                "the versions and the period that the run chose itself."
            ),
        ] = False,
        idempotency_key: IdempotencyKey = None,
    ) -> Run:
        return await scenarios.repeat(run_id, anew=anew, key=idempotency_key)

    @routes.post("/runs/{run_id}/cancel", dependencies=_ANYBODY, summary="Stop a run")
    async def cancel(run_id: str) -> Run:
        return await scenarios.cancel(run_id)


def _add_files(routes: APIRouter, scenarios: Scenarios) -> None:
    @routes.get(
        "/runs/{run_id}/files/{name}",
        dependencies=_ANYBODY,
        summary="A file that a run left",
        response_class=StreamingResponse,
    )
    async def file(
        run_id: str,
        name: str,
        inline: Annotated[
            bool, Query(description="Have a browser show a page or a PDF, not keep it.")
        ] = False,
    ) -> StreamingResponse:
        return await _sent(scenarios.file(run_id, name), name, inline=inline)

    @routes.post(
        "/runs/{run_id}/files/{name}/link",
        dependencies=_ANYBODY,
        summary="A link to a file that needs no sign-in and expires",
    )
    async def link(run_id: str, name: str) -> FileLink:
        return await scenarios.link(run_id, name)


async def _sent(pieces: AsyncIterator[bytes], name: str, *, inline: bool) -> StreamingResponse:
    suffix = PurePosixPath(name).suffix
    how = "inline" if inline and suffix in _SHOWN else "attachment"
    headers = {
        "content-disposition": f"{how}; filename*=UTF-8''{quote(name)}",
        "cache-control": "private, no-store",
    }
    if suffix == ".html":
        headers["content-security-policy"] = _POLICY
    return StreamingResponse(
        await begun(pieces),
        media_type=_TYPES.get(suffix, "application/octet-stream"),
        headers=headers,
    )
