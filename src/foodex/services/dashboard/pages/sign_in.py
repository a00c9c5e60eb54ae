"""Signing in and out, and becoming a client."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from foodex.core.access import public
from foodex.core.errors import (
    Conflict,
    FoodexError,
    Forbidden,
    InvalidInput,
    NotAuthenticated,
    TooManyRequests,
)
from foodex.core.settings import HttpSettings
from foodex.services.dashboard.gateway import Gateway
from foodex.services.dashboard.rendering import form, go, inner_path, page
from foodex.services.dashboard.session import (
    REFRESH,
    current_viewer,
    no_session,
    session_cookies,
)


def router(gateway: Gateway, settings: HttpSettings) -> APIRouter:
    """The only pages for who has not signed in."""
    routes = APIRouter(dependencies=[public])

    @routes.get("/sign-in")
    async def show(request: Request) -> Response:
        wanted = inner_path(request.query_params.get("next"))
        if current_viewer() is not None:
            return go(request, wanted)
        return _form(request, wanted)

    @routes.post("/sign-in")
    async def sign_in(request: Request) -> Response:
        given = await form(request)
        wanted = inner_path(given.get("next"))
        try:
            tokens = await _tokens(given)
        except (NotAuthenticated, InvalidInput, TooManyRequests) as error:
            return _form(request, wanted, given.get("name", ""), error)
        return _begun(request, tokens, wanted)

    @routes.get("/register")
    async def show_register(request: Request) -> Response:
        return page(request, "register.html", name="", error=None)

    @routes.post("/register")
    async def register(request: Request) -> Response:
        given = await form(request)
        sent = {"name": given.get("name", ""), "password": given.get("password", "")}
        try:
            await gateway.ask("POST", "/accounts/register", json=sent, access_token="")
            tokens = await _tokens(given)
        except (InvalidInput, Conflict, Forbidden, TooManyRequests) as error:
            return page(
                request, "register.html", status=error.status, name=sent["name"], error=error
            )
        return _begun(request, tokens, "/")

    @routes.post("/sign-out")
    async def sign_out(request: Request) -> Response:
        if known := request.cookies.get(REFRESH):
            await gateway.ask(
                "POST", "/accounts/sign-out", json={"refresh_token": known}, access_token=""
            )
        answer = go(request, "/sign-in")
        for one in no_session(secure=settings.behind_tls):
            answer.headers.append("set-cookie", one)
        return answer

    async def _tokens(given: dict[str, str]) -> Any:
        sent = {"name": given.get("name", ""), "password": given.get("password", "")}
        return await gateway.ask("POST", "/accounts/sign-in", json=sent, access_token="")

    def _begun(request: Request, tokens: Any, wanted: str) -> Response:
        answer = go(request, wanted)
        for one in session_cookies(tokens, secure=settings.behind_tls):
            answer.headers.append("set-cookie", one)
        return answer

    def _form(
        request: Request, wanted: str, name: str = "", error: FoodexError | None = None
    ) -> Response:
        status = 200 if error is None else error.status
        return page(request, "sign_in.html", status=status, next=wanted, name=name, error=error)

    return routes
