"""From a file to delivery records: sent, its mapping checked by a person, imported."""

import secrets
from typing import Any, Final
from urllib.parse import urlencode

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import Response

from foodex.core.access import allow
from foodex.core.errors import FieldProblem, FoodexError, InvalidInput, NotFound, TooLarge
from foodex.core.http import STREAMED
from foodex.services.dashboard import mapping_forms as forms
from foodex.services.dashboard.gateway import Gateway
from foodex.services.dashboard.navigation import ANALYSTS
from foodex.services.dashboard.rendering import form, go, page

WELCOME: Final = "welcome"
_PART: Final = "parts/data_mapping.html"
_ASKED: Final = dict.fromkeys(
    ("upload", "source", "to", "mapping", "dataset", "keep_as", "reference"), ""
)


def router(gateway: Gateway) -> APIRouter:
    """The routes of an import, for who may change data."""
    routes = APIRouter(dependencies=[allow(*ANALYSTS)])

    @routes.post("/data/uploads", max_body_size=STREAMED)
    async def upload(request: Request, name: str = "", to: str = "") -> Response:
        source = await gateway.ask(
            "POST",
            "/collector/uploads",
            query={"name": name},
            body=request.stream(),
            headers={"content-type": "application/octet-stream"},
        )
        return go(request, _mapping_page(source["location"], to))

    @routes.get("/data/import")
    async def show(request: Request, upload: str = "", source: str = "") -> Response:
        if not upload and not source:
            return go(request, "/data")
        query = urlencode({"upload": upload} if upload else {"source": source})
        file = _file_name(upload) or source
        return page(request, "data_import.html", file=file, mapping_query=query)

    @routes.get("/data/import/mapping")
    async def mapping(
        request: Request, upload: str = "", source: str = "", mapping: str = "", to: str = ""
    ) -> Response:
        try:
            wanted = await _source(gateway, upload, source)
            suggestion = await gateway.post("/collector/mappings/suggest", wanted)
            kept = await gateway.get("/collector/mappings")
            toml = suggestion["toml"]
            if mapping in kept:
                toml = (await gateway.get(f"/collector/mappings/{mapping}"))["toml"]
            facts = forms.facts_of(suggestion)
            table = forms.table_of(toml)
            trial, problem = await _tried(gateway, wanted, table)
        except (InvalidInput, TooLarge, NotFound) as error:
            return page(request, "parts/data_unreadable.html", error=error, upload=upload, to=to)
        name = mapping or forms.plain_name((_file_name(upload) or source).partition(".")[0])
        return page(
            request,
            _PART,
            **_shown(table, facts),
            trial=trial,
            problem=problem,
            error=None,
            kept=kept,
            given={
                "upload": upload,
                "source": source,
                "to": to,
                "mapping": mapping,
                "dataset": wanted.get("dataset") or name,
                "keep_as": name,
                "reference": secrets.token_urlsafe(16),
            },
        )

    @routes.post("/data/import/check")
    async def check(request: Request) -> Response:
        given = _ASKED | await form(request)
        facts, table = _read(given)
        trial, problem = await _tried(gateway, await _source_of(gateway, given), table)
        values = {**_shown(table, facts), "trial": trial, "problem": problem}
        if _is_written(given):
            kept = await gateway.get("/collector/mappings")
            where = {"hx-retarget": "#mapping-part", "hx-reswap": "outerHTML"}
            return page(request, _PART, headers=where, **values, error=None, kept=kept, given=given)
        touched = request.headers.get("hx-trigger-name", "").partition(".")[2]
        return page(request, "parts/data_checked.html", **values, touched=touched)

    @routes.post("/data/import")
    async def start(request: Request) -> Response:
        given = _ASKED | await form(request)
        facts, table = _read(given)
        source = await _source_of(gateway, given)
        keep_as, dataset = given.get("keep_as", "").strip(), given.get("dataset", "").strip()
        try:
            toml = forms.toml_of(table)
            await gateway.ask("PUT", f"/collector/mappings/{_path(keep_as)}", json={"toml": toml})
            wish = {
                "source": source["name"] if given.get("source") else source,
                "mapping": keep_as,
                "dataset": dataset,
                "reference": given.get("reference") or None,
            }
            load = await gateway.post("/collector/loads", wish)
        except InvalidInput as error:
            trial, problem = await _tried(gateway, source, table)
            return page(
                request,
                _PART,
                status=422,
                **_shown(table, facts),
                trial=trial,
                problem=problem,
                error=error,
                kept=await gateway.get("/collector/mappings"),
                given=given,
            )
        if given.get("source") and source["created_at"]:
            # The next load of this source is then one click; of a declared one the settings say.
            await gateway.ask(
                "PUT",
                f"/collector/sources/{_path(source['name'])}",
                json={**source, "mapping": keep_as, "dataset": dataset},
            )
        if given.get("to") == WELCOME:
            return go(request, "/welcome?" + urlencode({"dataset": dataset, "load": load["id"]}))
        return go(request, f"/data/loads/{load['id']}")

    return routes


