"""A worker in a process of its own: `worker_process DATABASE QUEUE PREFIX FOLDER`."""

import asyncio
import sys
from pathlib import Path

from tests.services.jobs.conftest import Place, opened


async def work(place: Place) -> None:
    async with opened(place) as yard, yard.start():
        print("ready", flush=True)  # noqa: T201
        await asyncio.Event().wait()


if __name__ == "__main__":
    database, queue, prefix, folder = sys.argv[1:]
    asyncio.run(work(Place(database, queue, prefix, Path(folder))))
