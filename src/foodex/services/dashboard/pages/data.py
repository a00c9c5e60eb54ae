"""Data sets: all of them, and the rows of each."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from foodex.core.access import allow
from foodex.core.errors import FieldProblem, InvalidInput, NotFound
from foodex.services.dashboard.gateway import Gateway
from foodex.services.dashboard.navigation import ANALYSTS, STAFF
from foodex.services.dashboard.passing import passed_on
from foodex.services.dashboard.rendering import form, form_pairs, go, page

ROWS: Final = 30
EMPTY_PAGE: Final[Mapping[str, Any]] = {"rows": [], "next_after": None}
CURRENCY: Final = "currency"
COMPARISONS: Final = ("eq", "ne", "lt", "le", "gt", "ge", "contains", "in", "null")
_SHOWN_FIRST: Final = (
    *("order_id", "store_id", "placed_at", "delivered_at", "delivery_minutes"),
    *("own_estimate_minutes", "distance_km", "items", "subtotal_minor", "store_category"),
)
_MOST_SHOWN: Final = 10
Layer = Literal["processed", "raw"]
Several = Annotated[list[str], Query(default_factory=list)]


@dataclass(frozen=True, slots=True)
class Filter:
    """A condition as it is shown, and the address of the page without it."""

    field: str
    comparison: str
    value: str
    without: str


def router(gateway: Gateway) -> APIRouter:
    """The routes of data sets."""
    routes = APIRouter(dependencies=[allow(*STAFF)])
    _reading(routes, gateway)
    _changing(routes, gateway)
    return routes


def _reading(routes: APIRouter, gateway: Gateway) -> None:
    @routes.get("/data")
    async def show(request: Request) -> Response:
        found, loads = await asyncio.gather(
            gateway.get("/storage/datasets"), gateway.get("/collector/loads", {"limit": 5})
        )
        return page(request, "data.html", sets=by_name(found), loads=loads)

    @routes.get("/data/sets/{name}")
    async def dataset(
        request: Request,
        name: str,
        column: Several,
        where: Several,
        layer: Layer = "processed",
        after: int | None = None,
        field: str = "",
        comparison: str = "eq",
        value: str = "",
        deleted: int | None = None,
    ) -> Response:
        if field:
            wanted = [
                *where,
                f"{field.replace('%', '%25').replace(':', '%3A')}:{comparison}:{value}",
            ]
            return go(request, address(name, layer, column, wanted))
        query = {"layer": layer, "where": where, "after": after, "limit": ROWS}
        there = await gateway.get("/storage/datasets")
        found = next((d for d in there if d["name"] == name and d["layer"] == layer), None)
        if found is None:
            raise NotFound(f"There is no data set '{name}' ({layer})")
        known = {one["name"]: one for one in found["columns"]}
        names = list(known)
        shown = [one for one in column if one in names] or first_columns(names)
        problem, rows = None, EMPTY_PAGE
        try:
            path = f"/storage/datasets/{name}/rows"
            money = [CURRENCY] if CURRENCY in known else []
            rows = await gateway.get(path, {**query, "column": [*shown, *money]})
        except InvalidInput as error:
            problem = error
        more = rows["next_after"]
        return page(
            request,
            "data_set.html",
            status=200 if problem is None else 422,
            set=found,
            layers=[d["layer"] for d in there if d["name"] == name],
            shown=[known[one] for one in shown],
            filters=_filters(name, layer, column, where),
            where=where,
            column=column,
            comparisons=COMPARISONS,
            deleted=deleted,
            rows=rows["rows"],
            problem=problem,
            more=address(name, layer, column, where, more) if more else None,
            first=address(name, layer, column, where) if after else None,
            download=urlencode(
                [("layer", layer), *(("where", one) for one in where)]
                + [("column", one) for one in column]
            ),
        )

    @routes.get("/data/sets/{name}/rows.{kind}")
    async def download(
        name: str,
        kind: Literal["csv", "parquet", "ndjson"],
        column: Several,
        where: Several,
        layer: Layer = "processed",
    ) -> Response:
        query: dict[str, Any] = {"layer": layer, "column": column, "where": where}
        if kind == "csv":
            query["for_spreadsheet"] = True
        return await passed_on(gateway, f"/storage/datasets/{name}/rows.{kind}", query)


def _changing(routes: APIRouter, gateway: Gateway) -> None:
    changing = [allow(*ANALYSTS)]

    @routes.post("/data/sets/{name}/describe", dependencies=changing)
    async def describe(request: Request, name: str, layer: Layer = "processed") -> Response:
        given = await form(request)
        await gateway.ask(
            "PATCH",
            f"/storage/datasets/{name}",
            query={"layer": layer},
            json={
                "description": given.get("description"),
                "time_zone": given.get("time_zone") or None,
            },
        )
        return go(request, address(name, layer, [], []))

    @routes.post("/data/sets/{name}/rows/delete", dependencies=changing)
    async def delete_rows(request: Request, name: str, layer: Layer = "processed") -> Response:
        where = [value for key, value in await form_pairs(request) if key == "where" and value]
        if not where:
            # All rows are deleted with their data set, on a question of its own.
            raise InvalidInput(problems=[FieldProblem("where", "must say which rows")])
        query = {"layer": layer, "where": where}
        touched = await gateway.ask("DELETE", f"/storage/datasets/{name}/rows", query=query)
        here = address(name, layer, [], [])
        return go(request, f"{here}{'&' if '?' in here else '?'}deleted={touched['rows']}")

    @routes.post("/data/sets/{name}/delete", dependencies=changing)
    async def delete(request: Request, name: str) -> Response:
        there = await gateway.get("/storage/datasets")
        for one in there:
            if one["name"] == name:
                query = {"layer": one["layer"]}
                await gateway.ask("DELETE", f"/storage/datasets/{name}", query=query)
        return go(request, "/data")


def by_name(found: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Data sets with both layers as one: the processed one, with the raw one's rows."""
    sets: dict[str, dict[str, Any]] = {}
    for one in found:
        known = sets.setdefault(one["name"], {"raw_rows": None})
        if one["layer"] == "raw":
            known["raw_rows"] = one["rows"]
            known.setdefault("only", one)
        else:
            known["only"] = one
    return [{**one["only"], "raw_rows": one["raw_rows"]} for one in sets.values() if "only" in one]


def first_columns(names: Sequence[str]) -> list[str]:
    """What is shown before anybody chooses."""
    told = [name for name in _SHOWN_FIRST if name in names]
    return (told if len(told) > 2 else list(names))[:_MOST_SHOWN]


def address(
    name: str, layer: str, column: Sequence[str], where: Sequence[str], after: int | None = None
) -> str:
    """The page of a data set with these choices."""
    pairs = [("layer", layer)] if layer != "processed" else []
    pairs += [("column", one) for one in column] + [("where", one) for one in where]
    if after is not None:
        pairs.append(("after", str(after)))
    return f"/data/sets/{name}" + (f"?{urlencode(pairs)}" if pairs else "")


def _filters(name: str, layer: str, column: Sequence[str], where: Sequence[str]) -> list[Filter]:
    found = []
    for number, one in enumerate(where):
        field, comparison, value = [*one.split(":", 2), "", ""][:3]
        left = [*where[:number], *where[number + 1 :]]
        shown = field.replace("%3A", ":").replace("%25", "%")
        found.append(Filter(shown, comparison, value, address(name, layer, column, left)))
    return found
