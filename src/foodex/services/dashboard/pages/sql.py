"""Questions to the data in SQL."""

from typing import Any, Final

from fastapi import APIRouter, Request
from fastapi.responses import Response

from foodex.core.access import allow
from foodex.core.errors import FoodexError
from foodex.services.dashboard.gateway import Gateway
from foodex.services.dashboard.navigation import ANALYSTS
from foodex.services.dashboard.rendering import form, is_partial, page
from foodex.services.dashboard.session import current_viewer

ROWS_SHOWN: Final = 500


def router(gateway: Gateway) -> APIRouter:
    """The page's routes."""
    routes = APIRouter(dependencies=[allow(*ANALYSTS)])

    @routes.get("/data/sql")
    async def show(request: Request) -> Response:
        return await shown(request, "", None)

    @routes.post("/data/sql")
    async def ask(request: Request) -> Response:
        sql = (await form(request)).get("sql", "").strip()
        result, error = None, None
        if sql:
            try:
                result = await gateway.post("/storage/query", {"sql": sql})
            except FoodexError as problem:
                # Whatever went wrong, the question stays on the page.
                error = problem
        values: dict[str, Any] = {"result": result, "error": error, "most": ROWS_SHOWN}
        if is_partial(request):
            return page(request, "parts/sql_result.html", **values)
        return await shown(request, sql, values)

    async def shown(request: Request, sql: str, answer: dict[str, Any] | None) -> Response:
        datasets = await gateway.get("/storage/datasets")
        viewer = current_viewer()
        return page(
            request,
            "sql.html",
            sql=sql,
            datasets=datasets,
            name=viewer.name if viewer else "",
            answer=answer or {},
        )

    return routes
