"""The storage service over HTTP."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal
from urllib.parse import quote

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import StreamingResponse

from foodex.core.access import Role, allow
from foodex.core.errors import FoodexError
from foodex.core.http import STREAMED
from foodex.core.streams import begun
from foodex.domain.datasets import (
    Action,
    Condition,
    Dataset,
    DatasetSpec,
    Layer,
    ObjectsPage,
    QueryResult,
    RowsPage,
    StoredObject,
)
from foodex.ports.storage import Storage
from foodex.services.storage.exports import MEDIA_TYPES, exported
from foodex.services.storage.wire import read_conditions, read_table

READERS: Final = allow(Role.ANALYST, Role.OPERATOR, Role.ADMIN)
WRITERS: Final = allow(Role.ANALYST, Role.ADMIN)
SERVICES: Final = allow(Role.ADMIN)

In = Annotated[Layer, Query(description="`raw` is as it came; `processed` is the delivery record.")]
Where = Annotated[
    list[str],
    Query(
        description="`field:comparison:value`, all of which must hold; comparisons are eq, ne, lt, "
        "le, gt, ge, in (a,b,c), contains, null (true or false).",
        examples=["store_id:eq:7"],
    ),
]
Columns = Annotated[list[str] | None, Query(alias="column", description="Only these columns.")]
LoadId = Annotated[int, Path(ge=1)]
Big: Final = 2**63 - 1
_HEARD_OUT_BYTES: Final = 64 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """What to say of a data set; what is left out stays."""

    description: str | None = None
    time_zone: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRows:
    """Rows to add."""

    rows: list[dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Values to set on the rows that match."""

    where: list[Condition]
    values: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Inserted:
    """The numbers of new rows."""

    row_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Touched:
    """How many rows were changed or removed."""

    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """Which rows to read; `after` and `limit` bound them by `row_id`."""

    columns: list[str] | None = None
    where: list[Condition] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One SELECT, EXPLAIN, DESCRIBE or SHOW TABLES over the tables `processed_NAME`, `raw_NAME`."""

    sql: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """How far a load is staged."""

    until: int | None


def router(storage: Storage) -> APIRouter:
    """The routes over a storage port."""
    routes = APIRouter()
    _datasets(routes, storage)
    _rows(routes, storage)
    _loads(routes, storage)
    _questions(routes, storage)
    _objects(routes, storage)
    return routes


def _datasets(routes: APIRouter, storage: Storage) -> None:
    @routes.get("/datasets", summary="All data sets", dependencies=[READERS])
    async def datasets() -> tuple[Dataset, ...]:
        return await storage.datasets()

    @routes.post(
        "/datasets",
        summary="Make a data set, or add columns to one",
        status_code=201,
        dependencies=[WRITERS],
    )
    async def create(spec: DatasetSpec) -> Dataset:
        return await storage.create_dataset(spec)

    @routes.get("/datasets/{name}", summary="One data set", dependencies=[READERS])
    async def dataset(name: str, layer: In = Layer.PROCESSED) -> Dataset:
        return await storage.dataset(name, layer)

    @routes.patch("/datasets/{name}", summary="Describe a data set", dependencies=[WRITERS])
    async def describe(name: str, said: Description, layer: In = Layer.PROCESSED) -> Dataset:
        return await storage.describe_dataset(
            name, layer, description=said.description, time_zone=said.time_zone
        )

    @routes.delete(
        "/datasets/{name}", summary="Delete a data set", status_code=204, dependencies=[WRITERS]
    )
    async def delete(name: str, layer: In = Layer.PROCESSED) -> None:
        await storage.delete_dataset(name, layer)


def _rows(routes: APIRouter, storage: Storage) -> None:
    @routes.get("/datasets/{name}/rows", summary="A page of rows", dependencies=[READERS])
    async def rows(
        name: str,
        layer: In = Layer.PROCESSED,
        columns: Columns = None,
        where: Where = [],  # noqa: B006
        after: Annotated[int | None, Query(ge=0, le=Big, description="The page's cursor.")] = None,
        limit: Annotated[int, Query(ge=1)] = 100,
    ) -> RowsPage:
        return await storage.rows(
            name,
            layer,
            columns=columns,
            where=read_conditions(where),
            after=after,
            limit=limit,
        )

    @routes.get(
        "/datasets/{name}/rows.{kind}",
        summary="All rows as a file",
        response_class=StreamingResponse,
        dependencies=[READERS],
    )
    async def download(
        name: str,
        kind: Literal["csv", "ndjson", "parquet", "arrow"],
        layer: In = Layer.PROCESSED,
        columns: Columns = None,
        where: Where = [],  # noqa: B006
        for_spreadsheet: Annotated[
            bool, Query(description="Defuse CSV cells that a spreadsheet would run as formulas.")
        ] = False,
    ) -> StreamingResponse:
        batches = storage.scan(name, layer, columns=columns, where=read_conditions(where))
        pieces = exported(batches, kind, for_spreadsheet=for_spreadsheet)
        return StreamingResponse(
            await begun(pieces),
            media_type=MEDIA_TYPES[kind],
            headers={"content-disposition": f"attachment; filename*=UTF-8''{quote(name)}.{kind}"},
        )

    @routes.post(
        "/datasets/{name}/scan",
        summary="All rows as an Arrow stream",
        response_class=StreamingResponse,
        dependencies=[READERS],
    )
    async def scan(name: str, wanted: Scan, layer: In = Layer.PROCESSED) -> StreamingResponse:
        batches = storage.scan(name, layer, columns=wanted.columns, where=wanted.where)
        pieces = exported(batches, "arrow", for_spreadsheet=False)
        return StreamingResponse(await begun(pieces), media_type=MEDIA_TYPES["arrow"])

    @routes.post(
        "/datasets/{name}/rows", summary="Add rows", status_code=201, dependencies=[WRITERS]
    )
    async def insert(name: str, new: NewRows, layer: In = Layer.PROCESSED) -> Inserted:
        return Inserted(row_ids=await storage.insert_rows(name, layer, new.rows))

    @routes.patch("/datasets/{name}/rows", summary="Change rows", dependencies=[WRITERS])
    async def update(name: str, change: Change, layer: In = Layer.PROCESSED) -> Touched:
        return Touched(rows=await storage.update_rows(name, layer, change.where, change.values))

    @routes.delete("/datasets/{name}/rows", summary="Delete rows", dependencies=[WRITERS])
    async def delete(
        name: str,
        layer: In = Layer.PROCESSED,
        where: Where = [],  # noqa: B006
    ) -> Touched:
        return Touched(rows=await storage.delete_rows(name, layer, read_conditions(where)))


def _loads(routes: APIRouter, storage: Storage) -> None:
    prefix = "/datasets/{name}/loads/{load_id}"

    @routes.post(
        f"{prefix}/rows",
        summary="Stage rows (an Arrow stream) under a load",
        status_code=204,
        max_body_size=STREAMED,
        dependencies=[SERVICES],
    )
    async def stage(
        name: str, load_id: LoadId, request: Request, layer: In = Layer.PROCESSED
    ) -> None:
        await storage.stage_rows(name, layer, load_id, read_table(await request.body()))

    @routes.get(prefix, summary="How far a load is staged", dependencies=[SERVICES])
    async def staged(name: str, load_id: LoadId, layer: In = Layer.PROCESSED) -> Staged:
        return Staged(until=await storage.staged_until(name, layer, load_id))

    @routes.delete(
        f"{prefix}/rows", summary="Unstage rows", status_code=204, dependencies=[SERVICES]
    )
    async def unstage(
        name: str,
        load_id: LoadId,
        after: Annotated[int, Query(ge=-1, le=Big)],
        layer: In = Layer.PROCESSED,
    ) -> None:
        await storage.unstage_after(name, layer, load_id, after)

    @routes.post(
        f"{prefix}/commit", summary="Commit a load", status_code=204, dependencies=[SERVICES]
    )
    async def commit(name: str, load_id: LoadId, layer: In = Layer.PROCESSED) -> None:
        await storage.commit_load(name, layer, load_id)

    @routes.delete(prefix, summary="Discard a load", status_code=204, dependencies=[SERVICES])
    async def discard(name: str, load_id: LoadId, layer: In = Layer.PROCESSED) -> None:
        await storage.discard_load(name, layer, load_id)


def _questions(routes: APIRouter, storage: Storage) -> None:
    @routes.post("/query", summary="Ask in SQL, read-only", dependencies=[WRITERS])
    async def query(question: Question) -> QueryResult:
        return await storage.query(question.sql)

    @routes.get("/actions", summary="Who did what to what, when", dependencies=[READERS])
    async def actions(
        before: Annotated[int | None, Query(ge=1, le=Big)] = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> tuple[Action, ...]:
        return await storage.actions(before=before, limit=limit)


def _objects(routes: APIRouter, storage: Storage) -> None:
    @routes.get("/objects", summary="Objects by key", dependencies=[WRITERS])
    async def objects(
        prefix: str = "",
        after: str | None = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 1000,
    ) -> ObjectsPage:
        return await storage.list_objects(prefix, after=after, limit=limit)

    @routes.put(
        "/objects/{key:path}",
        summary="Store an object",
        status_code=201,
        dependencies=[WRITERS],
        max_body_size=STREAMED,
    )
    async def put(key: str, request: Request) -> StoredObject:
        sent = request.stream()
        try:
            return await storage.put_object(key, sent)
        except FoodexError:
            # A sender who is still sending hears the answer only when it was heard out.
            left = _HEARD_OUT_BYTES
            async for piece in sent:
                left -= len(piece)
                if left < 0:
                    break
            raise

    @routes.get(
        "/objects/{key:path}",
        summary="An object's bytes, or its facts",
        response_model=None,
        dependencies=[WRITERS],
    )
    async def get(key: str, facts: bool = False) -> Response | StoredObject:
        stored = await storage.head_object(key)
        if facts:
            return stored
        return StreamingResponse(
            await begun(storage.get_object(key)),
            media_type="application/octet-stream",
            headers={"content-length": str(stored.size_bytes), **_etag(stored)},
        )

    @routes.delete(
        "/objects/{key:path}", summary="Delete an object", status_code=204, dependencies=[WRITERS]
    )
    async def delete(key: str) -> None:
        await storage.delete_object(key)


def _etag(stored: StoredObject) -> Mapping[str, str]:
    return {"etag": f'"{stored.etag}"'} if stored.etag else {}