def _mapping_page(location: str, to: str) -> str:
    path = "/welcome" if to == WELCOME else "/data/import"
    return f"{path}?{urlencode({'upload': location})}"


def _file_name(location: str) -> str:
    return location.rpartition("/")[2]


def _path(name: str) -> str:
    """A name within a path; what cannot be one is refused in the words of the form."""
    if not name or not name.replace("_", "a").isalnum() or not name.isascii():
        why = "starts with a small letter; small letters, digits and _ only"
        raise InvalidInput("The mapping cannot be kept", problems=[FieldProblem("keep_as", why)])
    return name


async def _source_of(gateway: Gateway, given: dict[str, str]) -> dict[str, Any]:
    return await _source(gateway, given.get("upload", ""), given.get("source", ""))


async def _source(gateway: Gateway, upload: str, source: str) -> dict[str, Any]:
    if upload:
        name = forms.plain_name(_file_name(upload).partition(".")[0])
        return {"name": name, "kind": "upload", "location": upload}
    for one in await gateway.get("/collector/sources"):
        if one["name"] == source:
            found: dict[str, Any] = one
            return found
    raise NotFound(f"There is no source '{source}'")


def _read(given: dict[str, str]) -> tuple[forms.Facts, dict[str, Any]]:
    facts = forms.read_facts(given.get("facts", ""))
    if _is_written(given):
        return facts, forms.table_of(given["written"])
    return facts, forms.chosen(forms.table_of(given.get("base", "")), given, facts)


def _is_written(given: dict[str, str]) -> bool:
    """Whether somebody corrected the mapping's text rather than the choices."""
    written, base = (given.get(name, "").replace("\r\n", "\n") for name in ("written", "base"))
    return bool(written.strip()) and written.strip() != base.strip()


async def _tried(
    gateway: Gateway, source: dict[str, Any], table: dict[str, Any]
) -> tuple[Any, FoodexError | None]:
    try:
        wish = {"source": source, "toml": forms.toml_of(table)}
        return await gateway.post("/collector/mappings/try", wish), None
    except InvalidInput as error:
        return None, error


def _shown(table: dict[str, Any], facts: forms.Facts) -> dict[str, Any]:
    rows = forms.choices(table, facts)
    first = [row for row in rows if row.name in forms.NEEDED]
    undated = {row.name for row in rows if row.name in forms.UNDATED and row.is_mapped}
    mapped = [row for row in rows if row not in first and (row.is_mapped or row.name in undated)]
    return {
        "facts": facts,
        "facts_json": msgspec.json.encode(facts).decode(),
        "toml": forms.toml_of(table),
        "rows": rows,
        "first": first,
        "mapped": mapped,
        "unmapped": [row for row in rows if row not in first and row not in mapped],
        "others": forms.others(table, facts),
        "zone": forms.zone_of(table),
        "written_in": forms.written_in(table),
        "skips": table.get("skip_where") or [],
        "forms": forms,
    }
