"""Work that is done again and again."""

import asyncio

import pytest

from foodex.core.errors import Unavailable
from foodex.core.periodic import periodic


@pytest.mark.parametrize("error", [None, Unavailable("away"), KeyError("a fault")])
async def test_it_is_done_until_the_block_ends_whatever_it_raises(error: Exception | None) -> None:
    times, enough = 0, asyncio.Event()

    async def work() -> None:
        nonlocal times
        times += 1
        if times == 3:
            enough.set()
        if error is not None:
            raise error

    async with periodic(work, seconds=0.001, name="some work"):
        async with asyncio.timeout(10):
            await enough.wait()
    done = times
    await asyncio.sleep(0.01)
    assert times == done


async def test_it_is_broken_off_with_the_block() -> None:
    begun, ended = asyncio.Event(), False

    async def work() -> None:
        nonlocal ended
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended = True

    async with periodic(work, seconds=1, name="long work"):
        await begun.wait()
    assert ended


async def test_it_may_begin_later() -> None:
    times = 0

    async def work() -> None:
        nonlocal times
        times += 1

    async with periodic(work, seconds=60, name="later work", at_once=False):
        await asyncio.sleep(0.01)
    assert times == 0


async def test_it_ends_though_being_broken_off_is_told_otherwise() -> None:
    begun = asyncio.Event()

    async def work() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise Unavailable("the line is closed") from None

    async with asyncio.timeout(10), periodic(work, seconds=60, name="some work"):
        await begun.wait()
