"""One's keys for programs, one's password and one's sessions."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import quote

from fastapi import APIRouter, Request
from fastapi.responses import Response

from foodex.core.access import EVERY_ROLE, allow
from foodex.core.errors import (
    Conflict,
    FieldProblem,
    FoodexError,
    InvalidInput,
    NotAuthenticated,
    TooManyRequests,
)
from foodex.core.settings import HttpSettings
from foodex.services.dashboard.gateway import Gateway
from foodex.services.dashboard.rendering import SIGN_IN, form, form_pairs, go, is_partial, page
from foodex.services.dashboard.session import current_viewer, no_session, session_cookies

SCOPES: Final = ("eta", "batches", "predictions:read", "balance:read")
LIFETIMES: Final = ("", "30", "90", "365")
"""Days after which a new key ends; empty is never."""
_KEYS: Final = "/accounts/people/me/keys"


def router(gateway: Gateway, settings: HttpSettings) -> APIRouter:
    """The routes of keys, password and sessions."""
    routes = APIRouter(dependencies=[allow(*EVERY_ROLE)])

    @routes.get("/account/keys")
    async def keys(request: Request) -> Response:
        return await _keys(request)

    @routes.post("/account/keys")
    async def make(request: Request) -> Response:
        pairs = await form_pairs(request)
        given = dict(pairs)
        scopes = [value for name, value in pairs if name == "scope"]
        wanted = {"name": given.get("name", ""), "scopes": scopes, "expires_at": None}
        if (days := given.get("days", "")) in LIFETIMES[1:]:
            wanted["expires_at"] = (datetime.now(UTC) + timedelta(days=int(days))).isoformat()
        try:
            made = await gateway.post(_KEYS, wanted)
        except (InvalidInput, Conflict) as error:
            return await _keys(request, given={**given, "scopes": scopes}, error=error)
        return await _keys(request, made=made)

    @routes.post("/account/keys/{key_id}/revoke")
    async def revoke(request: Request, key_id: str) -> Response:
        await gateway.ask("DELETE", f"{_KEYS}/{quote(key_id, safe='')}")
        return go(request, "/account/keys")

    @routes.get("/account/security")
    async def security(request: Request) -> Response:
        changed = request.query_params.get("changed") is not None
        return page(request, "account_security.html", error=None, wrong={}, changed=changed)

    @routes.post("/account/security/password")
    async def change(request: Request) -> Response:
        given = await form(request)
        old, new = given.get("old", ""), given.get("new", "")
        try:
            if new != given.get("again", ""):
                problem = FieldProblem("again", "is not the same")
                raise InvalidInput("The new password was typed differently", problems=[problem])
            sent = {"old": old, "new": new}
            await gateway.post("/accounts/people/me/password-change", sent)
        except NotAuthenticated:
            # Of the old password, not of the session: that was looked at just before.
            error: FoodexError = InvalidInput(problems=[FieldProblem("old", "is not right")])
        except (InvalidInput, TooManyRequests) as refused:
            error = refused
        else:
            return await _signed_in_again(request, new)
        return page(
            request,
            "account_security.html",
            status=error.status,
            error=error,
            wrong=_by_field(error),
            changed=False,
        )

    @routes.post("/account/security/sign-out-everywhere")
    async def sign_out_everywhere(request: Request) -> Response:
        await gateway.post("/accounts/people/me/sign-out-everywhere")
        return _with(go(request, SIGN_IN), no_session(secure=settings.behind_tls))

    async def _signed_in_again(request: Request, password: str) -> Response:
        viewer = current_viewer()
        name = viewer.name if viewer else ""
        tokens = await gateway.ask(
            "POST",
            "/accounts/sign-in",
            json={"name": name, "password": password},
            access_token="",
        )
        answer = go(request, "/account/security?changed=1")
        return _with(answer, session_cookies(tokens, secure=settings.behind_tls))

    async def _keys(
        request: Request,
        *,
        given: Mapping[str, Any] | None = None,
        made: Mapping[str, Any] | None = None,
        error: FoodexError | None = None,
    ) -> Response:
        found = await gateway.get(_KEYS)
        template = "parts/account_keys.html" if is_partial(request) else "account_keys.html"
        now = datetime.now(UTC)
        return page(
            request,
            template,
            status=200 if error is None or is_partial(request) else error.status,
            keys=[{**one, "ended": _ended(one, now)} for one in reversed(found)],
            scopes=SCOPES,
            lifetimes=LIFETIMES,
            given=given or {"scopes": ["eta"]},
            made=made,
            error=error,
            wrong=_by_field(error),
            base=str(request.base_url),
        )

    return routes


def _ended(key: Mapping[str, Any], now: datetime) -> bool:
    until = key["expires_at"]
    return key["revoked_at"] is not None or (
        until is not None and datetime.fromisoformat(until) <= now
    )


def _by_field(error: FoodexError | None) -> dict[str, str]:
    return {one.field: one.message for one in error.problems} if error else {}


def _with(answer: Response, cookies: Any) -> Response:
    for one in cookies:
        answer.headers.append("set-cookie", one)
    return answer
