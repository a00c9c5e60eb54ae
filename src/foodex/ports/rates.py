"""The seam to what counts requests: in this process, or among several."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """So many in so many seconds; `name` keeps this count apart from others."""

    name: str
    amount: int
    seconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """Whether one more was allowed, how many are left, and in how many seconds all are again."""

    allowed: bool
    left: int
    reset_seconds: float


class Rates(Protocol):
    """Counts; `Unavailable` where the counts cannot be reached."""

    async def take(self, rate: Rate, *whose: str) -> Allowance:
        """Count one more of this caller's. What is refused is counted too."""
        ...

    async def give_back(self, rate: Rate, *whose: str) -> None:
        """Take one count back, of something that need not have counted."""
        ...

    async def clear(self, rate: Rate, *whose: str) -> None:
        """Forget this caller's count."""
        ...


class SharedCounts(Protocol):
    """Sums of what several processes counted; `Unavailable` where they cannot be reached."""

    async def add(
        self, window: str, counts: Mapping[str, int], *, keep_seconds: int
    ) -> Mapping[str, int]:
        """Add to a window's counts by name, and give their sums; forgotten after a while."""
        ...

    async def close(self) -> None:
        """Let go of the connections."""
        ...
