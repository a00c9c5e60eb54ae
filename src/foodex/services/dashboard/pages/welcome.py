"""The way from an empty system to a judged model of one's own file."""

import secrets
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Request
from fastapi.responses import Response, StreamingResponse

from foodex.core.access import allow
from foodex.core.errors import FoodexError, InvalidInput, NotFound
from foodex.domain.deliveries import FIELD
from foodex.domain.forecasts import QUANTILES
from foodex.services.dashboard import charts, first_run
from foodex.services.dashboard.events import stream
from foodex.services.dashboard.gateway import Gateway
from foodex.services.dashboard.navigation import ANALYSTS, STAFF
from foodex.services.dashboard.pages.jobs import follow
from foodex.services.dashboard.rendering import form, form_pairs, go, page

ALGORITHMS: Final = ("gradient_boosting", "random_forest", "linear_regression")


def router(gateway: Gateway) -> APIRouter:
    """The page's routes."""
    routes = APIRouter(dependencies=[allow(*STAFF)])
    _looking(routes, gateway)
    _doing(routes, gateway)
    return routes


def _looking(routes: APIRouter, gateway: Gateway) -> None:
    @routes.get("/welcome")
    async def show(request: Request, upload: str = "", dataset: str = "") -> Response:
        return await shown(gateway, request, upload, dataset)

    @routes.get("/welcome/jobs/{job_id}/events")
    async def watch(request: Request, job_id: str) -> StreamingResponse:
        return stream(follow(gateway, request, f"/ml/jobs/{quote(job_id, safe='')}"))


def _doing(routes: APIRouter, gateway: Gateway) -> None:
    changing = [allow(*ANALYSTS)]

    @routes.post("/welcome/train", dependencies=changing)
    async def train(request: Request) -> Response:
        pairs = await form_pairs(request)
        given = dict(pairs)
        name = given.get("dataset", "")
        dataset = await gateway.get(f"/storage/datasets/{quote(name, safe='')}")
        whole = given.get("whole") == "1"
        until = None if whole else first_run.kept_back_from(dataset)
        wish = {
            "dataset": name,
            "model": given.get("model", "").strip(),
            "algorithm": given.get("algorithm") or ALGORITHMS[0],
            "until": until.isoformat() if until else None,
            "without": [value for key, value in pairs if key == "without"],
            "promote": whole,
        }
        try:
            query = {"reference": given.get("reference")}
            await gateway.post("/ml/trainings", wish, query=query)
        except InvalidInput as error:
            return await shown(gateway, request, "", name, error=error, given=given)
        return _back(request, name)

    @routes.post("/welcome/judge", dependencies=changing)
    async def judge(request: Request) -> Response:
        given = await form(request)
        wish = {key: given.get(key, "") for key in ("dataset", "model")}
        query = {"reference": given.get("reference")}
        await gateway.post(
            "/ml/evaluations", {**wish, "version": int(given.get("version", "0"))}, query=query
        )
        return _back(request, wish["dataset"])

    @routes.post("/welcome/promote", dependencies=changing)
    async def promote(request: Request) -> Response:
        given = await form(request)
        model = quote(given.get("model", ""), safe="")
        await gateway.post(f"/ml/models/{model}/versions/{int(given.get('version', '0'))}/promote")
        return _back(request, given.get("dataset", ""))

    @routes.post("/welcome/retire", dependencies=changing)
    async def retire(request: Request) -> Response:
        given = await form(request)
        await gateway.post(f"/ml/models/{quote(given.get('model', ''), safe='')}/retire")
        return _back(request, given.get("dataset", ""))

    @routes.post("/welcome/cancel", dependencies=changing)
    async def cancel(request: Request) -> Response:
        given = await form(request)
        await gateway.post(f"/ml/jobs/{quote(given.get('job', ''), safe='')}/cancel")
        return _back(request, given.get("dataset", ""))

    @routes.post("/welcome/forecast")
    async def forecast(request: Request) -> Response:
        given = await form(request)
        model, name = given.get("model", ""), given.get("dataset", "")
        order = await newest_order(gateway, name)
        answer = await gateway.post("/ml/forecast", order, query={"model": model})
        return page(
            request,
            "parts/welcome_forecast.html",
            order=order,
            answer=answer,
            median=answer["quantiles_minutes"][QUANTILES.index(0.5)],
        )


async def shown(
    gateway: Gateway,
    request: Request,
    upload: str,
    dataset: str,
    *,
    error: FoodexError | None = None,
    given: dict[str, str] | None = None,
) -> Response:
    """The page as things stand."""
    found = await first_run.find(gateway, dataset)
    result = found.judgement
    verdict = first_run.verdict_of(result) if result else None
    name = found.dataset["name"] if found.dataset else ""
    return page(
        request,
        "welcome.html",
        status=200 if error is None else error.status,
        run=found,
        upload=upload,
        mapping_query=urlencode({"upload": upload, "to": "welcome"}),
        step="check" if upload else found.step,
        until=first_run.kept_back_from(found.dataset) if found.dataset else None,
        asked=first_run.left_out(found.dataset) if found.dataset else (),
        least=first_run.LEAST_ORDERS,
        algorithms=ALGORITHMS,
        result=result,
        verdict=verdict,
        bars=charts.bars,
        is_done=first_run.is_done,
        is_running=first_run.is_running,
        error=error,
        given={"model": name, "algorithm": ALGORITHMS[0]} | (given or {}),
        reference=secrets.token_urlsafe(16),
    )


def _back(request: Request, dataset: str) -> Response:
    return go(request, f"/welcome?{urlencode({'dataset': dataset})}")


async def newest_order(gateway: Gateway, name: str) -> dict[str, Any]:
    """The data set's newest order, as one that is placed now would look.

    Raises `NotFound` where there is none.
    """
    path = f"/storage/datasets/{quote(name, safe='')}"
    dataset = await gateway.get(path)
    known = [
        column["name"]
        for column in dataset["columns"]
        if column["name"] not in FIELD or FIELD[column["name"]].known_at_order
    ]
    last = dataset["last_at"]
    query = {"column": known, "where": [f"placed_at:ge:{last}"] if last else [], "limit": 1}
    rows = (await gateway.get(f"{path}/rows", query))["rows"]
    if not rows:
        raise NotFound(f"There is no order in '{name}'")
    own = ("row_id", "order_id", "own_estimate_minutes")
    order = {key: value for key, value in rows[0].items() if value is not None and key not in own}
    if last:
        order["placed_at"] = datetime.now(UTC).isoformat(timespec="seconds")
    return order
