"""Sums of counts among processes, in Redis: one hash per window, one round trip for many counts."""

from collections.abc import Mapping

from redis.asyncio import Redis
from redis.exceptions import RedisError

from foodex.core.errors import Unavailable


class RedisCounts:
    """Implements `ports.rates.SharedCounts`."""

    def __init__(self, url: str, *, prefix: str = "foodex") -> None:
        self._redis = Redis.from_url(url, socket_timeout=2.0, socket_connect_timeout=2.0)
        self._prefix = prefix

    async def add(
        self, window: str, counts: Mapping[str, int], *, keep_seconds: int
    ) -> Mapping[str, int]:
        """Add to a window's counts by name, and give their sums."""
        key = f"{self._prefix}:counts:{window}"
        pipeline = self._redis.pipeline(transaction=False)
        for name, count in counts.items():
            pipeline.hincrby(key, name, count)
        pipeline.expire(key, keep_seconds)
        try:
            *sums, _ = await pipeline.execute()
        except (RedisError, OSError) as error:
            raise Unavailable("Requests cannot be counted together now") from error
        return dict(zip(counts, map(int, sums), strict=True))

    async def close(self) -> None:
        """Let go of the connections."""
        await self._redis.aclose()
