"""The outermost layer of an app: what is done for every request before and after its route."""

import time
from collections.abc import Callable
from typing import Any, Final

import structlog
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from foodex.core.access import Access, acting_as
from foodex.core.addresses import Addresses
from foodex.core.context import HEADER, set_address, set_request_id
from foodex.core.errors import FoodexError, InternalError, TooLarge
from foodex.core.headers import usual_headers
from foodex.core.limits import UNLIMITED, Limiter, RawHeaders, admit
from foodex.core.settings import HttpSettings
from foodex.core.telemetry import HttpMetrics

_FORM: Final = "application/x-www-form-urlencoded"
_PLAIN: Final = (b"content-type", b"text/plain; charset=utf-8")
_WATCHED: Final = ("/health/", "/metrics")
"""What machines ask all the time: neither limited nor logged."""

log = structlog.get_logger("foodex.http")


class Edge:
    """Gives a request its id, finds out who sent it and whence, limits, counts and logs it.

    Plain ASGI: it costs microseconds. `render` turns an error into an answer.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        service: str,
        access: Access,
        metrics: HttpMetrics,
        render: Callable[[FoodexError], Response],
        settings: HttpSettings,
        limiter: Limiter = UNLIMITED,
    ) -> None:
        self.app = app
        self.service = service
        self.access = access
        self.metrics = metrics
        self.render = render
        self.limiter = limiter
        self.addresses = Addresses(settings.trusted_proxies)
        self.usual = usual_headers(settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began = time.perf_counter()
        headers = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        identity = set_request_id(headers.get(HEADER))
        set_address(self.addresses.of(scope, headers))
        if scope["path"].startswith("/api/") and headers.get("content-type") == _FORM:
            # `curl -d` says that it sends a form; the API takes none, so JSON is meant.
            scope["headers"] = [pair for pair in scope["headers"] if pair[0] != b"content-type"]
        status = 500
        answering = replaced = False
        counted: RawHeaders = ()

        async def tell(message: Message) -> None:
            nonlocal status, answering, replaced
            if replaced:
                return
            if message["type"] == "http.response.start":
                status, answering = message["status"], True
                said = list(message.get("headers", ()))
                names = {name for name, _ in said}
                if status == 413 and _PLAIN in said:
                    # The framework's own words, where a route answers without reading the body.
                    await self.render(TooLarge())(scope, receive, tell)
                    replaced = True
                    return
                message["headers"] = [
                    *said,
                    (b"x-request-id", identity.encode()),
                    *counted,
                    *(pair for pair in self.usual if pair[0] not in names),
                ]
            await send(message)

        try:
            limiter = UNLIMITED if scope["path"].startswith(_WATCHED) else self.limiter
            principal, counted = await admit(self.access, limiter, headers)
            with acting_as(principal):
                await self.app(scope, receive, tell)
        except FoodexError as error:
            if answering:
                raise
            await self.render(error)(scope, receive, tell)
        except Exception as error:
            log.exception("failed", path=scope["path"], error=type(error).__name__)
            if answering:
                raise
            await self.render(InternalError())(scope, receive, tell)
        finally:
            self._count(scope, status, time.perf_counter() - began)

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        route: Any = scope.get("route")
        path = getattr(route, "path_format", None) or getattr(route, "path", None) or "-"
        self.metrics.observe(self.service, scope["method"], path, status, seconds)
        if not path.startswith(_WATCHED):
            log.debug(
                "answered",
                method=scope["method"],
                path=scope["path"],
                status=status,
                ms=round(seconds * 1000, 2),
            )
