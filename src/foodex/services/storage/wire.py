"""How conditions and Arrow tables travel over HTTP."""

import asyncio
import io
import json
import re
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any, Final
from urllib.parse import unquote

import pyarrow as pa

from foodex.core.errors import BadRequest, FieldProblem, InvalidInput, Unavailable
from foodex.domain.datasets import Comparison, Condition

_PIECE_BYTES: Final = 1 << 18
_CONDITION: Final = re.compile(
    rf"(?P<field>[^:]+):(?P<comparison>{'|'.join(Comparison)})(?::(?P<value>.*))?", re.DOTALL
)


def write_condition(condition: Condition) -> str:
    """A condition as `field:comparison:value`."""
    if condition.value is None:
        problem = FieldProblem(condition.field, "takes a value; `null` finds the empty ones")
        raise InvalidInput("The rows cannot be filtered so", problems=[problem])
    field = condition.field.replace("%", "%25").replace(":", "%3A")
    return f"{field}:{condition.comparison}:{_text(condition.value)}"


def _text(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case datetime():
            return value.isoformat()
        case list() | tuple() | set():
            return json.dumps([_plain(one) for one in value])
    return str(value)


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def read_conditions(texts: Sequence[str]) -> list[Condition]:
    """Conditions from `field:comparison:value`, their values as text.

    `store_id:eq:7`, `placed_at:ge:2026-01-31T00:00:00Z`, `city:in:Oulu,Turku`, `distance_km:null`.
    A colon in a column's name is written %3A.
    """
    found, problems = [], []
    for number, text in enumerate(texts):
        if match := _CONDITION.fullmatch(text):
            found.append(
                Condition(
                    field=unquote(match["field"]),
                    comparison=Comparison(match["comparison"]),
                    value=match["value"] or "",
                )
            )
        else:
            what = f"'{text}' is not field:comparison:value with one of {', '.join(Comparison)}"
            problems.append(FieldProblem("where", what, number))
    if problems:
        raise InvalidInput("The rows cannot be filtered so", problems=problems)
    return found


def write_table(rows: pa.Table) -> bytes:
    """A table as an Arrow stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_table(rows)
    return memoryview(sink.getvalue()).tobytes()


async def in_pieces(body: bytes) -> AsyncIterator[bytes]:
    """The bytes in pieces small enough to be sent without holding up the event loop."""
    for start in range(0, len(body), _PIECE_BYTES):
        yield body[start : start + _PIECE_BYTES]


def read_table(body: bytes) -> pa.Table:
    """A table from an Arrow stream; `BadRequest` for other bytes."""
    try:
        with pa.ipc.open_stream(body) as reader:
            table = reader.read_all()
            table.validate(full=True)
            return table
    except (pa.ArrowInvalid, OSError) as error:
        raise BadRequest(f"The body is not an Arrow stream: {error}") from None


async def read_batches(pieces: AsyncIterator[bytes]) -> AsyncIterator[pa.RecordBatch]:
    """Batches from an Arrow stream that arrives in pieces, never all of it in memory."""
    source = _Pulled(pieces, asyncio.get_running_loop())
    try:
        reader = await asyncio.to_thread(pa.ipc.open_stream, source)
        while (batch := await asyncio.to_thread(next, reader, None)) is not None:
            yield batch
    except pa.ArrowInvalid as error:
        raise Unavailable(f"The answer broke off: {error}") from error


class _Pulled(io.RawIOBase):
    """A file for a thread, whose bytes are pulled from an iterator of the event loop."""

    def __init__(self, pieces: AsyncIterator[bytes], loop: asyncio.AbstractEventLoop) -> None:
        self._pieces = pieces
        self._loop = loop
        self._left = memoryview(b"")

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        taken: list[memoryview] = []
        wanted = size if size >= 0 else 1 << 62
        while wanted > 0:
            if not self._left:
                pulled = asyncio.run_coroutine_threadsafe(self._next(), self._loop).result()
                if not pulled:
                    break
                self._left = memoryview(pulled)
            part, self._left = self._left[:wanted], self._left[wanted:]
            taken.append(part)
            wanted -= len(part)
        return b"".join(taken)

    async def _next(self) -> bytes:
        async for piece in self._pieces:
            if piece:
                return piece
        return b""
