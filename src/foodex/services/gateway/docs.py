"""The API's documentation as pages whose scripts and styles are served from here."""

import base64
import hashlib
import re
from pathlib import Path
from typing import Final

import fastapi_offline
from fastapi import APIRouter
from fastapi.openapi.docs import get_redoc_html, get_swagger_ui_html
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse

from foodex.core.access import public
from foodex.core.errors import NotFound
from foodex.core.headers import page_policy

_FILES = Path(fastapi_offline.__file__).parent / "static"
_INLINE: Final = re.compile(rb"<script>(.*?)</script>", re.DOTALL)


def router(title: str) -> APIRouter:
    """The pages `/docs` (try the API) and `/reference` (read about it)."""
    routes = APIRouter(dependencies=[public], include_in_schema=False)

    @routes.get("/")
    async def index() -> RedirectResponse:
        return RedirectResponse("/docs")

    @routes.get("/docs")
    async def swagger() -> HTMLResponse:
        page = get_swagger_ui_html(
            openapi_url="/openapi.json",
            title=title,
            swagger_js_url="/docs/swagger-ui-bundle.js",
            swagger_css_url="/docs/swagger-ui.css",
            swagger_favicon_url="/docs/favicon.png",
        )
        return _allowed(page)

    @routes.get("/reference")
    async def redoc() -> HTMLResponse:
        page = get_redoc_html(
            openapi_url="/openapi.json",
            title=title,
            redoc_js_url="/docs/redoc.standalone.js",
            redoc_favicon_url="/docs/favicon.png",
            with_google_fonts=False,
        )
        return _allowed(page)

    @routes.get("/docs/{name}")
    async def file(name: str) -> FileResponse:
        known = {path.name: path for path in _FILES.iterdir()}
        if name not in known:
            raise NotFound(f"There is nothing at /docs/{name}")
        return FileResponse(known[name], headers={"cache-control": "no-cache"})

    return routes


def _allowed(page: HTMLResponse) -> HTMLResponse:
    """The page with a policy under which its own scripts run, and no others."""
    digests = [hashlib.sha256(script).digest() for script in _INLINE.findall(bytes(page.body))]
    hashes = " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
    page.headers["content-security-policy"] = page_policy(
        scripts=hashes, images="data:", workers="blob:"
    )
    return page
