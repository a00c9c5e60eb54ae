"""ClickHouse on a server, over HTTP."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote, urlsplit

import pyarrow as pa

from foodex.adapters.warehouse.engine import NO_SETTINGS, Settings, translated
from foodex.adapters.warehouse.sql import name
from foodex.core.errors import InvalidInput, Unavailable

_ANSWER_SECONDS = 600


class ClickHouseEngine:
    """An engine on a server; connects with the first call."""

    def __init__(self, url: str) -> None:
        parsed = urlsplit(url)
        self.database = parsed.path.strip("/") or "default"
        try:
            port = parsed.port
        except ValueError:
            raise InvalidInput("The port of the warehouse's URL cannot be read") from None
        secure = parsed.scheme == "clickhouses"
        self._where = f"{parsed.hostname}:{port or (8443 if secure else 8123)}"
        self._options: dict[str, Any] = {
            "host": parsed.hostname,
            "port": port or (8443 if secure else 8123),
            "username": unquote(parsed.username or "default"),
            "password": unquote(parsed.password or ""),
            "secure": secure,
        }
        self._starting = threading.Lock()
        self._client: Any = None

    def run(self, sql: str, settings: Settings = NO_SETTINGS) -> None:
        """Run a statement that answers nothing."""
        with self._translated() as client:
            client.command(sql, settings=dict(settings))

    @contextmanager
    def read(
        self, sql: str, settings: Settings = NO_SETTINGS
    ) -> Iterator[Iterator[pa.RecordBatch]]:
        """Answer a question in batches."""
        with self._translated() as client:
            # Not as a clause: an EXPLAIN would take that for part of what it explains.
            stream = client.raw_stream(
                sql,
                settings=dict(settings),
                transport_settings={"X-ClickHouse-Format": "ArrowStream"},
            )
            try:
                yield self._batches(stream)
            finally:
                stream.close()

    def _batches(self, stream: Any) -> Iterator[pa.RecordBatch]:
        # A failure after the first bytes is only told by text in the middle of the answer.
        try:
            yield from pa.ipc.open_stream(stream)
        except (pa.ArrowInvalid, OSError) as error:
            raise Unavailable(f"The warehouse's answer broke off: {error}") from error

    def insert(self, table: str, columns: Sequence[str], rows: pa.Table) -> None:
        """Add rows as one part."""
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, rows.schema) as writer:
            writer.write_table(rows)
        with self._translated() as client:
            client.raw_insert(
                name(self.database, table),
                column_names=list(columns),
                insert_block=memoryview(sink.getvalue()).tobytes(),
                fmt="ArrowStream",
                settings={
                    "async_insert": 0,
                    "max_insert_threads": 1,
                    "min_insert_block_size_bytes": 0,
                    "min_insert_block_size_rows": 100_000_000,
                    "max_insert_block_size": 100_000_000,
                },
            )

    def rest(self) -> None:
        """The server minds its own memory."""

    def sleep(self) -> None:
        """The server minds its own memory."""

    def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            self._client.close()
            self._client = None

    @contextmanager
    def _translated(self) -> Iterator[Any]:
        from clickhouse_connect.driver.exceptions import ClickHouseError

        try:
            yield self._started()
        except ClickHouseError as error:
            if "Code:" in str(error):
                raise translated(str(error)) from error
            raise Unavailable(
                f"The warehouse at {self._where} cannot be reached: {error}"
            ) from error

    def _started(self) -> Any:
        import clickhouse_connect

        with self._starting:
            if self._client is None:
                client = clickhouse_connect.get_client(
                    **self._options,
                    # Calls run side by side, which one server-side session would forbid.
                    autogenerate_session_id=False,
                    query_retries=0,
                    send_receive_timeout=_ANSWER_SECONDS,
                )
                client.command(f"CREATE DATABASE IF NOT EXISTS {name(self.database)}")
                client.database = self.database
                self._client = client
            return self._client
