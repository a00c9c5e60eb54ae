"""Rows as files: Arrow, CSV, NDJSON and Parquet, written while they are read."""

import asyncio
import io
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any, Final, Protocol

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

Batches = AsyncIterator[pa.RecordBatch]

ARROW_STREAM: Final = "application/vnd.apache.arrow.stream"
MEDIA_TYPES: Final = {
    "arrow": ARROW_STREAM,
    "csv": "text/csv; charset=utf-8",
    "ndjson": "application/x-ndjson",
    "parquet": "application/vnd.apache.parquet",
}
_FORMULA: Final = r"^[=+\-@\t\r]"
_TIME: Final = "%Y-%m-%dT%H:%M:%SZ"


class _Writer(Protocol):
    def write(self, batch: pa.RecordBatch) -> None: ...

    def close(self) -> None: ...


async def exported(
    batches: Batches, format_: str, *, for_spreadsheet: bool
) -> AsyncIterator[bytes]:
    """The batches as a file of the format, in pieces.

    `for_spreadsheet` puts an apostrophe before CSV cells that a spreadsheet would run as a
    formula; such a file is for looking at, not for reading in again.
    """
    sink = _Sink()
    writer: _Writer | None = None
    async with aclosing(batches) as source:  # type: ignore[type-var]
        async for batch in source:
            if writer is None:
                writer = _WRITERS[format_](sink, batch.schema, for_spreadsheet)
            await asyncio.to_thread(writer.write, batch)
            if piece := sink.taken():
                yield piece
    if writer is not None:
        await asyncio.to_thread(writer.close)
        if piece := sink.taken():
            yield piece


class _Sink(io.RawIOBase):
    """Keeps what is written until it is taken."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._at = 0

    def writable(self) -> bool:
        return True

    def write(self, piece: Any) -> int:
        body = bytes(piece)
        self._pieces.append(body)
        self._at += len(body)
        return len(body)

    def tell(self) -> int:
        return self._at

    def taken(self) -> bytes:
        body = b"".join(self._pieces)
        self._pieces.clear()
        return body


class _Csv:
    def __init__(self, sink: _Sink, schema: pa.Schema, for_spreadsheet: bool) -> None:
        self._for_spreadsheet = for_spreadsheet
        written = pa.schema([(field.name, _written(field.type)) for field in schema])
        options = pa_csv.WriteOptions(quoting_style="needed")
        self._writer = pa_csv.CSVWriter(sink, written, write_options=options)

    def write(self, batch: pa.RecordBatch) -> None:
        columns = []
        for column in batch.columns:
            if pa.types.is_timestamp(column.type):
                column = pc.strftime(column, format=_TIME)
            elif self._for_spreadsheet and pa.types.is_string(column.type):
                risky = pc.match_substring_regex(column, _FORMULA)
                column = pc.if_else(risky, pc.binary_join_element_wise("'", column, ""), column)
            columns.append(column)
        self._writer.write_batch(pa.record_batch(columns, names=batch.schema.names))

    def close(self) -> None:
        self._writer.close()


def _written(type_: pa.DataType) -> pa.DataType:
    return pa.string() if pa.types.is_timestamp(type_) else type_


class _Ndjson:
    def __init__(self, sink: _Sink, _: pa.Schema, __: bool) -> None:
        self._sink = sink
        self._encoder = msgspec.json.Encoder()

    def write(self, batch: pa.RecordBatch) -> None:
        self._sink.write(self._encoder.encode_lines(batch.to_pylist()))

    def close(self) -> None:
        return


class _Parquet:
    def __init__(self, sink: _Sink, schema: pa.Schema, _: bool) -> None:
        self._writer = pq.ParquetWriter(sink, schema, compression="zstd")

    def write(self, batch: pa.RecordBatch) -> None:
        if batch.num_rows:
            self._writer.write_batch(batch)

    def close(self) -> None:
        self._writer.close()


class _Arrow:
    def __init__(self, sink: _Sink, schema: pa.Schema, _: bool) -> None:
        self._writer = pa.ipc.new_stream(sink, schema)

    def write(self, batch: pa.RecordBatch) -> None:
        self._writer.write_batch(batch)

    def close(self) -> None:
        self._writer.close()


_WRITERS: Final[dict[str, Callable[[_Sink, pa.Schema, bool], _Writer]]] = {
    "arrow": _Arrow,
    "csv": _Csv,
    "ndjson": _Ndjson,
    "parquet": _Parquet,
}
