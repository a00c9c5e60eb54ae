"""The queue: messages that say which job is to be looked at, and when."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """Look at this job, not before a time; a higher `priority` (0 to 9) goes first.

    A message is a hint: the job's row decides what is done, so that one told twice, or of a job
    that has ended, does no harm.
    """

    job_id: str
    priority: int = 5
    not_before: datetime | None = None


class Delivery(Protocol):
    """A message in somebody's hands; without `acknowledge` it comes back when these let go."""

    @property
    def message(self) -> Message:
        """The message."""
        ...

    async def acknowledge(self) -> None:
        """Say that the message need not come again. Never fails: at worst it does come again."""
        ...


class Deliveries(Protocol):
    """What one taker is given, one message after another."""

    async def next(self) -> Delivery:
        """The next message, as soon as there is one that is due and the last is acknowledged.

        Waits for ever, through lost connections too.
        """
        ...


class Queue(Protocol):
    """Messages outlive the processes that send and take them, and the queue's own restart."""

    async def publish(self, messages: Sequence[Message]) -> None:
        """Send; on return they are on disk. `Unavailable`: any of them may be, or not."""
        ...

    def consume(self) -> AbstractAsyncContextManager[Deliveries]:
        """Take messages within the block, one at a time.

        A message that is not acknowledged when the block ends, or when the connection is lost,
        comes again, to whomever.
        """
        ...

    async def depth(self) -> int:
        """How many messages wait to be taken, those not yet due included."""
        ...

    async def ping(self) -> None:
        """Return when the queue answers; `Unavailable` otherwise."""
        ...

    async def close(self) -> None:
        """Let go of what is open."""
        ...
