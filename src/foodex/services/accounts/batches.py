"""Charging and recording many predictions in one transaction: the seam to each database."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import msgspec

from foodex.domain.purchases import Bought

Key = tuple[str, str]
"""An account and an `Idempotency-Key` of its own."""


class Paid(msgspec.Struct, frozen=True):
    """The member is charged and recorded; `balance_minor` is what its charge left."""

    balance_minor: int


class Refused(msgspec.Struct, frozen=True):
    """The member cannot pay; there is no account where `currency` is None."""

    balance_minor: int
    currency: str | None


class Undecided(msgspec.Struct, frozen=True):
    """The member was kept waiting by a dearer one before it; write it again."""


Outcome = Paid | Refused | Undecided


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What was recorded under an idempotency key."""

    prediction_id: str
    fingerprint: bytes
    answer: bytes | None
    price_minor: int
    currency: str
    balance_minor: int


class Batches(Protocol):
    """Charges and records; what it returned is durable. One batch at a time."""

    async def known(self, keys: Iterable[Key]) -> Mapping[Key, Known]:
        """What is recorded under these keys."""
        ...

    async def write(self, batch: Sequence[Bought], at: datetime) -> Sequence[Outcome]:
        """Charge and record the members, first come first served, in one transaction.

        Whoever cannot pay is refused alone. Any exception means that nothing of the batch was
        done, save `Unavailable`, after which it may have been done.
        """
        ...

    async def close(self) -> None:
        """Let the connection go; the next batch opens another."""
        ...


def reference_of(prediction_id: str) -> str:
    """The reference of the charge of a prediction."""
    return f"prediction:{prediction_id}"
