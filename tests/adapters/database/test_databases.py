"""Both databases pass the same cases."""

import asyncio
import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

import foodex.services
from foodex.adapters.database.engine import open_database
from foodex.core import sql
from foodex.core.errors import InvalidInput, Unavailable
from foodex.core.sql import migrate
from tests.contracts.database import DatabaseContract
from tests.support.proxy import proxy_to

OWNERS = [
    service.name
    for service in pkgutil.iter_modules(foodex.services.__path__)
    if (Path(foodex.services.__path__[0]) / service.name / "migrations").is_dir()
]


class TestSqlite(DatabaseContract):
    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        return f"sqlite+aiosqlite:///{tmp_path}/new/foodex.db"

    async def test_a_file_that_is_no_database_is_not_touched(self, tmp_path: Path) -> None:
        (tmp_path / "x.db").write_text("something else entirely, and long enough to be read" * 50)
        database = open_database(f"sqlite+aiosqlite:///{tmp_path}/x.db")
        with pytest.raises(Unavailable, match="not a database"):
            await database.ping()
        await database.close()

    async def test_what_is_read_is_of_one_moment(self, url: str) -> None:
        database = open_database(url)
        async with database.transaction() as connection:
            await connection.execute(sa.text("CREATE TABLE t (a INTEGER)"))
        async with database.connect() as reading:
            count = sa.text("SELECT count(*) FROM t")
            assert (await reading.execute(count)).scalar_one() == 0
            async with database.transaction() as writing:
                await writing.execute(sa.text("INSERT INTO t VALUES (1)"))
            assert (await reading.execute(count)).scalar_one() == 0
        await database.close()


class TestPostgresql(DatabaseContract):
    @pytest.fixture
    def url(self, postgresql_database_url: str) -> str:
        return postgresql_database_url

    async def test_a_silent_server_holds_nobody(
        self, url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sql, "CONNECT_SECONDS", 0.2)
        place = sa.make_url(url)
        async with proxy_to(place.host or "127.0.0.1", place.port or 5432) as proxy:
            there = place.set(host="127.0.0.1", port=proxy.port)
            database = open_database(there.render_as_string(hide_password=False))
            await database.ping()
            proxy.hold()
            # The kept connection is silent, and so is one that is opened anew.
            for _ in range(3):
                async with asyncio.timeout(5):
                    with pytest.raises(Unavailable, match="in time"):
                        await database.ping()
            proxy.flow()
            async with database.connect() as connection:
                proxy.hold()
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.2):
                        await connection.execute(sa.text("SELECT 1"))
            proxy.flow()
            await database.ping()
            await database.close()

    async def test_a_connection_that_was_cut_is_replaced(self, url: str) -> None:
        database, other = open_database(url), open_database(url)
        await database.ping()
        cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE "
        cut += "datname = current_database() AND pid != pg_backend_pid()"
        async with other.transaction() as connection:
            await connection.execute(sa.text(cut))
        await database.ping()

        async def cut_within() -> None:
            async with database.transaction() as doomed:
                await doomed.execute(sa.text("SELECT 1"))
                async with other.transaction() as connection:
                    await connection.execute(sa.text(cut))
                await doomed.execute(sa.text("SELECT 1"))

        with pytest.raises(Unavailable):
            await cut_within()
        await asyncio.gather(database.close(), other.close())


@pytest.mark.parametrize("service", OWNERS)
async def test_migrations_make_the_tables_that_are_written_down(
    service: str, tmp_path: Path
) -> None:
    database = open_database(f"sqlite+aiosqlite:///{tmp_path}/x.db")
    await migrate(database, service)
    metadata = importlib.import_module(f"foodex.services.{service}.tables").metadata

    def differences(connection: sa.Connection) -> list[object]:
        options = {"version_table": f"alembic_version_{service}"}
        return compare_metadata(MigrationContext.configure(connection, opts=options), metadata)

    async with database.connect() as connection:
        found = await connection.run_sync(differences)
    await database.close()
    assert found == []


def test_an_up_to_date_database_is_found_without_alembic(tmp_path: Path) -> None:
    code = (
        "import asyncio, sys\n"
        "from foodex.adapters.database.engine import open_database\n"
        "from foodex.core.sql import migrate\n"
        "async def main():\n"
        "    database = open_database('sqlite+aiosqlite:///' + sys.argv[1])\n"
        "    await migrate(database, 'storage')\n"
        "    await database.close()\n"
        "    print('alembic' in sys.modules)\n"
        "asyncio.run(main())\n"
    )
    said = [
        subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / "x.db")],
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for _ in range(2)
    ]
    assert said == ["True\n", "False\n"]


@pytest.mark.parametrize(
    "url", ["", "x", "sqlite:///x.db", "sqlite+aiosqlite://", "mysql://x", "postgresql://x/y"]
)
def test_urls_that_are_none(url: str) -> None:
    with pytest.raises(InvalidInput):
        open_database(url)


async def test_a_database_out_of_reach_is_unavailable() -> None:
    database = open_database("postgresql+asyncpg://x:secret@127.0.0.1:1/x")
    with pytest.raises(Unavailable) as refused:
        await database.ping()
    assert "secret" not in str(refused.value)
    await database.close()


async def test_a_folder_that_cannot_be_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable):
        open_database(f"sqlite+aiosqlite:///{tmp_path}/file/x.db")
