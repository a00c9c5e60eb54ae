"""The cases every database passes; a subclass gives the fixture `url`."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta, timezone

import pytest
import sqlalchemy as sa

from foodex.adapters.database.engine import open_database
from foodex.core.errors import Conflict
from foodex.core.sql import Database, UtcDateTime, migrate, new_metadata

metadata = new_metadata()
things = sa.Table(
    "things",
    metadata,
    sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("at", UtcDateTime),
    sa.Column("facts", sa.JSON),
    sa.Column("count", sa.BigInteger, nullable=False),
)


class DatabaseContract:
    @pytest.fixture
    async def database(self, url: str) -> AsyncIterator[Database]:
        database = open_database(url)
        async with database.transaction() as connection:
            await connection.run_sync(metadata.create_all)
            await connection.execute(sa.insert(things).values(id=1, count=0))
        yield database
        await database.close()

    async def test_answers(self, database: Database) -> None:
        await database.ping()

    @pytest.mark.parametrize("hours", [-11, 0, 5.5])
    async def test_an_instant_stays_that_instant(self, database: Database, hours: float) -> None:
        zone = timezone(timedelta(hours=hours))
        instant = datetime(2026, 2, 28, 23, 59, 59, 123456, tzinfo=zone)
        async with database.transaction() as connection:
            await connection.execute(sa.insert(things).values(id=2, at=instant, count=0))
            await connection.execute(
                sa.insert(things).values(id=3, at=instant + timedelta(microseconds=1), count=0)
            )
        async with database.connect() as connection:
            query = sa.select(things.c.at).where(things.c.at <= instant)
            found = (await connection.execute(query)).scalars().all()
        assert found == [instant]
        assert found[0].tzinfo is UTC

    async def test_a_time_without_a_zone_is_refused(self, database: Database) -> None:
        naive = datetime(2026, 1, 1)  # noqa: DTZ001
        with pytest.raises(sa.exc.StatementError, match="zone"):
            async with database.transaction() as connection:
                await connection.execute(sa.insert(things).values(id=2, at=naive, count=0))

    async def test_a_block_that_fails_leaves_nothing(self, database: Database) -> None:
        async def fail() -> None:
            async with database.transaction() as connection:
                await connection.execute(sa.insert(things).values(id=2, count=0))
                raise KeyError

        async def insert_twice() -> None:
            async with database.transaction() as connection:
                await connection.execute(sa.insert(things).values(id=2, count=0))
                await connection.execute(sa.insert(things).values(id=1, count=0))

        with pytest.raises(KeyError):
            await fail()
        with pytest.raises(sa.exc.IntegrityError):
            await insert_twice()
        async with database.connect() as connection:
            assert (await connection.execute(sa.select(things.c.id))).scalars().all() == [1]

    async def test_a_block_that_only_reads_leaves_nothing(self, database: Database) -> None:
        async with database.connect() as connection:
            await connection.execute(sa.insert(things).values(id=2, count=0))
        async with database.connect() as connection:
            assert (await connection.execute(sa.select(things.c.id))).scalars().all() == [1]

    async def test_writers_at_once_lose_nothing(self, database: Database, url: str) -> None:
        other = open_database(url)

        async def add(to: Database) -> None:
            async with to.transaction() as connection:
                read = sa.select(things.c.count).where(things.c.id == 1).with_for_update()
                count = (await connection.execute(read)).scalar_one()
                await connection.execute(
                    sa.update(things).where(things.c.id == 1).values(count=count + 1)
                )

        await asyncio.gather(*(add(to) for _ in range(15) for to in (database, other)))
        await other.close()
        async with database.connect() as connection:
            assert (await connection.execute(sa.select(things.c.count))).scalar_one() == 30

    async def test_a_cancelled_writer_lets_the_next_one_in(self, database: Database) -> None:
        entered = asyncio.Event()

        async def hold() -> None:
            async with database.transaction() as connection:
                await connection.execute(sa.insert(things).values(id=2, count=0))
                entered.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(hold())
        await entered.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with database.transaction() as connection:
            await connection.execute(sa.insert(things).values(id=2, count=0))

    async def test_migrations_run_once_however_many_ask(self, url: str) -> None:
        several = [open_database(url) for _ in range(4)]
        await asyncio.gather(*(migrate(database, "storage") for database in several))
        async with several[0].connect() as connection:
            tables = await connection.run_sync(lambda sync: sa.inspect(sync).get_table_names())
        assert {"storage_datasets", "storage_actions"} <= set(tables)
        for database in several:
            await database.close()

    async def test_a_database_of_a_newer_version_is_left_alone(self, url: str) -> None:
        database = open_database(url)
        await migrate(database, "storage")
        async with database.transaction() as connection:
            await connection.execute(
                sa.text("UPDATE alembic_version_storage SET version_num = '9999'")
            )
        with pytest.raises(Conflict, match="9999"):
            await migrate(database, "storage")
        await database.close()
