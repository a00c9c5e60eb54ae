"""Servers that are killed or stopped in the middle of jobs, and started again on what they left.

PostgreSQL is restarted in each run. A node of RabbitMQ takes many seconds to start, so it is only
where `FOODEX_TEST_RESTARTS` names it; `test_faults` cuts the connections to it each time.
"""

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from foodex.core.access import acting_as
from tests.services.jobs.conftest import ADA, Place, eventually, opened
from tests.services.jobs.test_faults import START, accept_all, check, lines_of, worker
from tests.support.own_servers import OwnServer, own_postgresql, own_rabbitmq

ALSO = os.environ.get("FOODEX_TEST_RESTARTS", "").split(",")

pytestmark = [pytest.mark.timeout(240)]


async def go_through(place: Place, server: OwnServer, signals: tuple[int, ...]) -> None:
    """Jobs by two workers, and a server that ends by each of these signals in the middle."""
    notes = place.folder / "notes"
    async with opened(place) as yard:
        await yard.account(balance_minor=START)
        async with yard.start(work=False) as gateway, worker(place), worker(place):
            with acting_as(ADA):
                made = await accept_all(gateway, notes, seconds=0.3)
                for number in signals:
                    until = lines_of(notes) + 3
                    await eventually(lambda until=until: lines_of(notes) >= until)
                    await server.stop(number)
                    # What the jobs in hand do meanwhile, they cannot write down.
                    await server.start()
                await check(yard, gateway, made)


async def test_the_database_is_restarted(rabbit_place: Place) -> None:
    async with own_postgresql() as database:
        place = replace(rabbit_place, database_url=database.url)
        # At once, so that it has to recover, and in good order.
        await go_through(place, database, (signal.SIGQUIT, signal.SIGINT))


@pytest.mark.skipif("rabbitmq" not in ALSO, reason="FOODEX_TEST_RESTARTS does not name rabbitmq")
async def test_rabbitmq_is_restarted(postgresql_database_url: str, tmp_path: Path) -> None:
    async with own_rabbitmq() as queue:
        place = Place(postgresql_database_url, queue.url, "foodex", tmp_path)
        await go_through(place, queue, (signal.SIGKILL, signal.SIGTERM))
