"""Files that pages load, by names that change with their content, so browsers may keep them."""

import hashlib
from functools import cache
from pathlib import Path
from typing import Final

from fastapi import APIRouter
from fastapi.responses import FileResponse
from markupsafe import Markup

from foodex.core.access import public
from foodex.core.errors import NotFound

STATIC: Final = Path(__file__).parent / "static"
_ICONS: Final = STATIC / "vendor/lucide-static/icons"
_KEPT: Final = "public, max-age=31536000, immutable"
_TYPES: Final = {".mjs": "text/javascript", ".js": "text/javascript"}


def router() -> APIRouter:
    """The route of the files; which there are is looked up once, at start."""
    routes = APIRouter(dependencies=[public], include_in_schema=False)
    known = {path.relative_to(STATIC).as_posix(): path for path in _files()}

    @routes.get("/static/{stamp}/{name:path}")
    async def file(stamp: str, name: str) -> FileResponse:
        # The stamp only makes the address new; scripts name each other within one stamp.
        if (path := known.get(name)) is None:
            raise NotFound(f"There is no file {name}")
        return FileResponse(
            path, media_type=_TYPES.get(path.suffix), headers={"cache-control": _KEPT}
        )

    return routes


@cache
def stamp() -> str:
    """Changes whenever any file does."""
    found = hashlib.sha256()
    for path in sorted(_files()):
        found.update(path.name.encode() + path.read_bytes())
    return found.hexdigest()[:12]


def _files() -> list[Path]:
    # Icons are drawn within pages.
    return [p for p in STATIC.rglob("*") if p.is_file() and "icons" not in p.parts]


def address(name: str) -> str:
    """Where a page loads a file from."""
    return f"/static/{stamp()}/{name}"


@cache
def icon(name: str, size: int = 20) -> Markup:
    """An icon of the set by its name, drawn within the page; readers of screens pass it by."""
    try:
        text = (_ICONS / f"{name}.svg").read_text(encoding="utf-8")
    except FileNotFoundError:
        raise NotFound(f"There is no icon '{name}'; run `make setup`") from None
    drawn = text[text.index("<svg") :]
    inner = drawn[drawn.index(">") + 1 : drawn.rindex("</svg>")]
    return Markup(
        f'<svg class="icon" width="{size}" height="{size}" viewBox="0 0 24 24" fill="none" '
        'stroke="currentColor" stroke-width="2" stroke-linecap="round" stroke-linejoin="round" '
        f'aria-hidden="true">{inner}</svg>'
    )
