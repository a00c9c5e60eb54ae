"""Logs and metrics."""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, Final

import structlog
from prometheus_client import CollectorRegistry, Counter, Histogram

from foodex.core.access import SYSTEM, current_principal
from foodex.core.context import request_id
from foodex.core.settings import LogSettings

_BUCKETS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


def configure_logging(settings: LogSettings) -> None:
    """Send all logs of this process, ours and the libraries', to standard error in one form.

    Called once by a command that starts something, never at import.
    """
    as_json = settings.format == "json" or (settings.format == "auto" and not sys.stderr.isatty())
    shared: list[Any] = [
        _add_context,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso" if as_json else "%H:%M:%S", utc=as_json),
    ]
    last: list[Any] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        if as_json
        else [
            # The usual renderer of tracebacks shows local values, secrets among them.
            structlog.dev.ConsoleRenderer(
                pad_event_to=24, exception_formatter=structlog.dev.plain_traceback
            )
        ]
    )
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.level.upper())
    for noisy in ("asyncio", "aiosqlite", "alembic", "sqlalchemy.engine", "uvicorn.access"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )


def _add_context(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    if found := request_id():
        event["request_id"] = found
    if (principal := current_principal()) is not SYSTEM:
        event["who"] = principal.name
    return event


class HttpMetrics:
    """Counts and times of requests, by service, method, route and status."""

    __slots__ = ("requests", "seconds")

    def __init__(self, registry: CollectorRegistry) -> None:
        labels = ("service", "method", "route", "status")
        self.requests = Counter(
            "foodex_http_requests_total", "Requests answered", labels, registry=registry
        )
        self.seconds = Histogram(
            "foodex_http_request_seconds",
            "Time to answer a request",
            ("service", "method", "route"),
            buckets=_BUCKETS,
            registry=registry,
        )

    def observe(self, service: str, method: str, route: str, status: int, seconds: float) -> None:
        """Count one request that was answered with `status` after `seconds`."""
        self.requests.labels(service, method, route, str(status)).inc()
        self.seconds.labels(service, method, route).observe(seconds)
