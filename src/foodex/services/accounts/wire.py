"""How purchases and what became of them travel between a gateway and the service.

JSON, with the bodies in base64: msgspec writes and reads it at some 100 MB/s, and a purchase is
a few kilobytes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from foodex.core.errors import BadRequest, FoodexError, InternalError
from foodex.core.http import problem_error
from foodex.core.problems import problem_document
from foodex.domain.purchases import Purchase, Receipt


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one purchase: its receipt, or the problem it met."""

    receipt: Receipt | None = None
    problem: dict[str, Any] | None = None
    retry_after_seconds: float | None = None


def write_purchases(purchases: Sequence[Purchase]) -> bytes:
    """Purchases as they are sent."""
    return msgspec.json.encode(purchases)


def read_purchases(body: bytes) -> list[Purchase]:
    """The purchases of a request; `BadRequest` where it is none."""
    try:
        return msgspec.json.decode(body, type=list[Purchase])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequest(f"The purchases cannot be read: {error}") from None


def write_outcomes(results: Sequence[Receipt | FoodexError]) -> bytes:
    """Results member by member."""
    return msgspec.json.encode([_outcome(result) for result in results], enc_hook=str)


def read_outcomes(outcomes: Sequence[Outcome]) -> list[Receipt | FoodexError]:
    """Results as they were before they were sent."""
    return [
        outcome.receipt or problem_error(500, outcome.problem or {}, outcome.retry_after_seconds)
        for outcome in outcomes
    ]


def _outcome(result: Receipt | FoodexError) -> Outcome:
    if isinstance(result, Receipt):
        return Outcome(receipt=result)
    return Outcome(problem=problem_document(result), retry_after_seconds=result.retry_after_seconds)


def failure(error: BaseException) -> FoodexError:
    """What a member's exception is told as."""
    return error if isinstance(error, FoodexError) else InternalError()
