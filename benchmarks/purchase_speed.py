"""How many predictions a second are charged and recorded, durably, by one process.

    .venv/bin/python benchmarks/purchase_speed.py sqlite+aiosqlite:////tmp/speed.db
    .venv/bin/python benchmarks/purchase_speed.py postgresql+asyncpg://postgres@127.0.0.1/speed

The database must be there, and be one to throw away. Orders, features and answers have their usual
sizes; nothing is forecast and no HTTP is spoken.
"""

import argparse
import asyncio
import itertools
import secrets
import time
from dataclasses import dataclass

import uvloop

from foodex.adapters.database.engine import open_database
from foodex.core.clock import SystemClock
from foodex.core.settings import AccountsSettings
from foodex.core.sql import Database, migrate
from foodex.domain.purchases import Answer, Purchase
from foodex.services.accounts.ledger import Ledger
from foodex.services.accounts.predictions import PaidPredictions

ORDER = b'{"order_id":"A-1001","rest":"%s"}' % (b"y" * 390)
ANSWER = Answer(
    answer=b'{"promise":"%s"}' % (b"z" * 600),
    model="helsinki",
    version=3,
    features=bytes(24 * 8),
    inputs=b'{"offsets":[0.1,0.2,0.3,0.4,0.5,0.6,0.7]}',
)


@dataclass(frozen=True)
class Case:
    accounts: int
    callers: int
    keyed: bool = False


CASES = (Case(1, 64), Case(100, 64), Case(100, 16), Case(100, 1), Case(100, 64, keyed=True))


async def measure(database: Database, case: Case, seconds: float) -> None:
    settings, clock = AccountsSettings(), SystemClock()
    ledger = Ledger(database=database, settings=settings, clock=clock)
    sales = PaidPredictions(database=database, settings=settings, clock=clock)
    run = secrets.token_hex(4)
    accounts = [f"{run}-{number}" for number in range(case.accounts)]
    for account in accounts:
        await ledger.open_account(account)
        await ledger.top_up(account, 10**10)
    numbers = itertools.count()
    taken: list[float] = []
    end = time.perf_counter() + seconds

    async def caller() -> None:
        while (began := time.perf_counter()) < end:
            number = next(numbers)
            asked = Purchase(
                account=accounts[number % len(accounts)],
                who="benchmark",
                key_id="key-1",
                order=ORDER,
                answer=ANSWER,
                idempotency_key=str(number) if case.keyed else None,
            )
            await sales.buy(asked)
            taken.append(time.perf_counter() - began)

    async with sales.running():
        began, used = time.perf_counter(), time.process_time()
        await asyncio.gather(*(caller() for _ in range(case.callers)))
        wall, used = time.perf_counter() - began, time.process_time() - used
    taken.sort()
    keys = "yes" if case.keyed else "no"
    print(
        f"| {database.dialect} | {case.accounts} | {case.callers} | {keys} "
        f"| {len(taken) / wall:,.0f} | {taken[len(taken) // 2] * 1e3:.1f} "
        f"| {taken[int(len(taken) * 0.99)] * 1e3:.1f} | {used / len(taken) * 1e6:.0f} |"
    )


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--seconds", type=float, default=5)
    given = parser.parse_args()
    database = open_database(given.url)
    await migrate(database, "accounts")
    print("| database | accounts | callers | keys | per second | p50 ms | p99 ms | CPU µs each |")
    print("|---|---|---|---|---|---|---|---|")
    for case in CASES:
        await measure(database, case, given.seconds)
    await database.close()


if __name__ == "__main__":
    uvloop.run(main())
