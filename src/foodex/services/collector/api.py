"""The collector over HTTP."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import APIRouter, Body, Path, Query, Request
from fastapi.responses import StreamingResponse

from foodex.core.access import Role, allow
from foodex.core.errors import FieldProblem, InvalidInput
from foodex.core.http import STREAMED
from foodex.domain.loads import Load, Rejection, Source, SourceBatch
from foodex.domain.mappings import Suggestion, Trial
from foodex.ports.collector import Collector

READERS: Final = [allow(Role.OPERATOR, Role.ANALYST, Role.ADMIN)]
WRITERS: Final = [allow(Role.ANALYST, Role.ADMIN)]

LoadId = Annotated[int, Path(ge=1, lt=2**63)]
Limit = Annotated[int, Query(ge=1, le=1_000)]


@dataclass(frozen=True, slots=True, kw_only=True)
class MappingText:
    """A mapping as it is written."""

    name: str
    toml: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NewLoad:
    """What to load: a source by name or in full, a mapping by name or as TOML, the data set.

    A `reference` makes the request harmless to repeat: used again, it gives the load there is.
    """

    source: str | Source
    mapping: str
    dataset: str
    reference: str | None = None


def router(collector: Collector) -> APIRouter:
    """The routes over the collector itself or its client."""
    routes = APIRouter()
    _add_sources(routes, collector)
    _add_mappings(routes, collector)
    _add_loads(routes, collector)
    _add_rejections(routes, collector)
    return routes


def _add_sources(routes: APIRouter, collector: Collector) -> None:
    @routes.get("/sources", dependencies=READERS, summary="All sources")
    async def sources() -> tuple[Source, ...]:
        return await collector.sources()

    @routes.put("/sources/{name}", dependencies=WRITERS, summary="Declare or change a source")
    async def put_source(name: str, source: Source) -> Source:
        if source.name != name:
            raise InvalidInput(
                "The source cannot be kept",
                problems=[FieldProblem("name", f"is {source.name!r}, but the path says {name!r}")],
            )
        return await collector.put_source(source)

    @routes.delete(
        "/sources/{name}", dependencies=WRITERS, status_code=204, summary="Forget a source"
    )
    async def delete_source(name: str) -> None:
        await collector.delete_source(name)

    @routes.get(
        "/sources/{name}/batch", dependencies=READERS, summary="The next rows, as they came"
    )
    async def next_batch(
        name: str,
        cursor: Annotated[
            str | None, Query(description="`next_cursor` of the batch before; none at first.")
        ] = None,
        size: Annotated[int, Query(ge=1, le=10_000)] = 100,
    ) -> SourceBatch:
        return await collector.next_batch(name, cursor=cursor, size=size)

    @routes.post(
        "/uploads",
        dependencies=WRITERS,
        status_code=201,
        summary="Send a file to load from",
        max_body_size=STREAMED,
    )
    async def upload(
        request: Request,
        name: Annotated[str, Query(description="The file's name.", examples=["orders.csv"])] = "",
    ) -> Source:
        return await collector.upload(name, request.stream())


def _add_mappings(routes: APIRouter, collector: Collector) -> None:
    @routes.get("/mappings", dependencies=READERS, summary="The names of all mappings")
    async def mappings() -> tuple[str, ...]:
        return await collector.mappings()

    @routes.post("/mappings/suggest", dependencies=WRITERS, summary="Suggest a first mapping")
    async def suggest(source: Source) -> Suggestion:
        return await collector.suggest_mapping(source)

    @routes.post(
        "/mappings/try",
        dependencies=WRITERS,
        summary="What a mapping makes of a source's first rows; nothing is kept",
    )
    async def try_mapping(source: Source, toml: Annotated[str, Body()]) -> Trial:
        return await collector.try_mapping(source, toml)

    @routes.get("/mappings/{name}", dependencies=READERS, summary="One mapping")
    async def mapping(name: str) -> MappingText:
        return MappingText(name=name, toml=await collector.mapping(name))

    @routes.put("/mappings/{name}", dependencies=WRITERS, status_code=204, summary="Keep a mapping")
    async def put_mapping(name: str, toml: Annotated[str, Body(embed=True)]) -> None:
        await collector.put_mapping(name, toml)

    @routes.delete(
        "/mappings/{name}", dependencies=WRITERS, status_code=204, summary="Forget a mapping"
    )
    async def delete_mapping(name: str) -> None:
        await collector.delete_mapping(name)


def _add_loads(routes: APIRouter, collector: Collector) -> None:
    @routes.get("/loads", dependencies=READERS, summary="The log of loads, newest first")
    async def loads(
        dataset: str | None = None,
        before: Annotated[int | None, Query(description="Only loads older than this one.")] = None,
        limit: Limit = 100,
    ) -> tuple[Load, ...]:
        return await collector.loads(dataset=dataset, before=before, limit=limit)

    @routes.post("/loads", dependencies=WRITERS, status_code=202, summary="Start a load")
    async def start_load(new: NewLoad) -> Load:
        return await collector.start_load(
            new.source, mapping=new.mapping, dataset=new.dataset, reference=new.reference
        )

    @routes.get("/loads/{load_id}", dependencies=READERS, summary="One load, as far as it is")
    async def load(
        load_id: LoadId,
        wait: Annotated[
            float, Query(ge=0, le=60, description="Seconds to wait for progress beyond `seen`.")
        ] = 0.0,
        seen: Annotated[float, Query(ge=-1, le=1, description="The progress seen last.")] = -1.0,
    ) -> Load:
        if not wait:
            return await collector.load(load_id)
        return await collector.wait_for_load(load_id, seen=seen, timeout_seconds=wait)

    @routes.post("/loads/{load_id}/cancel", dependencies=WRITERS, summary="Stop a load")
    async def cancel(load_id: LoadId) -> Load:
        return await collector.cancel_load(load_id)


def _add_rejections(routes: APIRouter, collector: Collector) -> None:
    @routes.get(
        "/loads/{load_id}/rejections", dependencies=READERS, summary="Rejected rows, by row"
    )
    async def rejections(
        load_id: LoadId,
        after: Annotated[int, Query(ge=0, description="Only rows behind this one.")] = 0,
        limit: Limit = 100,
    ) -> tuple[Rejection, ...]:
        return await collector.rejections(load_id, after=after, limit=limit)

    @routes.get(
        "/loads/{load_id}/rejections.csv",
        dependencies=READERS,
        summary="All rejected rows as CSV",
        response_class=StreamingResponse,
    )
    async def rejections_csv(load_id: LoadId) -> StreamingResponse:
        # What is wrong with the request must be said before the answer begins.
        await collector.load(load_id)
        pieces: AsyncIterator[bytes] = collector.rejections_csv(load_id)
        name = f'attachment; filename="rejections-{load_id}.csv"'
        return StreamingResponse(
            pieces, media_type="text/csv", headers={"content-disposition": name}
        )
