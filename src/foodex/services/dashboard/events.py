"""Server-sent events: progress as it happens, in pieces of pages."""

from collections.abc import AsyncIterator
from typing import Final

from fastapi.responses import StreamingResponse

from foodex.core.headers import page_policy

_HEADERS: Final = {"cache-control": "no-store", "content-security-policy": page_policy()}


def event(name: str, text: str) -> bytes:
    """One event; whatever lines the text has arrive as they are."""
    lines = "".join(f"data: {line}\n" for line in text.splitlines() or [""])
    return f"event: {name}\n{lines}\n".encode()


def stream(events: AsyncIterator[bytes]) -> StreamingResponse:
    """Events as an answer that lasts as long as they do."""
    return StreamingResponse(events, media_type="text/event-stream", headers=_HEADERS)
