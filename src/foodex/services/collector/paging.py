"""HTTP sources that give their rows page by page."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from yarl import URL

from foodex.core.errors import FieldProblem, InvalidInput
from foodex.core.settings import CollectorSettings
from foodex.domain.loads import Source
from foodex.services.collector.web import Web

_LONGEST_PAGE: Final = 64 << 20
"""A page is held in memory; a file is not."""
KINDS: Final = ("none", "page", "offset", "cursor", "link")


class Paging(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a source pages.

    `page` and `offset` count in the parameter `parameter` (pages from `start`) until a page has no
    rows; `cursor` sends what the answer has at `next` until there is nothing; `link` follows the
    address at `next`, or the answer's `Link: <...>; rel="next"`. `rows` is the dotted place of the
    rows in the answer, empty where the answer is the list of rows itself.
    """

    kind: str = "none"
    parameter: str = ""
    start: int | None = None
    size_parameter: str = ""
    size: int = 100
    rows: str = ""
    next: str = ""


def paging_of(source: Source) -> Paging:
    """A source's paging; `InvalidInput` names what is wrong with it."""
    try:
        paging = msgspec.convert(dict(source.paging), Paging)
    except msgspec.ValidationError as error:
        raise InvalidInput(
            f"The paging of source {source.name!r} cannot be used",
            problems=[FieldProblem("paging", str(error))],
        ) from None
    problem = None
    if paging.kind not in KINDS:
        problem = FieldProblem("paging.kind", f"is {paging.kind!r}; it can be {', '.join(KINDS)}")
    elif paging.kind == "cursor" and not paging.next:
        problem = FieldProblem("paging.next", "is needed: where the answer has the next cursor")
    elif paging.size < 1:
        problem = FieldProblem("paging.size", "must be at least 1")
    if problem:
        raise InvalidInput(
            f"The paging of source {source.name!r} cannot be used", problems=[problem]
        )
    return paging


@dataclass(frozen=True, slots=True)
class Page:
    """A page's rows; `next` is where the next one is, None at the end."""

    rows: tuple[Mapping[str, Any], ...]
    next: str | None
    size_bytes: int


class PagedSource:
    """Gives the pages of an HTTP source from any place; a place is a text."""

    def __init__(self, source: Source, web: Web, settings: CollectorSettings) -> None:
        self._source = source
        self._paging = paging_of(source)
        self._web = web
        self._settings = settings

    async def page(self, place: str | None) -> Page:
        """The page at a place; the first without one."""
        answer = await self._web.get(
            self._address(place),
            self._source.headers,
            min(self._settings.http_max_bytes, _LONGEST_PAGE),
        )
        document = self._read(answer.body)
        rows = self._rows(document)
        following = self._following(place, document, answer.next_link, len(rows))
        if following is not None and following == place:
            raise InvalidInput(
                f"Source {self._source.name!r} gives the page {place!r} as its own next page"
            )
        return Page(rows, following, len(answer.body))

    async def pages(self) -> AsyncIterator[Page]:
        """All pages, within the limits on their number and size."""
        place: str | None = None
        size, before = 0, None
        for _ in range(self._settings.http_max_pages):
            page = await self.page(place)
            size += page.size_bytes
            if size > self._settings.http_max_bytes:
                raise InvalidInput(
                    f"Source {self._source.name!r} sends more than "
                    f"{self._settings.http_max_bytes} bytes"
                )
            if page.rows and page.rows == before:
                raise InvalidInput(
                    f"Source {self._source.name!r} gives the same page again and again; "
                    "is the paging parameter right?"
                )
            before = page.rows
            yield page
            place = page.next
            if place is None:
                return
        raise InvalidInput(
            f"Source {self._source.name!r} has more than {self._settings.http_max_pages} pages"
        )

    def _address(self, place: str | None) -> str:
        paging, url = self._paging, URL(self._source.location)
        if paging.size_parameter and paging.kind != "none":
            url = url.update_query({paging.size_parameter: str(paging.size)})
        if paging.kind in ("page", "offset"):
            name = paging.parameter or paging.kind
            return str(url.update_query({name: place or str(self._start)}))
        if place is None or paging.kind == "none":
            return str(url)
        if paging.kind == "cursor":
            return str(url.update_query({paging.parameter or "cursor": place}))
        return str(url.join(URL(place)))

    @property
    def _start(self) -> int:
        if self._paging.start is not None:
            return self._paging.start
        return 1 if self._paging.kind == "page" else 0

    def _read(self, body: bytes) -> Any:
        try:
            return msgspec.json.decode(body)
        except msgspec.DecodeError as error:
            try:
                return [msgspec.json.decode(line) for line in body.splitlines() if line.strip()]
            except msgspec.DecodeError:
                raise InvalidInput(
                    f"Source {self._source.name!r} answers with something that is no JSON: {error}"
                ) from None

    def _rows(self, document: Any) -> tuple[Mapping[str, Any], ...]:
        found = _at(document, self._paging.rows)
        if isinstance(found, dict) and not self._paging.rows:
            lists = [key for key, value in found.items() if isinstance(value, list)]
            hint = f"; is it {' or '.join(lists)}?" if lists else ""
            raise InvalidInput(
                f"Source {self._source.name!r} answers with an object",
                problems=[FieldProblem("paging.rows", f"must say where the rows are{hint}")],
            )
        if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
            raise InvalidInput(
                f"Source {self._source.name!r} has no list of rows at {self._paging.rows!r}",
                problems=[FieldProblem("paging.rows", "must lead to a list of objects")],
            )
        return tuple(found)

    def _following(
        self, place: str | None, document: Any, link: str | None, count: int
    ) -> str | None:
        paging = self._paging
        if paging.kind == "none":
            return None
        if paging.kind in ("page", "offset"):
            here = int(place) if place else self._start
            return str(here + (1 if paging.kind == "page" else count)) if count else None
        found = _at(document, paging.next) if paging.next else link
        return str(found) if found not in (None, "", False) else None


def _at(document: Any, path: str) -> Any:
    for part in path.split(".") if path else ():
        document = document.get(part) if isinstance(document, dict) else None
    return document
