"""ClickHouse inside this process."""

import ctypes
import fcntl
import os
import re
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pyarrow as pa

from foodex.adapters.warehouse.engine import NO_SETTINGS, Settings, translated
from foodex.adapters.warehouse.sql import literal, name
from foodex.core.errors import Conflict, Unavailable

# Its own default lets every cache grow to gigabytes, which a laptop would rather keep.
_OPTIONS = (
    "mark_cache_size=67108864&index_mark_cache_size=16777216&primary_index_cache_size=67108864"
)

_MADV_DONTNEED = 4
_MAPPING = re.compile(
    r"^(?P<start>[0-9a-f]+)-(?P<end>[0-9a-f]+) r-[-x]p .*/_chdb\S*\.so\n"
    r"(?P<figures>(?:[A-Z]\w+:.*\n)*)",
    re.MULTILINE,
)
_CHANGED = re.compile(r"^(Anonymous|Private_Dirty|Swap): +[1-9]", re.MULTILINE)


class ChdbEngine:
    """An engine on a folder, which one process at a time may hold.

    The engine itself (half a gigabyte of library, a second to load) starts with the first call.
    A connection costs less than a millisecond, so every call has its own: settings never leak
    from one call to another, and calls run side by side.
    """

    database = "foodex"

    def __init__(self, path: Path) -> None:
        self._path = path.resolve()
        self._lock = _lock(self._path)
        self._starting = threading.Lock()
        self._anchor: Any = None

    def run(self, sql: str, settings: Settings = NO_SETTINGS) -> None:
        """Run a statement that answers nothing."""
        with self._connection(settings) as connection:
            connection.query(sql, "Null")

    @contextmanager
    def read(
        self, sql: str, settings: Settings = NO_SETTINGS
    ) -> Iterator[Iterator[pa.RecordBatch]]:
        """Answer a question in batches."""
        with self._connection(settings) as connection:
            try:
                answer = connection.send_query(sql, "Arrow")
            except RuntimeError as error:
                # EXPLAIN and DESCRIBE come in one piece only; they are short.
                if "Streaming query is not supported" not in str(error):
                    raise
                yield _batches([connection.query(sql, "Arrow")])
                return
            try:
                yield _batches(answer)
            finally:
                with suppress(RuntimeError):
                    answer.close()

    def insert(self, table: str, columns: Sequence[str], rows: pa.Table) -> None:
        """Add rows as one part."""
        self._started()
        with _handed_over(rows) as path, self._connection(NO_SETTINGS) as connection:
            connection.query(
                f"INSERT INTO {name(self.database, table)} ({', '.join(map(name, columns))}) "
                f"FROM INFILE {literal(path)} "
                "SETTINGS max_insert_threads = 1, min_insert_block_size_bytes = 0, "
                "min_insert_block_size_rows = 100000000, max_insert_block_size = 100000000, "
                "input_format_parallel_parsing = 0 FORMAT ArrowStream",
                "Null",
            )

    def rest(self) -> None:
        """Hand unused memory back."""
        self.run("SYSTEM JEMALLOC PURGE")

    def sleep(self) -> None:
        """Hand back unused memory, and the pages of the library that the last questions needed."""
        if self._anchor is not None:
            self.rest()
            let_go_of_library()

    def close(self) -> None:
        """Stop the engine and unlock the folder."""
        # Whoever closes beside us must find nothing left to close.
        with self._starting:
            anchor, self._anchor = self._anchor, None
            lock, self._lock = self._lock, -1
            if anchor is not None:
                anchor.close()
            if lock >= 0:
                os.close(lock)

    @contextmanager
    def _connection(self, settings: Settings) -> Iterator[Any]:
        self._started()
        import chdb

        connection = chdb.connect(f"{self._path}?{_OPTIONS}")
        try:
            connection.query(f"USE {name(self.database)}", "Null")
            for key, value in settings.items():
                said = literal(value) if isinstance(value, str) else value
                connection.query(f"SET {key} = {said}", "Null")
            yield connection
        except (chdb.ChdbError, RuntimeError) as error:
            raise translated(str(error)) from error
        finally:
            connection.close()

    def _started(self) -> None:
        if self._lock < 0:
            raise Unavailable("The warehouse is closed")
        with self._starting:
            if self._anchor is not None:
                return
            import chdb

            try:
                anchor = chdb.connect(f"{self._path}?{_OPTIONS}")
                anchor.query(
                    f"CREATE DATABASE IF NOT EXISTS {name(self.database)} ENGINE = Atomic", "Null"
                )
            except (chdb.ChdbError, RuntimeError) as error:
                if "already initialized" in str(error):
                    raise Conflict(
                        f"This process has another warehouse open; {self._path} must wait"
                    ) from error
                raise Unavailable(f"The warehouse {self._path} does not start: {error}") from error
            self._anchor = anchor
            let_go_of_library()


def _batches(answer: Any) -> Iterator[pa.RecordBatch]:
    for chunk in answer:
        body = chunk.bytes()
        if body:
            yield from pa.ipc.open_file(pa.py_buffer(body)).read_all().to_batches()


@contextmanager
def _handed_over(rows: pa.Table) -> Iterator[str]:
    # The engine reads files; one in memory saves the disk the detour where the system has such.
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("foodex-rows")
        path = f"/proc/self/fd/{descriptor}"
    else:
        descriptor, path = tempfile.mkstemp(".arrow")
    try:
        with (
            pa.PythonFile(os.fdopen(descriptor, "wb", closefd=False), "w") as sink,
            pa.ipc.new_stream(sink, rows.schema) as writer,
        ):
            writer.write_table(rows)
        yield path
    finally:
        os.close(descriptor)
        if not path.startswith("/proc/"):
            Path(path).unlink(missing_ok=True)


def let_go_of_library() -> None:
    """Let go of the library's pages that only loading it has touched: about 180 MiB.

    Only mappings of which this process has changed no page are touched; what is needed of them
    comes back by itself from the system's cache. Elsewhere than on Linux nothing happens.
    """
    maps = Path("/proc/self/smaps")
    if not maps.exists():
        return
    libc = ctypes.CDLL(None)
    # Each mapping is a line `start-end access offset device inode path` and then its figures.
    for found in _MAPPING.finditer(maps.read_text()):
        if not _CHANGED.search(found["figures"]):
            start, end = int(found["start"], 16), int(found["end"], 16)
            libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), _MADV_DONTNEED)


def _lock(path: Path) -> int:
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise Unavailable(f"The folder {path} for the warehouse cannot be made: {error}") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        holder = os.read(descriptor, 200).decode(errors="replace").strip() or "another process"
        os.close(descriptor)
        raise Unavailable(
            f"The warehouse {path} is in use by {holder}; stop that one first, or ask it over HTTP"
        ) from None
    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"process {os.getpid()} since {since}".encode(), 0)
    return descriptor
