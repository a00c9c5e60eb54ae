"""The cases every queue passes; a subclass gives the fixture `opened`, which opens the queue."""

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta

import pytest

from foodex.ports.queue import Deliveries, Message, Queue

Opened = Callable[[], Queue]


def soon(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


async def take(deliveries: Deliveries) -> str:
    async with asyncio.timeout(10):
        delivery = await deliveries.next()
    await delivery.acknowledge()
    return delivery.message.job_id


async def nothing_comes(deliveries: Deliveries, seconds: float = 0.3) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(seconds):
            await deliveries.next()


class QueueContract:
    @pytest.fixture
    async def queue(self, opened: Opened) -> AsyncIterator[Queue]:
        queue = opened()
        yield queue
        await queue.close()

    async def test_answers(self, queue: Queue) -> None:
        await queue.ping()
        assert await queue.depth() == 0

    async def test_what_was_published_is_taken_in_its_order(self, queue: Queue) -> None:
        sent = [Message(job_id=f"job-{number}") for number in range(5)]
        await queue.publish(sent[:3])
        await queue.publish(sent[3:])
        assert await queue.depth() == 5
        async with queue.consume() as deliveries:
            for message in sent:
                delivery = await deliveries.next()
                assert delivery.message == message
                await delivery.acknowledge()
        assert await queue.depth() == 0

    async def test_the_most_urgent_goes_first(self, queue: Queue) -> None:
        for priority in (0, 5, 9, 1, 9):
            await queue.publish([Message(job_id=f"{priority}", priority=priority)])
        async with queue.consume() as deliveries:
            assert [await take(deliveries) for _ in range(5)] == ["9", "9", "5", "1", "0"]

    async def test_later_ones_wait_and_hold_nobody_up(self, queue: Queue) -> None:
        late, later = soon(0.8), soon(1.6)
        await queue.publish(
            [
                Message(job_id="later", priority=9, not_before=later),
                Message(job_id="late", not_before=late),
                Message(job_id="past", not_before=soon(-60)),
                Message(job_id="now"),
            ]
        )
        assert await queue.depth() == 4
        async with queue.consume() as deliveries:
            assert {await take(deliveries), await take(deliveries)} == {"past", "now"}
            for name, due in (("late", late), ("later", later)):
                assert await take(deliveries) == name
                assert timedelta() <= datetime.now(UTC) - due < timedelta(seconds=0.6)

    async def test_a_message_in_hand_is_nobody_elses(self, queue: Queue) -> None:
        await queue.publish([Message(job_id="first"), Message(job_id="second")])
        async with queue.consume() as one, queue.consume() as other:
            held = await one.next()
            assert held.message.job_id == "first"
            assert await take(other) == "second"
            await nothing_comes(other)
            await held.acknowledge()
            await nothing_comes(other)

    async def test_one_at_a_time(self, queue: Queue) -> None:
        await queue.publish([Message(job_id="first"), Message(job_id="second")])
        async with queue.consume() as deliveries:
            held = await deliveries.next()
            await nothing_comes(deliveries)
            await held.acknowledge()
            assert await take(deliveries) == "second"

    async def test_what_is_let_go_comes_again(self, queue: Queue) -> None:
        await queue.publish([Message(job_id="job", priority=3)])
        async with queue.consume() as deliveries:
            held = await deliveries.next()
        await held.acknowledge()
        async with queue.consume() as deliveries:
            assert await deliveries.next() != held
        async with queue.consume() as deliveries:
            assert await take(deliveries) == "job"
            await nothing_comes(deliveries)

    async def test_outlives_whoever_sent_it(self, opened: Opened) -> None:
        first = opened()
        await first.publish([Message(job_id="taken"), Message(job_id="held")])
        await first.publish([Message(job_id="late", priority=7, not_before=soon(1))])
        async with first.consume() as deliveries:
            assert await take(deliveries) == "taken"
            await deliveries.next()
            await first.close()
        second = opened()
        async with second.consume() as deliveries:
            delivery = await deliveries.next()
            assert delivery.message == Message(job_id="held")
            await delivery.acknowledge()
            delivery = await deliveries.next()
            assert (delivery.message.job_id, delivery.message.priority) == ("late", 7)
            await delivery.acknowledge()
        assert await second.depth() == 0
        await second.close()

    async def test_many_takers_share_without_loss(self, queue: Queue) -> None:
        names = [f"job-{number}" for number in range(200)]
        taken: list[str] = []
        all_taken = asyncio.Event()

        async def taker() -> None:
            async with queue.consume() as deliveries:
                while True:
                    delivery = await deliveries.next()
                    taken.append(delivery.message.job_id)
                    await delivery.acknowledge()
                    if len(taken) >= len(names):
                        all_taken.set()

        takers = [asyncio.create_task(taker()) for _ in range(4)]
        await asyncio.gather(
            *(queue.publish([Message(job_id=one) for one in names[at::20]]) for at in range(20))
        )
        await asyncio.wait_for(all_taken.wait(), 20)
        for one in takers:
            one.cancel()
        await asyncio.wait(takers)
        assert sorted(taken) == sorted(names)
        assert await queue.depth() == 0

    async def test_a_taker_that_gives_up_loses_nothing(self, queue: Queue) -> None:
        async with queue.consume() as deliveries:
            await nothing_comes(deliveries, 0.1)
        async with queue.consume() as deliveries:
            await nothing_comes(deliveries, 0.1)
            await queue.publish([Message(job_id="job")])
            assert await take(deliveries) == "job"

    async def test_who_waits_is_woken_at_once(self, queue: Queue) -> None:
        took = []
        async with queue.consume() as deliveries:
            for number in range(20):
                waiting = asyncio.create_task(take(deliveries))
                await asyncio.sleep(0.02)
                began = time.perf_counter()
                await queue.publish([Message(job_id=f"{number}")])
                assert await waiting == f"{number}"
                took.append(time.perf_counter() - began)
        assert statistics.median(took) < 0.1
