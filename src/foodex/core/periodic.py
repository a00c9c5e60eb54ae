"""Work that is done again and again while something runs."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import structlog

from foodex.core.errors import FoodexError

log = structlog.get_logger("foodex.periodic")


@asynccontextmanager
async def periodic(
    work: Callable[[], Awaitable[object]], *, seconds: float, name: str, at_once: bool = True
) -> AsyncIterator[None]:
    """Within the block `work` is done again and again, so many seconds after its end.

    The first time is `at_once`, or after as many seconds. What it raises is logged under its
    `name`, and it is tried again at its time.
    """
    task = asyncio.create_task(_keep(work, seconds, name, at_once=at_once), name=name)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def _keep(
    work: Callable[[], Awaitable[object]], seconds: float, name: str, *, at_once: bool
) -> None:
    if not at_once:
        await asyncio.sleep(seconds)
    while not ending():
        try:
            await work()
        except FoodexError as error:
            log.warning(f"{name}: not done this time", error=error.message)
        except Exception:
            log.exception(f"{name}: not done this time")
        if not ending():
            await asyncio.sleep(seconds)


def ending() -> bool:
    """Whether the running task was told to end.

    A loop that goes on after errors asks it: some libraries turn being cancelled into an error of
    their own, after which a task would run on, and who waits for its end for ever.
    """
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
