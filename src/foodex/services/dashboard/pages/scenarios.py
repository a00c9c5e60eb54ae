"""Things people want done: what there is, and the form that begins one."""

import asyncio
import secrets
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from fastapi import APIRouter, Request
from fastapi.responses import Response

from foodex.core.access import EVERY_ROLE, allow
from foodex.core.errors import Conflict, FoodexError, InvalidInput, NotFound, PaymentRequired
from foodex.core.http import STREAMED
from foodex.services.dashboard import scenario_forms as forms
from foodex.services.dashboard import scenario_view as view
from foodex.services.dashboard.gateway import Gateway
from foodex.services.dashboard.rendering import form_pairs, go, page

_NEWEST: Final = 8
_SHOWN: Final = 6
"""Fields that are seen at once; scenarios tell those that matter first."""
_API: Final = "/api/v1"


def router(gateway: Gateway) -> APIRouter:
    """The routes of all scenarios and of one's form."""
    routes = APIRouter(dependencies=[allow(*EVERY_ROLE)])

    @routes.get("/scenarios")
    async def show(request: Request) -> Response:
        scenarios, runs = await asyncio.gather(
            gateway.get("/scenarios"), gateway.get("/scenarios/runs", {"limit": _NEWEST})
        )
        return page(
            request, "scenarios.html", scenarios=scenarios, runs=runs["runs"], **shown_with()
        )

    @routes.get("/scenarios/{name}")
    async def form(request: Request, name: str, run: str = "") -> Response:
        scenario, fields = await _asked(name)
        given = forms.read(fields, request.query_params.multi_items())
        if run:
            given = (await gateway.get(f"/scenarios/runs/{quote(run, safe='')}"))["parameters"]
        return _form(request, scenario, fields, given)

    @routes.post("/scenarios/{name}")
    async def start(request: Request, name: str) -> Response:
        pairs = await form_pairs(request)
        scenario, fields = await _asked(name)
        given = forms.read(fields, pairs)
        key = dict(pairs).get(forms.KEY) or secrets.token_urlsafe(16)
        try:
            run = await gateway.ask(
                "POST",
                f"/scenarios/{quote(name, safe='')}/runs",
                json=given,
                headers={"idempotency-key": key},
            )
        except (InvalidInput, PaymentRequired, Conflict, NotFound) as error:
            return _form(request, scenario, fields, given, error)
        return go(request, f"/scenarios/runs/{run['id']}")

    @routes.post("/scenarios/{name}/files/{field}", max_body_size=STREAMED)
    async def upload(request: Request, name: str, field: str, file: str = "") -> Response:
        _, fields = await _asked(name)
        wanted = next((one for one in fields if one.name == field), None)
        if wanted is None or wanted.upload is None:
            raise NotFound(f"'{name}' takes no file '{field}'")
        told = await gateway.ask(
            "POST",
            wanted.upload["path"].removeprefix(_API),
            query={"name": file},
            body=request.stream(),
            headers={"content-type": "application/octet-stream"},
        )
        value = told[wanted.upload["answer"]]
        return page(request, "parts/scenario_file.html", field=field, value=value, file=file)

    async def _asked(name: str) -> tuple[Mapping[str, Any], tuple[forms.Field, ...]]:
        scenario = await gateway.get(f"/scenarios/{quote(name, safe='')}")
        schema = scenario["parameters"]
        known = await view.known_names(gateway, forms.wanted_names(schema))
        return scenario, forms.fields_of(schema, known)

    return routes


def _form(
    request: Request,
    scenario: Mapping[str, Any],
    fields: tuple[forms.Field, ...],
    given: Mapping[str, Any],
    error: FoodexError | None = None,
) -> Response:
    wrong, others = forms.by_field(fields, error.problems if error else ())
    return page(
        request,
        "scenario.html",
        status=200 if error is None else error.status,
        scenario=scenario,
        main=fields[:_SHOWN],
        further=fields[_SHOWN:],
        given=given,
        error=error,
        wrong=wrong,
        others=others,
        # Fresh each time: whoever goes back and changes something means another run.
        key=secrets.token_urlsafe(16),
        **shown_with(),
    )


def shown_with() -> dict[str, Any]:
    """What templates of scenarios and runs need besides."""
    return {
        "icons": view.ICONS,
        "icon_else": view.ICON,
        "told": view.told,
        "file_icon": view.file_icon,
        "has_report": view.report_of,
    }
