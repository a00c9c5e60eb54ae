"""Sources, their next batches, and the mappings that are kept."""

import asyncio
import secrets
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Request
from fastapi.responses import Response

from foodex.core.access import allow
from foodex.core.errors import (
    Conflict,
    FieldProblem,
    FoodexError,
    Forbidden,
    InvalidInput,
    NotFound,
)
from foodex.services.dashboard.gateway import Gateway
from foodex.services.dashboard.navigation import ANALYSTS, STAFF
from foodex.services.dashboard.rendering import form, go, page

BATCH = 50
PAGING = ("none", "page", "offset", "cursor", "link")
_FIELDS = ("name", "location", "mapping", "dataset", "parameter", "rows", "size_parameter", "size")
EMPTY = dict.fromkeys((*_FIELDS, "next", "headers"), "") | {"kind": "http", "paging": "none"}


def router(gateway: Gateway) -> APIRouter:
    """The routes of sources and mappings."""
    routes = APIRouter(dependencies=[allow(*STAFF)])
    _sources(routes, gateway)
    _mappings(routes, gateway)
    return routes


def _sources(routes: APIRouter, gateway: Gateway) -> None:
    changing = [allow(*ANALYSTS)]

    async def shown(
        request: Request, given: dict[str, str], error: FoodexError | None = None
    ) -> Response:
        sources, mappings = await asyncio.gather(
            gateway.get("/collector/sources"), gateway.get("/collector/mappings")
        )
        return page(
            request,
            "data_sources.html",
            status=200 if error is None else error.status,
            sources=sources,
            mappings=mappings,
            given=EMPTY | given,
            error=error,
            paging=PAGING,
        )

    @routes.get("/data/sources")
    async def show(request: Request) -> Response:
        return await shown(request, {})

    @routes.post("/data/sources", dependencies=changing)
    async def add(request: Request) -> Response:
        given = await form(request)
        try:
            source = source_of(given)
            path = f"/collector/sources/{quote(source['name'], safe='')}"
            await gateway.ask("PUT", path, json=source)
        except (InvalidInput, Conflict, Forbidden) as error:
            return await shown(request, given, error)
        return go(request, f"/data/sources/{source['name']}")

    @routes.get("/data/sources/{name}")
    async def batch(
        request: Request, name: str, fetch: bool = False, cursor: str | None = None
    ) -> Response:
        sources = await gateway.get("/collector/sources")
        source = next((one for one in sources if one["name"] == name), None)
        if source is None:
            raise NotFound(f"There is no source '{name}'")
        rows, next_cursor, error = [], None, None
        if fetch:
            try:
                query = {"cursor": cursor, "size": BATCH}
                path = f"/collector/sources/{quote(name, safe='')}/batch"
                found = await gateway.get(path, query)
                rows, next_cursor = found["rows"], found["next_cursor"]
            except FoodexError as problem:
                error = problem
        return page(
            request,
            "data_source.html",
            source=source,
            rows=rows,
            columns=list(dict.fromkeys(name for row in rows for name in row)),
            next_cursor=next_cursor,
            cursor=cursor,
            fetched=fetch and error is None,
            error=error,
            reference=secrets.token_urlsafe(16),
        )

    @routes.post("/data/sources/{name}/load", dependencies=changing)
    async def load(request: Request, name: str) -> Response:
        given = await form(request)
        sources = await gateway.get("/collector/sources")
        source = next((one for one in sources if one["name"] == name), None)
        if source is None or not (source["mapping"] and source["dataset"]):
            return go(request, f"/data/import?source={quote(name, safe='')}")
        wish = {
            "source": name,
            "mapping": source["mapping"],
            "dataset": source["dataset"],
            "reference": given.get("reference") or None,
        }
        begun = await gateway.post("/collector/loads", wish)
        return go(request, f"/data/loads/{begun['id']}")

    @routes.post("/data/sources/{name}/delete", dependencies=changing)
    async def delete(request: Request, name: str) -> Response:
        await gateway.ask("DELETE", f"/collector/sources/{quote(name, safe='')}")
        return go(request, "/data/sources")


def source_of(given: dict[str, str]) -> dict[str, Any]:
    """A source as its form says; `InvalidInput` for what cannot be read."""
    headers, problems = {}, []
    for number, line in enumerate(given.get("headers", "").splitlines(), 1):
        name, colon, value = line.partition(":")
        if colon and name.strip():
            headers[name.strip()] = value.strip()
        elif line.strip():
            problems.append(FieldProblem("headers", f"line {number} is not `name: value`"))
    size = given.get("size", "").strip()
    if size and not size.isdigit():
        problems.append(FieldProblem("size", "is a number"))
    if not given.get("name", "").strip():
        problems.append(FieldProblem("name", "is needed"))
    if problems:
        raise InvalidInput("The source cannot be kept", problems=problems)
    paging: dict[str, Any] = {}
    web = given.get("kind") == "http"
    if web and given.get("paging", "none") != "none":
        named = ("parameter", "size_parameter", "rows", "next")
        paging = {key: given[key].strip() for key in named if given.get(key, "").strip()}
        paging["kind"] = given["paging"]
        if size:
            paging["size"] = int(size)
    return {
        "name": given["name"].strip(),
        "kind": given.get("kind", "http"),
        "location": given.get("location", "").strip(),
        "mapping": given.get("mapping") or None,
        "dataset": given.get("dataset", "").strip() or None,
        "paging": paging,
        "headers": headers if web else {},
    }


def _mappings(routes: APIRouter, gateway: Gateway) -> None:
    changing = [allow(*ANALYSTS)]

    @routes.get("/data/mappings")
    async def show(request: Request) -> Response:
        names, loads = await asyncio.gather(
            gateway.get("/collector/mappings"), gateway.get("/collector/loads", {"limit": 200})
        )
        last: dict[str, Any] = {}
        for load in loads:
            last.setdefault(load["mapping"], load)
        return page(request, "data_mappings.html", names=names, last=last)

    @routes.get("/data/mappings/{name}")
    async def mapping(request: Request, name: str) -> Response:
        found = await gateway.get(f"/collector/mappings/{quote(name, safe='')}")
        return page(request, "data_mapping.html", name=name, toml=found["toml"], error=None)

    @routes.post("/data/mappings/{name}", dependencies=changing)
    async def keep(request: Request, name: str) -> Response:
        toml = (await form(request)).get("toml", "").replace("\r\n", "\n")
        try:
            path = f"/collector/mappings/{quote(name, safe='')}"
            await gateway.ask("PUT", path, json={"toml": toml})
        except InvalidInput as error:
            values: dict[str, Any] = {"name": name, "toml": toml, "error": error}
            return page(request, "data_mapping.html", status=422, **values)
        return go(request, "/data/mappings")

    @routes.post("/data/mappings/{name}/delete", dependencies=changing)
    async def delete(request: Request, name: str) -> Response:
        await gateway.ask("DELETE", f"/collector/mappings/{quote(name, safe='')}")
        return go(request, "/data/mappings")
