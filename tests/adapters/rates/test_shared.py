"""Counts that several processes add up in Redis."""

import asyncio
import secrets
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from foodex.adapters.rates.opening import open_shared_counts
from foodex.adapters.rates.shared import RedisCounts
from foodex.core.errors import InvalidInput, Unavailable
from tests.support.servers import redis_url


@pytest.fixture
async def prefix() -> AsyncIterator[str]:
    name = secrets.token_hex(6)
    yield name
    async with Redis.from_url(redis_url()) as redis:
        async for key in redis.scan_iter(f"{name}:*"):
            await redis.delete(key)


async def test_counts_of_processes_are_added_up(prefix: str) -> None:
    one, other = (RedisCounts(redis_url(), prefix=prefix) for _ in range(2))
    assert await one.add("7", {"ada": 3, "bob": 1}, keep_seconds=60) == {"ada": 3, "bob": 1}
    assert await other.add("7", {"ada": 2}, keep_seconds=60) == {"ada": 5}
    assert await other.add("8", {"ada": 2}, keep_seconds=60) == {"ada": 2}
    await asyncio.gather(*(c.add("7", {"ada": 1}, keep_seconds=60) for c in (one, other) * 20))
    assert await one.add("7", {"ada": 0}, keep_seconds=60) == {"ada": 45}
    async with Redis.from_url(redis_url()) as redis:
        assert 0 < await redis.ttl(f"{prefix}:counts:7") <= 60
    await asyncio.gather(one.close(), other.close())


async def test_a_redis_that_is_away_is_unavailable() -> None:
    counts = open_shared_counts("redis://127.0.0.1:1")
    assert counts is not None
    with pytest.raises(Unavailable):
        await counts.add("7", {"ada": 1}, keep_seconds=60)
    await counts.close()


def test_in_memory_nothing_is_shared() -> None:
    assert open_shared_counts("memory://") is None


def test_another_scheme_is_refused() -> None:
    with pytest.raises(InvalidInput, match="neither memory nor redis"):
        open_shared_counts("memcached://there")
