"""A seller in a process of its own: `seller_process URL ACCOUNT PREFIX COUNT CALLERS`.

Says `paid KEY ID` for each prediction that was acknowledged, and `refused KEY ERROR` else.
"""

import asyncio
import sys
from collections.abc import Iterator

from foodex.adapters.database.engine import open_database
from foodex.core.clock import SystemClock
from foodex.core.errors import FoodexError
from foodex.services.accounts.predictions import PaidPredictions
from tests.services.accounts.conftest import SETTINGS, purchase


async def sell(url: str, account: str, keys: Iterator[str], callers: int) -> None:
    database = open_database(url)
    sales = PaidPredictions(database=database, settings=SETTINGS, clock=SystemClock())

    async def caller() -> None:
        for key in keys:
            try:
                receipt = await sales.buy(purchase(account, idempotency_key=key))
            except FoodexError as error:
                print("refused", key, error.type, flush=True)  # noqa: T201
            else:
                print("paid", key, receipt.prediction_id, flush=True)  # noqa: T201

    async with sales.running():
        await asyncio.gather(*(caller() for _ in range(callers)))
    await database.close()


if __name__ == "__main__":
    url, account, prefix, count, callers = sys.argv[1:]
    keys = (f"{prefix}{number}" for number in range(int(count)))
    asyncio.run(sell(url, account, keys, int(callers)))
