"""Counts of requests, in memory and in Redis."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from types import SimpleNamespace

import limits.aio.storage.memory
import pytest

from foodex.adapters.rates import limits as adapter
from foodex.adapters.rates.limits import LimitsRates
from foodex.adapters.rates.opening import open_rates
from foodex.core.errors import InvalidInput, Unavailable
from foodex.ports.rates import Rate
from tests.support.servers import redis_url

RATE = Rate(name="guess", amount=3, seconds=60)


@pytest.fixture(params=["memory", "redis"])
def rates_url(request: pytest.FixtureRequest) -> str:
    return "memory://" if request.param == "memory" else redis_url()


@pytest.fixture
async def rates(rates_url: str) -> AsyncIterator[LimitsRates]:
    opened = open_rates(rates_url, prefix=secrets.token_hex(6))
    yield opened
    for whose in ("ada", "bob"):
        await opened.clear(RATE, whose)
    await opened.close()


async def test_so_many_are_allowed_and_no_more(rates: LimitsRates) -> None:
    taken = [await rates.take(RATE, "ada") for _ in range(5)]
    assert [(one.allowed, one.left) for one in taken] == [
        (True, 2),
        (True, 1),
        (True, 0),
        (False, 0),
        (False, 0),
    ]
    assert all(0 < one.reset_seconds <= 60 for one in taken)
    assert (await rates.take(RATE, "bob")).allowed
    await rates.clear(RATE, "ada")
    assert (await rates.take(RATE, "ada")).left == 2


async def test_at_once_no_more_are_allowed_either(rates: LimitsRates) -> None:
    taken = await asyncio.gather(*(rates.take(RATE, "ada") for _ in range(20)))
    assert sum(one.allowed for one in taken) == 3


async def test_what_is_given_back_is_there_again(rates: LimitsRates) -> None:
    for _ in range(3):
        assert (await rates.take(RATE, "ada")).allowed
        await rates.give_back(RATE, "ada")
    assert (await rates.take(RATE, "ada")).left == 2


async def test_processes_with_one_redis_count_together() -> None:
    prefix = secrets.token_hex(6)
    one, other = (open_rates(redis_url(), prefix=prefix) for _ in range(2))
    assert (await one.take(RATE, "ada")).left == 2
    assert (await other.take(RATE, "ada")).left == 1
    await one.clear(RATE, "ada")
    await asyncio.gather(one.close(), other.close())


async def test_a_window_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    at = time.time()
    for module in (limits.aio.storage.memory, adapter):
        monkeypatch.setattr(module, "time", SimpleNamespace(time=lambda: at))
    rates = open_rates("memory://")
    for _ in range(4):
        allowance = await rates.take(RATE, "ada")
    assert not allowance.allowed
    at += 59
    assert (await rates.take(RATE, "ada")).reset_seconds == pytest.approx(1, abs=1e-6)
    at += 1
    assert (await rates.take(RATE, "ada")).left == 2


async def test_a_redis_that_is_away_is_unavailable() -> None:
    rates = open_rates("redis://127.0.0.1:1")
    with pytest.raises(Unavailable):
        await rates.take(RATE, "ada")
    await rates.close()


def test_another_scheme_is_refused() -> None:
    with pytest.raises(InvalidInput, match="neither memory nor redis"):
        open_rates("memcached://there")
