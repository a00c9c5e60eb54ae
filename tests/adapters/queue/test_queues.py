"""Both queues pass the same cases."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from foodex.adapters.queue.opening import open_queue
from foodex.adapters.queue.rabbitmq import RabbitQueue
from foodex.core.clock import SystemClock
from foodex.core.errors import InvalidInput, Unavailable
from foodex.ports.queue import Message
from tests.contracts.queue import Opened, QueueContract, soon, take
from tests.support.proxy import proxy_to
from tests.support.servers import rabbitmq_url


class TestFile(QueueContract):
    @pytest.fixture
    def opened(self, tmp_path: Path) -> Opened:
        return lambda: open_queue(f"sqlite:///{tmp_path}/queue.db", SystemClock())

    async def test_a_file_has_one_owner(self, opened: Opened) -> None:
        first, second = opened(), opened()
        await first.publish([Message(job_id="job")])
        with pytest.raises(Unavailable, match="Another process"):
            await second.ping()
        await first.close()
        assert await second.depth() == 1
        await second.close()

    async def test_many_senders_share_commits(self, opened: Opened) -> None:
        queue = opened()
        await asyncio.gather(*(queue.publish([Message(job_id=f"{n}")]) for n in range(500)))
        assert await queue.depth() == 500
        await queue.close()


class TestRabbitMq(QueueContract):
    @pytest.fixture
    async def prefix(self) -> AsyncIterator[str]:
        prefix = f"foodex-test-{secrets.token_hex(6)}"
        yield prefix
        last = RabbitQueue(rabbitmq_url(), SystemClock(), prefix=prefix)
        await last.delete()
        await last.close()

    @pytest.fixture
    def opened(self, prefix: str) -> Opened:
        url = rabbitmq_url()
        return lambda: open_queue(url, SystemClock(), prefix=prefix)

    async def test_lost_connections_are_made_again(self, prefix: str) -> None:
        place = urlsplit(rabbitmq_url())
        async with proxy_to(place.hostname or "", place.port or 5672) as proxy:
            url = place._replace(netloc=f"guest:guest@127.0.0.1:{proxy.port}").geturl()
            queue = RabbitQueue(url, SystemClock(), prefix=prefix)
            async with queue.consume() as deliveries:
                for number in range(5):
                    waiting = asyncio.create_task(take(deliveries))
                    await asyncio.sleep(0.05)
                    await proxy.cut()
                    await queue.publish([Message(job_id=f"{number}")])
                    assert await waiting == f"{number}"
                await queue.publish([Message(job_id="held"), Message(job_id="late")])
                held = await deliveries.next()
                await proxy.down()
                with pytest.raises(Unavailable):
                    await queue.publish([Message(job_id="lost")])
                with pytest.raises(Unavailable):
                    await queue.ping()
                with pytest.raises(Unavailable):
                    await queue.depth()
                waiting = asyncio.create_task(deliveries.next())
                await asyncio.sleep(0.1)
                await proxy.up()
                # Acknowledged over a line that is gone: it comes again.
                await held.acknowledge()
                again = await asyncio.wait_for(waiting, 10)
                assert again.message.job_id == "held"
                await again.acknowledge()
                assert await take(deliveries) == "late"
                await queue.ping()
            await queue.close()

    async def test_far_times_are_made_of_steps(self, prefix: str, opened: Opened) -> None:
        queue = opened()
        await queue.publish([Message(job_id="far", not_before=soon(100 * 24 * 3600))])
        assert await queue.depth() == 1
        await queue.close()

    async def test_a_message_that_is_none_is_passed_over(self, prefix: str) -> None:
        import aio_pika

        queue = RabbitQueue(rabbitmq_url(), SystemClock(), prefix=prefix)
        await queue.ping()
        async with await aio_pika.connect(rabbitmq_url()) as connection:
            channel = await connection.channel()
            await channel.default_exchange.publish(aio_pika.Message(b"what?"), queue.name)
        await queue.publish([Message(job_id="job", priority=0)])
        async with queue.consume() as deliveries:
            assert await take(deliveries) == "job"
        assert await queue.depth() == 0
        await queue.close()


@pytest.mark.parametrize(
    "url",
    ["", "sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite://host/path", "amqp://", "x://y"],
)
def test_urls_that_are_none(url: str) -> None:
    with pytest.raises(InvalidInput):
        open_queue(url, SystemClock())


def test_secrets_are_not_shown() -> None:
    queue = open_queue("amqp://user:very-secret@host/", SystemClock())
    assert "very-secret" not in repr(queue)


async def test_a_queue_out_of_reach_is_unavailable() -> None:
    queue = open_queue("amqp://user:very-secret@127.0.0.1:1/", SystemClock())
    with pytest.raises(Unavailable) as refused:
        await queue.ping()
    assert "very-secret" not in str(refused.value)
