"""SQL that runs on SQLite and PostgreSQL alike: the database, its types and its migrations."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from datetime import UTC, datetime
from importlib import resources
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from foodex.core.errors import Conflict, Unavailable

CONNECT_SECONDS: Final = 10.0
"""Longest that getting a connection may take; a server that is silent would hold it for ever."""
WRITE: Final = "foodex_write"
"""Execution option of connections that will write; SQLite takes its write lock at once then."""

_SQLITE_PASSING: Final = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
    }
)
# Connection trouble, serialisation failures, no resources, not ready (as when no connections are
# accepted), operator intervention, system errors.
_POSTGRESQL_PASSING: Final = ("08", "40", "53", "55", "57", "58")


class UtcDateTime(sa.types.TypeDecorator[datetime]):
    """An instant: zone-aware in Python, UTC in the database. Naive times are refused."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """The instant in UTC, without its zone where the database keeps none."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without a zone cannot be stored")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """The instant, zone-aware, in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def new_metadata() -> sa.MetaData:
    """Metadata whose constraints get the same names on every database."""
    return sa.MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class Database:
    """A database and its pool of connections.

    Trouble that passes (connection lost, disk full, lock not to be had) is raised as
    `Unavailable`; constraint violations stay SQLAlchemy's `IntegrityError` for the repository
    that knows what they mean.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine
        # SQLite has one writer; those of this process wait in line here, which is fair and wakes
        # at once, where SQLite's own waiting is by sleeping and trying again.
        self._writer = asyncio.Lock() if engine.dialect.name == "sqlite" else None

    @property
    def dialect(self) -> str:
        """`sqlite` or `postgresql`."""
        return self.engine.dialect.name

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """A connection in a transaction that commits at the block's end and else rolls back."""
        async with self.alone(), self._open(write=True) as connection:
            yield connection
            with translated(at_the_edge=True):
                await connection.commit()

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """This process's turn to write on SQLite, for who writes over a connection of its own."""
        async with self._writer or nullcontext():
            yield

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[AsyncConnection]:
        """A connection for reading; all its reads see one state on SQLite."""
        async with self._open(write=False) as connection:
            yield connection

    @asynccontextmanager
    async def _open(self, *, write: bool) -> AsyncIterator[AsyncConnection]:
        with translated(at_the_edge=True):
            connection = await self._connected()
        try:
            with translated(at_the_edge=True):
                await connection.execution_options(**{WRITE: write})
                await connection.begin()
            with translated():
                yield connection
        finally:
            await asyncio.shield(connection.close())

    async def _connected(self) -> AsyncConnection:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                return await self.engine.connect()
        except TimeoutError:
            raise Unavailable("The database did not answer in time") from None

    async def ping(self) -> None:
        """Return when the database answers; `Unavailable` otherwise."""
        async with self.connect() as connection:
            await connection.execute(sa.text("SELECT 1"))

    async def close(self) -> None:
        """Close all connections."""
        await self.engine.dispose()


@contextmanager
def translated(*, at_the_edge: bool = False) -> Iterator[None]:
    """Within the block, a database's trouble that passes becomes `Unavailable`.

    Connection trouble counts only `at_the_edge`, where it cannot be the caller's own.
    """
    try:
        yield
    except sa.exc.TimeoutError as error:
        raise Unavailable("No connection to the database was free in time") from error
    except sa.exc.DBAPIError as error:
        if _passes(error):
            raise Unavailable(f"The database cannot answer now: {error.orig}") from error
        raise
    except sqlite3.Error as error:
        if _passes_on_sqlite(error):
            raise Unavailable(f"The database cannot answer now: {error}") from error
        raise
    except OSError as error:
        if not at_the_edge:
            raise
        raise Unavailable(f"The database cannot be reached: {error}") from error


def _passes(error: sa.exc.DBAPIError) -> bool:
    if isinstance(error, sa.exc.IntegrityError):
        return False
    cause = error.orig
    if isinstance(cause, sqlite3.Error):
        return _passes_on_sqlite(cause)
    state = str(getattr(cause, "sqlstate", None) or "")
    return error.connection_invalidated or state[:2] in _POSTGRESQL_PASSING


def _passes_on_sqlite(error: sqlite3.Error) -> bool:
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in _SQLITE_PASSING


async def migrate(database: Database, service: str) -> None:
    """Bring a service's tables up to date; safe when several processes do so at once.

    Migrations are alembic's, in `foodex.services.SERVICE.migrations.versions`, one file each
    named `NNNN_title.py` with `revision = "NNNN"`. Raises `Conflict` if the database was made by
    a newer FoodEx.
    """
    versions = resources.files(f"foodex.services.{service}.migrations") / "versions"
    known = sorted(file.name[:4] for file in versions.iterdir() if file.name[:4].isdigit())
    table = f"alembic_version_{service}"
    async with database.connect() as connection:
        at = await connection.run_sync(_revision, table)
    # alembic takes a tenth of a second to import, so it is left out when there is nothing to do.
    if at == known[-1]:
        return
    if at is not None and at not in known:
        raise Conflict(
            f"The database is at revision {at} of the {service} service, which this version of "
            f"FoodEx does not know (its last is {known[-1]}); use the version that made it"
        )
    async with database.transaction() as connection:
        if database.dialect == "postgresql":
            await connection.execute(
                sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtext(f"foodex {service}")))
            )
        await connection.run_sync(_upgrade, service, table)


def _revision(connection: sa.Connection, table: str) -> str | None:
    if not sa.inspect(connection).has_table(table):
        return None
    found: str | None = connection.execute(
        sa.select(sa.column("version_num")).select_from(sa.table(table))
    ).scalar()
    return found


def _upgrade(connection: sa.Connection, service: str, table: str) -> None:
    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", f"foodex.services.{service}:migrations")
    config.set_main_option("path_separator", "os")
    script = ScriptDirectory.from_config(config)

    def revisions(at: Any, _: Any) -> Any:
        return script._upgrade_revs("head", at)

    with EnvironmentContext(config, script, fn=revisions, destination_rev="head") as environment:
        environment.configure(connection=connection, version_table=table)
        with environment.begin_transaction():
            environment.run_migrations()
