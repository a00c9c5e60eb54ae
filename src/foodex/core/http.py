"""What every service's HTTP app has: problem documents, request ids, health, metrics, docs."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import structlog
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

import foodex
from foodex.core.access import Access, public
from foodex.core.edge import Edge
from foodex.core.errors import (
    BadRequest,
    FieldProblem,
    FoodexError,
    InternalError,
    InvalidInput,
    NotFound,
    TooLarge,
    family,
)
from foodex.core.limits import UNLIMITED, Limiter, OverLimit
from foodex.core.problems import problem_document
from foodex.core.settings import HttpSettings
from foodex.core.telemetry import HttpMetrics

log = structlog.get_logger("foodex.http")

PROBLEM: Final = "application/problem+json"
STREAMED: Final = 1 << 50
"""The `max_body_size` of a route that streams its body to a service with a limit of its own."""
_USUAL: Final = frozenset({"type", "title", "status", "detail", "request_id", "problems"})
_SOON_SECONDS: Final = 1.0
"""When to try again, where whoever was away did not say."""
Check = Callable[[], Awaitable[None]]
Render = Callable[[FoodexError], Response]
"""Turns an error into an answer."""

_CORS_SENT: Final = ("authorization", "x-api-key", "idempotency-key", "x-request-id")
_CORS_READ: Final = ("x-request-id", "retry-after", "ratelimit", "ratelimit-policy")


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """RFC 9457: what went wrong, as every service says it."""

    type: str
    title: str
    status: int
    detail: str
    problems: tuple[FieldProblem, ...] = ()
    request_id: str = ""


def problem_response(error: FoodexError) -> Response:
    """An error as an HTTP answer."""
    headers = {}
    seconds = error.retry_after_seconds
    if seconds is None and error.status == 503:
        seconds = _SOON_SECONDS
    if seconds is not None:
        headers["retry-after"] = str(max(1, round(seconds)))
    if error.status == 401:
        headers["www-authenticate"] = 'Bearer realm="foodex"'
    if isinstance(error, OverLimit):
        headers |= {name.decode(): value.decode() for name, value in error.headers}
    body = msgspec.json.encode(problem_document(error))
    return Response(body, error.status, headers, PROBLEM)


def raise_problem(status: int, body: bytes, *, retry_after: str | None = None) -> None:
    """Raise the error that a peer's problem document tells of; for clients."""
    try:
        document = msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.DecodeError:
        document = {}
    seconds = float(retry_after) if retry_after and retry_after.isdigit() else None
    raise problem_error(status, document, seconds)


def problem_error(
    status: int, document: Mapping[str, Any], retry_after_seconds: float | None = None
) -> FoodexError:
    """The error that a problem document tells of, with the facts that stand beside the usual."""
    kind = family().get(str(document.get("type", "")).rpartition(":")[2], InternalError)
    extra = {name: value for name, value in document.items() if name not in _USUAL}
    return kind(
        document.get("detail") or f"A service answered with status {status}",
        problems=[FieldProblem(**problem) for problem in document.get("problems", ())],
        retry_after_seconds=retry_after_seconds,
        **extra,
    )


