"""A lane of its own for one busy route: plain ASGI in front of an app.

It does what the app's edge does (request id, who calls and whence, limits, bounded body, problem
documents, figures), without the framework's routing and validation, which cost more than what
the route itself does.
"""

import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Protocol
from urllib.parse import parse_qs

import msgspec
import structlog
from prometheus_client import CollectorRegistry, Counter, Histogram
from starlette.types import ASGIApp, Receive, Scope, Send

from foodex.core.access import Access, Principal, Role, check_principal
from foodex.core.addresses import Addresses
from foodex.core.connection import ANSWER, AnswerWhole, header_lines
from foodex.core.context import HEADER, set_address, set_request_id
from foodex.core.errors import (
    BadRequest,
    FieldProblem,
    FoodexError,
    Forbidden,
    InternalError,
    InvalidInput,
    TooLarge,
)
from foodex.core.headers import usual_headers
from foodex.core.http import problem_response
from foodex.core.limits import UNLIMITED, Limiter, RawHeaders, admit
from foodex.core.settings import HttpSettings

log = structlog.get_logger("foodex.http")
_plain_log = logging.getLogger("foodex.http")

_YES: Final = frozenset({"true", "1", "yes", "on"})
_NO: Final = frozenset({"false", "0", "no", "off", ""})
_SECONDS: Final = (0.0005, 0.001, 0.0015, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1)
_JSON: Final = (b"content-type", b"application/json")
_NONE: Final[Mapping[str, Any]] = {}


class Asked(Protocol):
    """What came in: who asks, the body, the query string and the headers (names in lower case)."""

    principal: Principal
    body: bytes
    query: bytes
    headers: Mapping[str, str]


class _Asked:
    __slots__ = ("body", "headers", "principal", "query")

    def __init__(
        self, principal: Principal, body: bytes, query: bytes, headers: Mapping[str, str]
    ) -> None:
        self.principal, self.body, self.query, self.headers = principal, body, query, headers


class Answer(Protocol):
    """Answers one request with JSON and further headers; its errors become problem documents."""

    async def __call__(self, asked: Asked) -> tuple[bytes, RawHeaders]: ...


Refused = Callable[[str, str, str], Awaitable[None]]
"""Is told who was refused, what (method and route), and where (the path); raises nothing."""


class Lane:
    """Answers `POST path` and passes all else on to the app."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        path: str,
        answer: Answer,
        roles: frozenset[Role],
        scope: str | None,
        most_body_bytes: int,
        name: str,
        access: Access,
        registry: CollectorRegistry,
        settings: HttpSettings,
        limiter: Limiter = UNLIMITED,
        refused: Refused | None = None,
    ) -> None:
        """`name` is that of its figures: `NAME_requests_total` and `NAME_seconds`."""
        self.app, self._path, self._answer = app, path, answer
        self._roles, self._scope, self._most = roles, scope, most_body_bytes
        self._access, self._limiter, self._refused = access, limiter, refused
        self._addresses = Addresses(settings.trusted_proxies)
        self._usual = usual_headers(settings)
        self._usual_lines = header_lines(self._usual)
        self._requests = Counter(
            f"{name}_requests_total", f"Requests of {path}", ("status",), registry=registry
        )
        self._seconds = Histogram(
            f"{name}_seconds", f"Time to answer {path}", buckets=_SECONDS, registry=registry
        )
        self._counted: dict[int, Any] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != self._path or scope["method"] != "POST":
            await self.app(scope, receive, send)
            return
        began = time.perf_counter()
        headers = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        identity = set_request_id(headers.get(HEADER))
        set_address(self._addresses.of(scope, headers))
        counted: RawHeaders = ()
        extra: RawHeaders = ()
        kind: RawHeaders
        principal: Principal | None = None
        try:
            principal, counted = await admit(self._access, self._limiter, headers)
            check_principal(principal, self._roles, self._scope)
            assert principal is not None
            sent = await self._body(headers, receive)
            asked = _Asked(principal, sent, scope["query_string"], headers)
            body, extra = await self._answer(asked)
            status, kind = 200, (_JSON,)
        except FoodexError as error:
            if isinstance(error, Forbidden) and self._refused and principal:
                await self._refused(principal.name, f"POST {self._path}", self._path)
            status, kind, body = _problem(error)
        except Exception as error:
            log.exception("failed", path=self._path, error=type(error).__name__)
            status, kind, body = _problem(InternalError())
        told = (*kind, (b"x-request-id", identity.encode()), *extra, *counted)
        whole: AnswerWhole | None = scope.get("extensions", _NONE).get(ANSWER)
        if whole is None or not await whole(send, status, told, self._usual_lines, body):
            length = (b"content-length", b"%d" % len(body))
            all_headers = [*told, length, *self._usual]
            await send({"type": "http.response.start", "status": status, "headers": all_headers})
            await send({"type": "http.response.body", "body": body})
        self._count(status, time.perf_counter() - began)

    async def _body(self, headers: Mapping[str, str], receive: Receive) -> bytes:
        declared = headers.get("content-length", "")
        if declared.isdigit() and int(declared) > self._most:
            raise self._too_large()
        message = await receive()
        body: bytes = message.get("body", b"")
        while message.get("more_body", False):
            if len(body) > self._most:
                raise self._too_large()
            message = await receive()
            body += message.get("body", b"")
        if message["type"] == "http.disconnect":
            # What came may be an order by itself; nobody waits for it, so nobody is to pay.
            raise BadRequest("The request broke off")
        if len(body) > self._most:
            raise self._too_large()
        return body

    def _too_large(self) -> TooLarge:
        return TooLarge(f"The body is larger than the {self._most} bytes it may take")

    def _count(self, status: int, seconds: float) -> None:
        counted = self._counted.get(status)
        if counted is None:
            counted = self._counted[status] = self._requests.labels(str(status))
        counted.inc()
        self._seconds.observe(seconds)
        if _plain_log.isEnabledFor(logging.DEBUG):
            log.debug("answered", path=self._path, status=status, ms=round(seconds * 1000, 2))


_decode: Final = msgspec.json.Decoder(dict[str, Any]).decode


def read_object(body: bytes, what: str) -> dict[str, Any]:
    """The JSON object of a body.

    Raises `BadRequest` for what is no JSON, and `InvalidInput` for what is no object.
    """
    try:
        return _decode(body)
    except msgspec.ValidationError:
        problem = FieldProblem("body", "is no JSON object of fields and values")
        raise InvalidInput(f"The {what} cannot be used", problems=[problem]) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequest(f"The body is not JSON: {error}") from None
    except RecursionError:
        raise BadRequest("The body is nested too deep") from None


def read_query(query: bytes) -> tuple[str | None, bool]:
    """`model` and `explain` of a query string; `InvalidInput` where `explain` is no yes or no."""
    if not query:
        return None, False
    given = parse_qs(query.decode("latin-1"))
    explain = given.get("explain", [""])[-1].lower()
    if explain not in _YES and explain not in _NO:
        problem = FieldProblem("explain", f"'{explain}' is neither true nor false")
        raise InvalidInput("The request cannot be used", problems=[problem])
    return given.get("model", [None])[-1], explain in _YES


def _problem(error: FoodexError) -> tuple[int, RawHeaders, bytes]:
    response = problem_response(error)
    kept = tuple(pair for pair in response.raw_headers if pair[0] != b"content-length")
    return response.status_code, kept, bytes(response.body)
