"""What happens when processes are killed and databases go away.

`FOODEX_TEST_KILLS` sets how often a seller is killed; the default is short.
"""

import asyncio
import itertools
import os
import random
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest
import sqlalchemy as sa

from foodex.core.errors import PaymentRequired, Unavailable
from foodex.domain.purchases import Receipt
from foodex.services.accounts.batches_sqlite import SqliteBatches
from tests.services.accounts.conftest import Bank, purchase
from tests.support.servers import postgresql_url

KILLS = int(os.environ.get("FOODEX_TEST_KILLS", "3"))


@asynccontextmanager
async def seller(
    url: str, account: str, prefix: str, count: int
) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.services.accounts.seller_process",
        *(url, account, prefix, str(count), "16"),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def lines(process: asyncio.subprocess.Process) -> AsyncIterator[list[str]]:
    assert process.stdout is not None
    async for line in process.stdout:
        # The last line of a process that was killed may be a part of one.
        if line.endswith(b"\n"):
            yield line.decode().split()


@pytest.mark.timeout(60 + 20 * KILLS)
async def test_a_killed_seller_loses_nothing_that_it_acknowledged(
    bank: Bank, database_url: str
) -> None:
    await bank.account(balance_minor=10_000_000)
    rng = random.Random(1)
    acknowledged: dict[str, str] = {}
    for round_ in range(KILLS):
        until = rng.randrange(1, 400)
        async with seller(database_url, "ada", f"{round_}-", 1_000_000) as process:
            seen = 0
            async for verdict, key, id_ in lines(process):
                assert verdict == "paid", id_
                assert acknowledged.setdefault(key, id_) == id_
                seen += 1
                if seen == until:
                    process.kill()
        assert seen >= until
        await bank.holds()
    for id_ in acknowledged.values():
        assert (await bank.history.prediction("ada", id_)).answer is not None
    before = await bank.left()
    sales = bank.sales()
    async with sales.running():
        again = await asyncio.gather(
            *(sales.buy(purchase("ada", idempotency_key=key)) for key in acknowledged)
        )
    assert [receipt.prediction_id for receipt in again] == list(acknowledged.values())
    assert await bank.left() == before
    await bank.holds()


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_two_processes_share_one_database(bank: Bank, database_url: str) -> None:
    await bank.account(balance_minor=1_000)
    verdicts: list[str] = []

    async def run(prefix: str) -> None:
        async with seller(database_url, "ada", prefix, 400) as process:
            async for verdict, _, why in lines(process):
                verdicts.append(verdict)
                assert verdict == "paid" or why == PaymentRequired.type

    await asyncio.gather(run("one-"), run("two-"))
    assert (verdicts.count("paid"), verdicts.count("refused")) == (500, 300)
    assert await bank.left() == 0
    await bank.holds()


@asynccontextmanager
async def away(url: str) -> AsyncIterator[None]:
    """Within the block this database lets nobody in, and whoever was in is thrown out."""
    name = sa.make_url(url).database
    plain = sa.make_url(postgresql_url()).set(drivername="postgresql")
    admin = await asyncpg.connect(plain.render_as_string(hide_password=False))
    try:
        await admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        await admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name
        )
        yield
        await admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
    finally:
        await admin.close()


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_sales_recover_from_a_postgresql_that_was_away(bank: Bank, database_url: str) -> None:
    await bank.account(balance_minor=10_000)
    sales = bank.sales(batch=8)
    told: asyncio.Queue[object] = asyncio.Queue()
    stop = asyncio.Event()

    async def buy(key: str) -> Receipt:
        return await sales.buy(purchase(idempotency_key=key))

    async def caller(name: int) -> None:
        for number in itertools.count():
            if stop.is_set():
                return
            (one,) = await asyncio.gather(buy(f"{name}-{number}"), return_exceptions=True)
            assert isinstance(one, Receipt | Unavailable)
            told.put_nowait(one)

    async def until(kind: type) -> None:
        async with asyncio.timeout(30):
            while not isinstance(await told.get(), kind):
                pass

    async with sales.running():
        callers = [asyncio.create_task(caller(name)) for name in range(16)]
        await until(Receipt)
        async with away(database_url):
            await until(Unavailable)
            await until(Unavailable)
        await until(Receipt)
        stop.set()
        await asyncio.gather(*callers)
        assert isinstance(await buy("last"), Receipt)
    await bank.holds()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_sales_wait_for_a_busy_sqlite_and_recover(bank: Bank, database_url: str) -> None:
    await bank.account(balance_minor=100)
    sales = bank.sales(commit_seconds=0.3)
    other = sqlite3.connect(str(sa.make_url(database_url).database), isolation_level=None)
    async with sales.running():
        await sales.buy(purchase())
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable):
            await sales.buy(purchase(idempotency_key="k"))
        waits = asyncio.create_task(sales.buy(purchase(idempotency_key="k")))
        await asyncio.sleep(0.05)
        other.execute("COMMIT")
        assert not (await waits).replayed
    other.close()
    assert await bank.left() == 96
    await bank.holds()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_full_disk_is_told_and_hurts_nothing(
    bank: Bank, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bank.account(balance_minor=10_000)
    pages = [1_000_000]
    open_ = SqliteBatches._open

    def open_on_this_disk(batches: SqliteBatches) -> sqlite3.Connection:
        connection = open_(batches)
        connection.execute(f"PRAGMA max_page_count = {pages[-1]}")
        return connection

    monkeypatch.setattr(SqliteBatches, "_open", open_on_this_disk)
    sales = bank.sales()
    async with sales.running():
        await sales.buy(purchase())
    pages.append(1)
    async with sales.running():
        told = await asyncio.gather(
            *(sales.buy(purchase(number=number)) for number in range(500)), return_exceptions=True
        )
        assert isinstance(told[-1], Unavailable)
        assert {type(one) for one in told} <= {Receipt, Unavailable}
        pages.append(1_000_000)
        await sales.buy(purchase())
    paid = sum(isinstance(one, Receipt) for one in told)
    assert await bank.left() == 10_000 - 2 * (paid + 2)
    await bank.holds()