class App(FastAPI):
    """An app with layers around the whole of it, the framework's own work on a request too."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.outermost: ASGIApp = super().__call__

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.outermost(scope, receive, send)


def create_app(
    name: str,
    *,
    router: APIRouter,
    access: Access,
    settings: HttpSettings,
    running: Callable[[], AbstractAsyncContextManager[Any]] = nullcontext,
    checks: Mapping[str, Check] | None = None,
    registry: CollectorRegistry | None = None,
    description: str = "",
    limiter: Limiter = UNLIMITED,
    render: Render = problem_response,
) -> App:
    """An app with the router's routes and all that every service has around them.

    `running` is entered while the app serves; `checks` are awaited by `/health/ready`, each of
    them passing by returning; `render` tells errors.
    """
    state = _State(checks or {}, settings.check_seconds)
    registry = registry or CollectorRegistry()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with running():
            state.started = True
            yield
        state.started = False

    app = App(
        title="FoodEx" if name == "gateway" else f"FoodEx {name}",
        version=foodex.__version__,
        description=description,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
        strict_content_type=False,
        responses={"default": {"model": Problem, "content": {PROBLEM: {}}}},
        # One name for one shape, whatever the module it stands in.
        separate_input_output_schemas=False,
    )
    _describe_key(app)
    # Given to the app itself, this limit would stand outside the edge and answer without it.
    app.include_router(_health(state, registry), max_body_size=settings.max_body_bytes)
    app.include_router(router, max_body_size=settings.max_body_bytes)
    app.add_exception_handler(FoodexError, _telling(_known, render))
    app.add_exception_handler(RequestValidationError, _telling(_of_validation, render))
    app.add_exception_handler(HTTPException, _telling(_of_http_exception, render))
    app.add_middleware(
        Edge,
        service=name,
        access=access,
        metrics=HttpMetrics(registry),
        render=render,
        settings=settings,
        limiter=limiter,
    )
    return app


def put_around(app: App, layer: Callable[[ASGIApp], ASGIApp]) -> None:
    """Put a layer around the whole app; of several, the last is the outermost.

    What the layer answers itself passes nothing of the framework.
    """
    app.outermost = layer(app.outermost)


def open_to_origins(app: App, settings: HttpSettings) -> None:
    """Let pages of the origins in the settings call the app; to be added last, around all else."""
    if settings.cors_origins:
        put_around(
            app,
            lambda inner: CORSMiddleware(
                inner,
                allow_origins=settings.cors_origins,
                allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
                allow_headers=_CORS_SENT,
                expose_headers=_CORS_READ,
            ),
        )


def _describe_key(app: FastAPI) -> None:
    """Say in the description that a key is sent, so that its pages can ask for one."""
    plain = app.openapi

    def described() -> dict[str, Any]:
        schema = plain()
        schema.setdefault("components", {})["securitySchemes"] = {
            "key": {"type": "http", "scheme": "bearer", "description": "Your key."}
        }
        schema["security"] = [{"key": []}]
        return schema

    app.openapi = described  # type: ignore[method-assign]


class _State:
    def __init__(self, checks: Mapping[str, Check], check_seconds: float) -> None:
        self.started = False
        self.checks = checks
        self.check_seconds = check_seconds

    async def ready(self) -> dict[str, str]:
        names = list(self.checks)
        answers = await asyncio.gather(*(self._one(self.checks[name]) for name in names))
        return dict(zip(names, answers, strict=True))

    async def _one(self, check: Check) -> str:
        try:
            async with asyncio.timeout(self.check_seconds):
                await check()
        except TimeoutError:
            return f"no answer within {self.check_seconds:g} s"
        except FoodexError as error:
            return error.message
        return "ok"


def _health(state: _State, registry: CollectorRegistry) -> APIRouter:
    router = APIRouter(tags=["system"], dependencies=[public])

    @router.get("/health/live", summary="Is the process alive?")
    async def live() -> dict[str, str]:
        return {"status": "ok", "version": foodex.__version__}

    @router.get("/health/startup", summary="Has it started?")
    async def startup(response: Response) -> dict[str, str]:
        response.status_code = 200 if state.started else 503
        return {"status": "ok" if state.started else "starting"}

    @router.get("/health/ready", summary="Can it do its work now?")
    async def ready(response: Response) -> dict[str, Any]:
        parts = await state.ready()
        good = state.started and all(answer == "ok" for answer in parts.values())
        response.status_code = 200 if good else 503
        return {"status": "ok" if good else "not ready", "parts": parts}

    @router.get("/metrics", summary="Figures for Prometheus", response_class=Response)
    async def metrics() -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return router


def _telling(
    read: Callable[[Request, Exception], FoodexError], render: Render
) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def tell(request: Request, error: Exception) -> Response:
        response = render(read(request, error))
        if isinstance(error, HTTPException) and error.status_code == 405:
            response.status_code = 405
            response.headers.update(error.headers or {})
        return response

    return tell


def _known(_: Request, error: Exception) -> FoodexError:
    assert isinstance(error, FoodexError)
    if error.status >= 500:
        log.warning("refused", status=error.status, detail=error.message)
    return error


def _of_validation(request: Request, error: Exception) -> FoodexError:
    assert isinstance(error, RequestValidationError)
    problems = []
    kind = request.headers.get("content-type", "application/json").partition(";")[0].strip()
    for fault in error.errors():
        if fault["loc"] == ("body",) and "json" not in kind.lower():
            return BadRequest(f"The body is '{kind}'; send application/json")
        if fault["type"] == "json_invalid":
            return BadRequest("The body is not JSON")
        place = [part for part in fault["loc"] if part not in ("body", "query", "path", "header")]
        row = next((part for part in place if isinstance(part, int)), None)
        field = ".".join(str(part) for part in place if not isinstance(part, int)) or "body"
        problems.append(FieldProblem(field, fault["msg"].removeprefix("Value error, "), row))
    return InvalidInput("The request cannot be used", problems=problems)


def _of_http_exception(request: Request, error: Exception) -> FoodexError:
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        return NotFound(f"There is nothing at {request.url.path}")
    if error.status_code == 413:
        return TooLarge()
    if error.status_code == 405:
        return BadRequest(f"{request.method} is not possible at {request.url.path}")
    kind = BadRequest if error.status_code < 500 else InternalError
    return kind(str(error.detail))
