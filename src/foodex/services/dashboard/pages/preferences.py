"""The language and the colours somebody chose, kept in their browser."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from foodex.core.access import public
from foodex.services.dashboard.catalogue import LANGUAGES
from foodex.services.dashboard.gateway import Gateway
from foodex.services.dashboard.rendering import LANGUAGE, THEME, THEMES, form, go, inner_path

_YEAR = 365 * 86_400


def router(gateway: Gateway) -> APIRouter:
    """The route that both are sent to."""
    routes = APIRouter(dependencies=[public])

    @routes.post("/preferences")
    async def choose(request: Request) -> Response:
        given = await form(request)
        answer = go(request, inner_path(given.get("next")))
        chosen = (
            (LANGUAGE, given.get("language"), LANGUAGES),
            (THEME, given.get("theme"), THEMES),
        )
        for name, value, known in chosen:
            if value in known:
                answer.headers.append(
                    "set-cookie", f"{name}={value}; Path=/; Max-Age={_YEAR}; SameSite=Lax"
                )
        return answer

    return routes
