"""Work that is done again and again while something runs."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import structlog

from foodex.core.errors import FoodexError

log = structlog.get_logger("foodex.periodic")


@asynccontextmanager
async def periodic(
    work: Callable[[], Awaitable[object]], *, seconds: float, name: str
) -> AsyncIterator[None]:
    """Within the block `work` is done at once and then again, so many seconds after its end.

    What it raises is logged under its `name`, and it is tried again at its time.
    """
    task = asyncio.create_task(_keep(work, seconds, name), name=name)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def _keep(work: Callable[[], Awaitable[object]], seconds: float, name: str) -> None:
    while True:
        try:
            await work()
        except FoodexError as error:
            log.warning(f"{name}: not done this time", error=error.message)
        except Exception:
            log.exception(f"{name}: not done this time")
        await asyncio.sleep(seconds)
