"""Files of orders: sent, priced, forecast in the background, and fetched."""

import asyncio
import csv
import hashlib
import io
import secrets
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import Response

from foodex.core.access import EVERY_ROLE, allow
from foodex.core.errors import Conflict, FieldProblem, InvalidInput, NotFound, TooLarge
from foodex.core.http import STREAMED
from foodex.services.dashboard.gateway import Gateway
from foodex.services.dashboard.navigation import STAFF
from foodex.services.dashboard.passing import passed_on
from foodex.services.dashboard.prices import OF_FILES, choices, known_models, pays, prices_of
from foodex.services.dashboard.rendering import form, go, page
from foodex.services.dashboard.session import current_viewer

KIND: Final = "predict_file"
REJECTED: Final = "rejected.csv"
EXAMPLE: Final = """\
order_id,store_lat,store_lon,customer_lat,customer_lon,items,subtotal_minor,currency
A-1001,60.1695,24.9452,60.1810,24.9495,3,3450,EUR
A-1002,60.1695,24.9452,60.1752,24.9219,1,1290,EUR
A-1003,60.1719,24.9414,60.1873,24.9606,5,6120,EUR
A-1004,60.1719,24.9414,60.1640,24.9310,2,-300,EUR
"""
"""Four orders; the last has a price that cannot be."""

_FIRST_ROWS: Final = 8
_FIRST_BYTES: Final = 1 << 16
_PER_PAGE: Final = 20


def router(gateway: Gateway) -> APIRouter:
    """The page's routes."""
    routes = APIRouter(dependencies=[allow(*EVERY_ROLE)])

    @routes.get("/batches")
    async def show(request: Request) -> Response:
        before = request.query_params.get("before")
        viewer = current_viewer()
        whose = viewer.name if viewer else None
        query = {"kind": KIND, "who": whose, "before": before, "limit": _PER_PAGE}
        jobs, prices = await asyncio.gather(
            gateway.get("/jobs", query), prices_of(gateway, OF_FILES)
        )
        return page(
            request,
            "batches.html",
            jobs=jobs["jobs"],
            more=jobs["next_before"],
            before=before,
            prices=prices,
            pays=pays(),
            shown_name=shown_name,
            spent=spent,
        )

    @routes.post("/batches/files", max_body_size=STREAMED)
    async def upload(request: Request) -> Response:
        sent = await gateway.ask(
            "POST",
            "/predictions/files",
            query={"name": request.query_params.get("name", "")},
            body=request.stream(),
            headers={"content-type": "application/octet-stream"},
        )
        return go(request, f"/batches/new?file={quote(sent['file'])}&bytes={sent['size_bytes']}")

    @routes.get("/batches/new")
    async def new(request: Request) -> Response:
        models, prices, mappings = await asyncio.gather(
            known_models(gateway), prices_of(gateway, OF_FILES), _mappings()
        )
        file = request.query_params.get("file", "")
        size = request.query_params.get("bytes", "")
        return page(
            request,
            "batches_new.html",
            file=file,
            name=shown_name(file),
            bytes=int(size) if size.isdecimal() and len(size) < 16 else None,
            models=choices(models, prices),
            mappings=mappings,
            once=secrets.token_hex(8),
        )

    @routes.get("/batches/example.csv")
    async def example() -> Response:
        said = {"content-disposition": 'attachment; filename="orders.csv"'}
        return Response(EXAMPLE, media_type="text/csv; charset=utf-8", headers=said)

    @routes.post("/batches/quote")
    async def quoted(request: Request) -> Response:
        batch = _batch(await form(request))
        values: dict[str, Any] = {"quote": None, "error": None, "pays": pays()}
        try:
            values["quote"] = await gateway.post("/predictions/quotes", batch)
        except (InvalidInput, NotFound, TooLarge, Conflict) as error:
            values["error"] = error
        return page(request, "parts/batches_quote.html", **values)

    @routes.post("/batches")
    async def start(request: Request) -> Response:
        given = await form(request)
        batch = _batch(given)
        body = msgspec.json.encode(batch)
        # One form begins one job for one choice, however often it is sent.
        asked = hashlib.sha256(body).hexdigest()[:24]
        headers = {"idempotency-key": f"page-{given.get('once', '')[:64]}-{asked}"}
        job = await gateway.ask("POST", "/predictions/batches", body=body, headers=headers)
        return go(request, f"/batches/{job['id']}")

    @routes.get("/batches/{job_id}")
    async def one(request: Request, job_id: str) -> Response:
        job = await gateway.get(f"/jobs/{quote(job_id, safe='')}")
        if job["kind"] != KIND:
            raise NotFound("There is no such file of orders")
        rejected = any(one["name"] == REJECTED for one in job["files"])
        return page(
            request,
            "batches_one.html",
            job=job,
            name=shown_name(job["parameters"]["file"]),
            spent=spent(job),
            problems=[str(FieldProblem(**one)) for one in job["problems"]],
            bad=await _first_rows(job_id) if rejected else (),
        )

    @routes.get("/batches/{job_id}/files/{name}")
    async def file(job_id: str, name: str) -> Response:
        return await passed_on(gateway, _file(job_id, name))

    async def _first_rows(job_id: str) -> list[dict[str, str]]:
        found = bytearray()
        async with gateway.open("GET", _file(job_id, REJECTED)) as opened:
            async for piece in opened.pieces:
                found += piece
                if len(found) >= _FIRST_BYTES:
                    break
        # What was cut off is no row.
        whole = found[: found.rfind(b"\n") + 1].decode("utf-8", "replace")
        rows = csv.DictReader(io.StringIO(whole))
        return [
            # Spreadsheets need the mark in front of what may be a formula, people do not.
            {name: (row.get(name) or "").removeprefix("'") for name in ("row", "field", "reason")}
            for row, _ in zip(rows, range(_FIRST_ROWS), strict=False)
        ]

    async def _mappings() -> list[str]:
        viewer = current_viewer()
        if viewer is None or not viewer.may(*STAFF):
            return []
        return [
            one if isinstance(one, str) else one["name"]
            for one in await gateway.get("/collector/mappings")
        ]

    return routes


def shown_name(file: str) -> str:
    """What its sender called a file."""
    return file.partition("-")[2] or file


def spent(job: Mapping[str, Any]) -> int | None:
    """What a job has cost or, before it ends, what lies set aside for it; None where it is free."""
    price = job["price"]
    if price is None:
        return None
    settled = job["settled"] and job["finished_at"] is not None
    return int((job["units_done"] if settled else price["quantity"]) * price["unit_minor"])


def _batch(given: Mapping[str, str]) -> dict[str, str]:
    wanted = {
        "file": given.get("file", ""),
        "model": given.get("model", ""),
        "output": given.get("output", ""),
        "mapping": given.get("written", "").strip() or given.get("mapping", ""),
    }
    return {name: value for name, value in wanted.items() if value}


def _file(job_id: str, name: str) -> str:
    return f"/jobs/{quote(job_id, safe='')}/files/{quote(name, safe='')}"
