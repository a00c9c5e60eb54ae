"""SQLite and PostgreSQL behind one `Database`."""

from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from foodex.core.errors import InvalidInput, Unavailable
from foodex.core.sql import WRITE, Database

BUSY_SECONDS = 30
"""How long a write on SQLite waits for another process's write before it gives up."""


def open_database(url: str, *, pool_size: int = 10) -> Database:
    """The database behind `sqlite+aiosqlite:///PATH` or `postgresql+asyncpg://...`.

    Nothing connects yet. Raises `InvalidInput` for any other URL.
    """
    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError:
        raise InvalidInput("The URL of the database cannot be read") from None
    if parsed.drivername == "sqlite+aiosqlite":
        return Database(_sqlite(parsed, pool_size))
    if parsed.drivername == "postgresql+asyncpg":
        # Late: whoever has no such server need not hold its client in memory.
        from foodex.adapters.database.postgresql import HastyConnection

        engine = create_async_engine(
            parsed,
            pool_size=pool_size,
            max_overflow=pool_size,
            pool_timeout=30,
            pool_pre_ping=True,
            connect_args={"connection_class": HastyConnection},
        )
        return Database(engine)
    raise InvalidInput(
        f"No database is known for '{parsed.drivername}://'; there are sqlite+aiosqlite:///PATH "
        "and postgresql+asyncpg://USER:PASSWORD@HOST/NAME"
    )


def _sqlite(url: sa.URL, pool_size: int) -> AsyncEngine:
    if not url.database or url.database == ":memory:":
        raise InvalidInput("The URL of the database names no file: sqlite+aiosqlite:///PATH")
    folder = Path(url.database).parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Unavailable(f"The folder {folder} for the database cannot be made: {error}") from None
    engine = create_async_engine(
        url,
        pool_size=pool_size,
        max_overflow=pool_size,
        connect_args={"timeout": BUSY_SECONDS, "isolation_level": None},
    )
    sa.event.listen(engine.sync_engine, "connect", _prepare_sqlite)
    sa.event.listen(engine.sync_engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _: Any) -> None:
    cursor = connection.cursor()
    # WAL lets reads go on during a write; FULL makes a commit outlive a power cut.
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: sa.Connection) -> None:
    # A transaction that reads first and writes later fails at once when another has written in
    # between; one that will write therefore takes the write lock before it reads.
    write = connection.get_execution_options().get(WRITE, True)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")
