"""Makes pages of templates, in the viewer's language, with what every page shows around."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, quote, urlsplit

import msgspec
from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.types import Receive, Scope, Send

import foodex
from foodex.core.access import Role
from foodex.core.errors import BadRequest, FoodexError, NotAuthenticated, TooLarge
from foodex.core.headers import page_policy
from foodex.services.dashboard import files, formats
from foodex.services.dashboard.catalogue import LANGUAGES, chosen, texts_of
from foodex.services.dashboard.navigation import menu_for
from foodex.services.dashboard.session import current_viewer

SIGN_IN: Final = "/sign-in"
LANGUAGE: Final = "foodex_language"
THEME: Final = "foodex_theme"
THEMES: Final = ("auto", "light", "dark")
POLICY: Final = page_policy(images="data: blob:", workers="blob:")
_OF_ADDRESSES: Final = ":/%#?=@[]!$&'()*+,;~"
MOST_FORM_BYTES: Final = 1 << 20
_SAID: Final = {
    "content-security-policy": POLICY,
    "vary": "Cookie",
    # With none at all, browsers that know no fetch metadata (plain HTTP) hide whence a form comes.
    "referrer-policy": "same-origin",
}

_environment: Final = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def page(
    request: Request,
    template: str,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    **values: Any,
) -> HTMLResponse:
    """A template as an answer; `values` are what it shows."""
    text = _environment.get_template(template).render(_context(request) | values)
    said = {**_SAID, **(headers or {})}
    return HTMLResponse(text, status, said)


def fragment(request: Request, template: str, **values: Any) -> str:
    """A template as text, for events."""
    return _environment.get_template(template).render(_context(request) | values)


def is_partial(request: Request) -> bool:
    """Whether a script asks for a part of a page, rather than a person for the page."""
    return "hx-request" in request.headers and "hx-boosted" not in request.headers


def go(request: Request, path: str) -> Response:
    """Send the browser to another page, whoever asked: a form or a script."""
    if is_partial(request):
        return Response(status_code=204, headers={"hx-redirect": path})
    return RedirectResponse(path, 303)


async def form(request: Request) -> dict[str, str]:
    """The fields of a form; of several of one name the last.

    Raises `TooLarge` and `BadRequest`.
    """
    return dict(await form_pairs(request))


async def form_pairs(request: Request) -> list[tuple[str, str]]:
    """The fields of a form with all their values."""
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > MOST_FORM_BYTES:
            raise TooLarge("This form is too large")
    try:
        return parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=2000)
    except (UnicodeDecodeError, ValueError) as error:
        raise BadRequest("The form cannot be read") from error


def inner_path(wanted: str | None) -> str:
    """A path of this site from somebody's words, fit for a header; `/` for anything else."""
    if not wanted or not wanted.startswith("/") or wanted.startswith(("//", "/\\")):
        return "/"
    # Browsers pass over tabs and line ends within an address, and take `\` for `/`.
    if any(ord(sign) < 32 or sign == "\\" for sign in wanted):
        return "/"
    return quote(wanted, safe=_OF_ADDRESSES)


class ErrorPage(Response):
    """An error as a page, a part of one, or the way to sign in, as the request wants it."""

    def __init__(self, error: FoodexError) -> None:
        super().__init__(status_code=error.status)
        self._error = error

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        answer = self._answer(request)
        if self.status_code != self._error.status:
            answer.status_code = self.status_code
        await answer(scope, receive, send)

    def _answer(self, request: Request) -> Response:
        error = self._error
        if isinstance(error, NotAuthenticated):
            return go(request, f"{SIGN_IN}?next={quote(_came_from(request), safe='')}")
        known = _context(request)["t"].has(f"errors.{error.type}.title")
        again = request.url.path if request.method == "GET" else _came_from(request)
        kind = error.type if known else "error"
        values: dict[str, Any] = {"error": error, "kind": kind, "again": again}
        if is_partial(request):
            where = {"hx-retarget": "#messages", "hx-reswap": "beforeend"}
            return page(request, "parts/error.html", status=error.status, headers=where, **values)
        return page(request, "error.html", status=error.status, **values)


def _came_from(request: Request) -> str:
    if is_partial(request):
        current = urlsplit(request.headers.get("hx-current-url", ""))
        return inner_path(current.path + (f"?{current.query}" if current.query else ""))
    if request.method == "GET":
        query = f"?{request.url.query}" if request.url.query else ""
        return inner_path(request.url.path + query)
    # Scripts give such pages this address in place of the form's: see `app.js`.
    before = urlsplit(request.headers.get("referer", ""))
    return inner_path(before.path + (f"?{before.query}" if before.query else ""))


def _context(request: Request) -> dict[str, Any]:
    cookies = request.cookies
    language = chosen(cookies.get(LANGUAGE), request.headers.get("accept-language", ""))
    theme = cookies.get(THEME, "auto")
    viewer = current_viewer()
    in_language = {
        name: partial(getattr(formats, name), language=language)
        for name in ("number", "percent", "money", "minutes", "seconds", "size")
    }
    return {
        "t": texts_of(language),
        "language": language,
        "languages": LANGUAGES,
        "theme": theme if theme in THEMES else "auto",
        "viewer": viewer,
        "Role": Role,
        "menu": menu_for(viewer.roles) if viewer else (),
        "path": request.url.path,
        "page_address": _came_from(request),
        "answers_a_form": request.method == "POST" and "referer" in request.headers,
        "partial": is_partial(request),
        "version": foodex.__version__,
        "static": files.address,
        "icon": files.icon,
        "data": data,
        "when": formats.when,
        "plain": formats.plain,
        **in_language,
    }


def data(value: Any) -> Markup:
    """JSON for a page's scripts, safe within `<script type="application/json">`."""
    text = msgspec.json.encode(value).decode()
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))
