"""The jobs service over HTTP."""

from collections.abc import AsyncIterator
from typing import Annotated, Any, Final
from urllib.parse import quote

from fastapi import APIRouter, Body, Query
from fastapi.responses import StreamingResponse

from foodex.core.access import Role, allow, public
from foodex.core.following import Seen, Wait
from foodex.domain.jobs import (
    FileLink,
    Job,
    JobCounts,
    JobFilter,
    JobQuote,
    JobRequest,
    JobsPage,
    JobState,
)
from foodex.domain.people import Scope
from foodex.ports.jobs import Jobs

_ASK: Final = [allow(Role.CLIENT, Role.OPERATOR, Role.ANALYST, Role.ADMIN)]
_SEE: Final = [allow(Role.CLIENT, Role.OPERATOR, Role.ANALYST, Role.ADMIN, scope=Scope.BATCHES)]
_READ: Final = [allow(Role.OPERATOR, Role.ANALYST, Role.ADMIN)]
_REPLAY: Final = [allow(Role.ADMIN)]
_EXAMPLE: Final = {
    "kind": "train",
    "parameters": {"dataset": "orders", "model": "eta"},
    "key": "night-17",
}

Before = Annotated[str | None, Query(description="The `next_before` of the page before.")]
Limit = Annotated[int, Query(ge=1, le=1000)]


def router(service: Jobs) -> APIRouter:
    """The routes, over the service itself or its client."""
    routes = APIRouter()
    _add_jobs(routes, service)
    _add_dead(routes, service)
    _add_files(routes, service)
    return routes


def _add_jobs(routes: APIRouter, service: Jobs) -> None:
    @routes.post("", dependencies=_ASK, status_code=202, summary="Ask for a background job")
    async def accept(request: Annotated[JobRequest, Body(examples=[_EXAMPLE])]) -> Job:
        return await service.accept(request)

    @routes.post("/quote", dependencies=_ASK, summary="What a job would cost; nothing is begun")
    async def quote(request: Annotated[JobRequest, Body(examples=[_EXAMPLE])]) -> JobQuote:
        return await service.quote(request)

    @routes.get("", dependencies=_SEE, summary="Jobs, newest first; a client sees their own")
    async def jobs(
        state: Annotated[list[JobState], Query(description="Of these states only.")] = [],  # noqa: B006
        kind: Annotated[list[str], Query(description="Of these kinds only.")] = [],  # noqa: B006
        who: Annotated[str | None, Query(description="Of this person only.")] = None,
        account: Annotated[str | None, Query(description="Paid by this account only.")] = None,
        before: Before = None,
        limit: Limit = 100,
    ) -> JobsPage:
        wanted = JobFilter(states=tuple(state), kinds=tuple(kind), who=who, account=account)
        return await service.jobs(wanted, before=before, limit=limit)

    @routes.get("/counts", dependencies=_READ, summary="How much there is to do")
    async def job_counts() -> JobCounts:
        return await service.job_counts()

    @routes.get("/{job_id}", dependencies=_SEE, summary="One job, as far as it is")
    async def job(
        job_id: str,
        wait: Wait = 0.0,
        seen: Seen = -1.0,
    ) -> Job:
        if not wait:
            return await service.job(job_id)
        return await service.wait_for_job(job_id, seen=seen, timeout_seconds=wait)

    @routes.post("/{job_id}/cancel", dependencies=_ASK, summary="Stop a job")
    async def cancel_job(job_id: str) -> Job:
        return await service.cancel_job(job_id)


def _add_dead(routes: APIRouter, service: Jobs) -> None:
    @routes.get("/dead/letters", dependencies=_READ, summary="Jobs tried as often as they may be")
    async def dead_letters(before: Before = None, limit: Limit = 100) -> JobsPage:
        return await service.dead_letters(before=before, limit=limit)

    @routes.post("/{job_id}/replay", dependencies=_REPLAY, summary="Have a dead job tried anew")
    async def replay(job_id: str) -> Job:
        return await service.replay(job_id)


def _add_files(routes: APIRouter, service: Jobs) -> None:
    @routes.get(
        "/{job_id}/files/{name}",
        dependencies=_SEE,
        summary="A file that a job left",
        response_class=StreamingResponse,
    )
    async def file(job_id: str, name: str) -> StreamingResponse:
        return await _sent(service.file(job_id, name), name)

    @routes.post(
        "/{job_id}/files/{name}/link",
        dependencies=_ASK,
        summary="A link to a file that needs no sign-in and expires",
    )
    async def link(job_id: str, name: str) -> FileLink:
        return await service.link(job_id, name)

    @routes.get(
        "/linked/{token}",
        dependencies=[public],
        summary="The file that a link leads to",
        response_class=StreamingResponse,
    )
    async def linked_file(token: str) -> StreamingResponse:
        return await _sent(service.linked_file(token), "")


async def _sent(pieces: AsyncIterator[bytes], name: str) -> StreamingResponse:
    # The first piece before the answer begins, so that what is not there is a 404.
    first = await anext(pieces, b"")

    async def body() -> AsyncIterator[Any]:
        yield first
        async for piece in pieces:
            yield piece

    how = f"attachment; filename*=UTF-8''{quote(name)}" if name else "attachment"
    return StreamingResponse(
        body(),
        media_type="application/octet-stream",
        headers={"content-disposition": how, "cache-control": "private, no-store"},
    )
