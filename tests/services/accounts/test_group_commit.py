"""One writer for all that wait."""

import asyncio
from collections.abc import Sequence

import pytest

from foodex.core.errors import Conflict, FoodexError, InternalError, Overloaded, Unavailable
from foodex.services.accounts.group_commit import GroupCommit


class Gate:
    """A handler that answers each batch when it is let."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.let = asyncio.Event()
        self.began = asyncio.Event()

    async def __call__(self, items: Sequence[int]) -> Sequence[int | FoodexError]:
        self.batches.append(list(items))
        self.began.set()
        await self.let.wait()
        return [Conflict() if item < 0 else item * 10 for item in items]


def group(gate: object, waiting: int = 100, batch: int = 4) -> GroupCommit[int, int]:
    return GroupCommit(gate, waiting=waiting, batch=batch)  # type: ignore[arg-type]


async def test_what_comes_during_a_batch_is_the_next() -> None:
    gate = Gate()
    one = group(gate)
    async with one.running():
        first = asyncio.create_task(one.submit(1))
        await gate.began.wait()
        others = [asyncio.create_task(one.submit(item)) for item in range(2, 8)]
        await asyncio.sleep(0)
        assert one.waiting == 6
        gate.let.set()
        assert await asyncio.gather(first, *others) == [10, 20, 30, 40, 50, 60, 70]
    assert gate.batches == [[1], [2, 3, 4, 5], [6, 7]]


async def test_who_waits_can_be_refused_and_who_is_handled_is_not() -> None:
    gate = Gate()
    one = group(gate)
    async with one.running():
        first = asyncio.create_task(one.submit(1))
        await gate.began.wait()
        others = [asyncio.create_task(one.submit(item)) for item in (2, 3)]
        await asyncio.sleep(0)
        others[0].cancel()
        await asyncio.sleep(0)
        one.refuse_waiting(Unavailable())
        with pytest.raises(Unavailable):
            await others[1]
        gate.let.set()
        assert await first == 10
        assert await one.submit(4) == 40
    assert gate.batches == [[1], [4]]


async def test_an_error_is_for_its_member_alone() -> None:
    gate = Gate()
    gate.let.set()
    one = group(gate)
    async with one.running():
        told = await asyncio.gather(*map(one.submit, (1, -1, 2)), return_exceptions=True)
    assert (told[0], type(told[1]), told[2]) == (10, Conflict, 20)


async def test_who_gives_up_before_the_batch_is_left_out_of_it() -> None:
    gate = Gate()
    one = group(gate)
    async with one.running():
        begun = asyncio.create_task(one.submit(1))
        await gate.began.wait()
        gone, stays = asyncio.create_task(one.submit(2)), asyncio.create_task(one.submit(3))
        await asyncio.sleep(0)
        gone.cancel()
        begun.cancel()
        gate.let.set()
        assert await stays == 30
        assert begun.cancelled()
    assert gate.batches == [[1], [3]]


@pytest.mark.parametrize(
    ("raised", "told"), [(Unavailable("away"), Unavailable), (ValueError("bug"), InternalError)]
)
async def test_a_failed_batch_is_told_to_all_of_it_and_the_next_is_handled(
    raised: Exception, told: type[Exception]
) -> None:
    fails = [True]

    async def handle(items: Sequence[int]) -> Sequence[int]:
        if fails.pop():
            raise raised
        return items

    one = group(handle)
    async with one.running():
        errors = await asyncio.gather(one.submit(1), one.submit(2), return_exceptions=True)
        assert [type(error) for error in errors] == [told, told]
        fails.append(False)
        assert await one.submit(3) == 3


async def test_a_writer_that_dies_is_replaced() -> None:
    gate = Gate()
    one = group(gate)
    async with one.running():
        for item in (1, 2):
            waits = asyncio.create_task(one.submit(item))
            await gate.began.wait()
            gate.began.clear()
            (writer,) = (task for task in asyncio.all_tasks() if task.get_name() == "group commit")
            writer.cancel()
            with pytest.raises(Unavailable):
                await waits
        gate.let.set()
        assert await one.submit(3) == 30


async def test_an_answer_for_fewer_than_asked_is_a_fault_of_ours() -> None:
    async def handle(items: Sequence[int]) -> Sequence[int]:
        return items[1:]

    one = group(handle)
    async with one.running():
        with pytest.raises(InternalError):
            await one.submit(1)


async def test_the_queue_is_bounded_and_closed_outside() -> None:
    gate = Gate()
    one = group(gate, waiting=2)
    async with one.running():
        begun = asyncio.create_task(one.submit(1))
        await gate.began.wait()
        waits = [asyncio.create_task(one.submit(item)) for item in (2, 3)]
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await one.submit(4)
        gate.let.set()
        assert await asyncio.gather(begun, *waits) == [10, 20, 30]
    with pytest.raises(Unavailable):
        await one.submit(5)


async def test_what_waits_at_the_end_is_handled() -> None:
    gate = Gate()
    gate.let.set()
    one = group(gate, batch=2)
    async with one.running():
        waits = [asyncio.create_task(one.submit(item)) for item in range(5)]
        await asyncio.sleep(0)
    assert await asyncio.gather(*waits) == [0, 10, 20, 30, 40]


async def test_what_comes_together_is_told_together() -> None:
    gate = Gate()
    one = group(gate)
    async with one.running():
        first = asyncio.create_task(one.submit(1))
        await gate.began.wait()
        some = asyncio.create_task(one.submit_many([2, -1]))
        beside = asyncio.create_task(one.submit_many([3]))
        more = asyncio.create_task(one.submit_many([4, 5]))
        gone = asyncio.create_task(one.submit_many([6]))
        await asyncio.sleep(0)
        assert one.waiting == 6
        gone.cancel()
        gate.let.set()
        assert await first == 10
        told = await some
        assert (told[0], type(told[1])) == (20, Conflict)
        assert (await beside, await more) == ([30], [40, 50])
        assert one.waiting == 0
    # What one caller brought is not torn apart: the last two would not fit beside the others.
    assert gate.batches == [[1], [2, -1, 3], [4, 5]]


async def test_more_than_a_batch_is_told_in_its_order() -> None:
    gate = Gate()
    gate.let.set()
    one = group(gate)
    async with one.running():
        assert await one.submit_many(range(10)) == [10 * item for item in range(10)]
        with pytest.raises(Overloaded):
            await one.submit_many(range(101))
        assert one.waiting == 0
    assert gate.batches == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
