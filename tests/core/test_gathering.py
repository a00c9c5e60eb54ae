"""Shared calls: who shares them, who fares apart, and who may leave."""

import asyncio
from collections.abc import Sequence

import pytest

from foodex.core.access import Principal, Role, acting_as, who
from foodex.core.errors import Conflict, FoodexError, InternalError, NotFound, Overloaded
from foodex.core.gathering import Gathering


class Work:
    """Doubles numbers; what is odd is refused. Waits while `held`."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []
        self.by: list[str] = []
        self.free = asyncio.Event()
        self.free.set()
        self.broken: BaseException | None = None

    async def __call__(self, asked: Sequence[int]) -> Sequence[int | FoodexError]:
        self.calls.append(list(asked))
        self.by.append(who())
        await self.free.wait()
        if self.broken:
            raise self.broken
        return [NotFound() if one % 2 else one * 2 for one in asked]


async def test_all_that_wait_share_the_next_call() -> None:
    work = Work()
    gathering = Gathering(work, most=4)
    work.free.clear()
    first = asyncio.create_task(gathering.ask(0))
    await asyncio.sleep(0.01)
    later = [asyncio.create_task(gathering.ask(number)) for number in range(2, 14, 2)]
    await asyncio.sleep(0.01)
    assert work.calls == [[0]]
    work.free.set()
    assert await asyncio.gather(first, *later) == [0, 4, 8, 12, 16, 20, 24]
    assert work.calls == [[0], [2, 4, 6, 8], [10, 12]]
    assert await gathering.ask(20) == 40


async def test_members_fare_apart() -> None:
    gathering = Gathering(Work())
    told = await asyncio.gather(*map(gathering.ask, range(4)), return_exceptions=True)
    assert told[::2] == [0, 4]
    assert [type(one) for one in told[1::2]] == [NotFound, NotFound]


@pytest.mark.parametrize("before", [True, False])
async def test_who_leaves_harms_nobody(before: bool) -> None:
    work = Work()
    gathering = Gathering(work)
    work.free.clear()
    if before:
        blocking = asyncio.create_task(gathering.ask(100))
        await asyncio.sleep(0.01)
    tasks = [asyncio.create_task(gathering.ask(number)) for number in (2, 4, 6)]
    await asyncio.sleep(0.01)
    tasks[1].cancel()
    await asyncio.sleep(0)
    work.free.set()
    assert [await tasks[0], await tasks[2]] == [4, 12]
    assert tasks[1].cancelled()
    assert work.calls == ([[100], [2, 6]] if before else [[2, 4, 6]])
    if before:
        assert await blocking == 200


@pytest.mark.parametrize(("broken", "kind"), [(Conflict(), Conflict), (KeyError(), InternalError)])
async def test_an_error_of_the_call_is_everybodys_and_the_next_call_works(
    broken: Exception, kind: type[FoodexError]
) -> None:
    work = Work()
    gathering = Gathering(work)
    work.broken = broken
    told = await asyncio.gather(gathering.ask(2), gathering.ask(4), return_exceptions=True)
    assert [type(one) for one in told] == [kind, kind]
    work.broken = None
    assert await gathering.ask(2) == 4


async def test_a_call_is_nobodys_in_particular() -> None:
    work = Work()
    gathering = Gathering(work)
    with acting_as(Principal("ann", frozenset({Role.CLIENT}))):
        assert await gathering.ask(2) == 4
    assert work.by == ["system"]


async def test_too_many_that_wait_are_refused() -> None:
    work = Work()
    gathering = Gathering(work, most=1, waiting=2)
    work.free.clear()
    tasks = [asyncio.create_task(gathering.ask(2))]
    await asyncio.sleep(0.01)
    tasks += [asyncio.create_task(gathering.ask(2)) for _ in range(2)]
    await asyncio.sleep(0.01)
    with pytest.raises(Overloaded):
        await gathering.ask(2)
    work.free.set()
    assert await asyncio.gather(*tasks) == [4, 4, 4]


async def test_a_short_answer_is_a_fault_of_ours() -> None:
    async def forgetful(asked: Sequence[int]) -> Sequence[int]:
        return [1]

    gathering = Gathering(forgetful)
    told = await asyncio.gather(gathering.ask(1), gathering.ask(2), return_exceptions=True)
    assert [type(one) for one in told] == [InternalError, InternalError]


async def test_who_comes_in_the_same_breath_shares_the_call() -> None:
    work = Work()
    gathering = Gathering(work)

    async def turns_later(number: int) -> int:
        for _ in range(number):
            await asyncio.sleep(0)
        return await gathering.ask(2 * number)

    assert await asyncio.gather(*map(turns_later, range(4))) == [0, 4, 8, 12]
    assert work.calls == [[0, 2, 4, 6]]


async def test_some_calls_are_made_at_once_and_no_more() -> None:
    work = Work()
    gathering = Gathering(work, at_once=2)
    work.free.clear()
    tasks = []
    for number in (2, 4, 6, 8):
        tasks.append(asyncio.create_task(gathering.ask(number)))
        await asyncio.sleep(0.01)
    assert work.calls == [[2], [4]]
    work.free.set()
    assert await asyncio.gather(*tasks) == [4, 8, 12, 16]
    assert work.calls[2:] == [[6, 8]]
    assert await gathering.ask(20) == 40


async def test_more_than_one_call_takes_begin_the_next_at_once() -> None:
    work = Work()
    gathering = Gathering(work, most=2, at_once=2)
    work.free.clear()
    tasks = [asyncio.create_task(gathering.ask(number)) for number in range(2, 14, 2)]
    await asyncio.sleep(0.01)
    assert work.calls == [[2, 4], [6, 8]]
    work.free.set()
    assert await asyncio.gather(*tasks) == [4, 8, 12, 16, 20, 24]


async def test_a_call_that_is_broken_off_leaves_the_others_and_what_waits() -> None:
    work = Work()
    gathering = Gathering(work, at_once=2)
    work.free.clear()
    tasks = []
    for number in (2, 4, 6):
        tasks.append(asyncio.create_task(gathering.ask(number)))
        await asyncio.sleep(0.01)
    broken, _ = (task for task in asyncio.all_tasks() if task.get_name() == "gathering")
    broken.cancel()
    await asyncio.sleep(0.01)
    work.free.set()
    told = await asyncio.gather(*tasks, return_exceptions=True)
    assert sorted(str(type(one).__name__) for one in told) == ["Unavailable", "int", "int"]
    assert told[2] == 12
    assert await gathering.ask(20) == 40
