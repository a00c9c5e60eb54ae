"""Who looks at the pages: sessions in cookies, renewed as they are used, safe from other sites.

The cookies hold the tokens of the accounts service and nothing else, so any copy of the dashboard
serves anybody.
"""

import asyncio
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final
from urllib.parse import urlsplit

import structlog
from starlette.requests import cookie_parser
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from foodex.core.access import Principal, Role
from foodex.core.addresses import Addresses
from foodex.core.context import HEADER, request_id, set_address, set_request_id
from foodex.core.errors import Conflict, FoodexError, Forbidden, NotAuthenticated
from foodex.core.headers import usual_headers
from foodex.core.http import Render
from foodex.core.settings import HttpSettings
from foodex.services.dashboard.gateway import Gateway, token

ACCESS: Final = "foodex_access"
REFRESH: Final = "foodex_refresh"
STATIC: Final = "/static/"
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_REMEMBERED_SECONDS: Final = 30.0
"""For how long a renewed session is known by its spent token: tabs ask at the same time."""

log = structlog.get_logger("foodex.dashboard")


@dataclass(frozen=True, slots=True, kw_only=True)
class Viewer:
    """Who looks, and what money they have."""

    name: str
    roles: frozenset[Role]
    account: str | None = None
    balance_minor: int | None = None
    currency: str | None = None

    def may(self, *roles: Role) -> bool:
        """Whether they hold one of the roles."""
        return bool(self.roles & set(roles))


_viewer: ContextVar[Viewer | None] = ContextVar("foodex_dashboard_viewer", default=None)


def current_viewer() -> Viewer | None:
    """Who looks at the page that is being made; None where nobody has signed in."""
    return _viewer.get()


class ViewerAccess:
    """Access for the routes of pages: who the session says it is."""

    async def authenticate(self, headers: Mapping[str, str]) -> Principal | None:
        """See `core.access.Access`; headers say nothing here, cookies said it already."""
        viewer = _viewer.get()
        return None if viewer is None else Principal(viewer.name, viewer.roles, viewer.account)


class Sessions:
    """A layer around the pages: finds the viewer, renews the session, refuses other sites."""

    def __init__(
        self, app: ASGIApp, *, gateway: Gateway, settings: HttpSettings, render: Render
    ) -> None:
        self._app, self._gateway, self._render = app, gateway, render
        self._secure, self._usual = settings.behind_tls, usual_headers(settings)
        self._addresses = Addresses(settings.trusted_proxies)
        self._renewing: dict[str, asyncio.Task[dict[str, Any]]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(STATIC):
            await self._app(scope, receive, send)
            return
        headers = {n.decode("latin-1"): v.decode("latin-1") for n, v in scope["headers"]}
        set_request_id(headers.get(HEADER))
        set_address(self._addresses.of(scope, headers))
        # Cookies of others at this host may be written anyhow.
        cookies = cookie_parser(headers.get("cookie", ""))
        told: list[str] = []
        _viewer.set(None)
        token.set("")
        try:
            _check_site(scope["method"], headers)
            tokens = await self._find(cookies)
            if tokens is not None:
                told = list(session_cookies(tokens, secure=self._secure))
        except FoodexError as error:
            await self._render(error)(scope, receive, self._with_usual(send))
            return
        if _viewer.get() is None and (ACCESS in cookies or REFRESH in cookies):
            told = list(no_session(secure=self._secure))

        async def tell(message: Message) -> None:
            if message["type"] == "http.response.start" and told:
                said = list(message.get("headers", ()))
                # A page that signs in or out has said its own.
                if not any(name == b"set-cookie" and ACCESS.encode() in v for name, v in said):
                    said += [(b"set-cookie", one.encode()) for one in told]
                message["headers"] = said
            await send(message)

        await self._app(scope, receive, tell)

    def _with_usual(self, send: Send) -> Send:
        """What is answered here passes no other layer that would say the usual headers."""

        async def tell(message: Message) -> None:
            if message["type"] == "http.response.start":
                said = list(message.get("headers", ()))
                names = {name for name, _ in said}
                said += [pair for pair in self._usual if pair[0] not in names]
                message["headers"] = [*said, (HEADER.encode(), request_id().encode())]
            await send(message)

        return tell

    async def _find(self, cookies: Mapping[str, str]) -> dict[str, Any] | None:
        """Find the viewer; the new tokens where the session had to be renewed."""
        if (known := cookies.get(ACCESS)) and await self._enter(known):
            return None
        spent = cookies.get(REFRESH)
        if not spent:
            return None
        try:
            tokens = await self._renewed(spent)
        except NotAuthenticated:
            return None
        except Conflict:
            # Another copy of the dashboard has just renewed it; the browser will know by now.
            raise Conflict("Your session was renewed in another tab; load the page again") from None
        return tokens if await self._enter(tokens["access_token"]) else None

    async def _enter(self, access_token: str) -> bool:
        try:
            me = await self._gateway.ask("GET", "/accounts/me", access_token=access_token)
        except NotAuthenticated:
            return False
        _viewer.set(
            Viewer(
                name=me["name"],
                roles=frozenset(Role(role) for role in me["roles"]),
                account=me["account"],
                balance_minor=me["balance_minor"],
                currency=me["currency"],
            )
        )
        token.set(access_token)
        return True

    async def _renewed(self, spent: str) -> dict[str, Any]:
        task = self._renewing.get(spent)
        if task is None:
            asked = self._gateway.ask(
                "POST", "/accounts/refresh", json={"refresh_token": spent}, access_token=""
            )
            task = self._renewing[spent] = asyncio.create_task(asked)
            task.add_done_callback(partial(self._remember, spent))
        return await asyncio.shield(task)

    def _remember(self, spent: str, task: asyncio.Task[dict[str, Any]]) -> None:
        # What failed is to be tried again; asked for its error here, it is not logged as unseen.
        if task.cancelled() or task.exception() is not None:
            self._renewing.pop(spent, None)
        else:
            loop = asyncio.get_running_loop()
            loop.call_later(_REMEMBERED_SECONDS, self._renewing.pop, spent, None)


def session_cookies(tokens: Mapping[str, Any], *, secure: bool) -> Iterable[str]:
    """`set-cookie` values that begin or renew a session."""
    until = datetime.fromisoformat(tokens["refresh_until"])
    left = max(0, int((until - datetime.now(UTC)).total_seconds()))
    yield _cookie(ACCESS, tokens["access_token"], int(tokens["access_seconds"]), secure)
    yield _cookie(REFRESH, tokens["refresh_token"], left, secure)


def no_session(*, secure: bool) -> Iterable[str]:
    """`set-cookie` values that end a session in the browser."""
    yield _cookie(ACCESS, "", 0, secure)
    yield _cookie(REFRESH, "", 0, secure)


def _cookie(name: str, value: str, seconds: int, secure: bool) -> str:
    tail = "; Secure" if secure else ""
    return f"{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{tail}"


def _check_site(method: str, headers: Mapping[str, str]) -> None:
    """Refuse what another site's page sends: browsers say whence a request comes.

    Raises `Forbidden`, also where a request that changes something says nothing of it.
    """
    if method in _SAFE:
        return
    site = headers.get("sec-fetch-site")
    if site is not None:
        same = site == "same-origin"
    else:
        origin = headers.get("origin", "")
        same = bool(origin) and urlsplit(origin).netloc == headers.get("host")
    if not same:
        log.warning("refused another site's request", site=site, origin=headers.get("origin"))
        raise Forbidden("This request came from another site's page")
