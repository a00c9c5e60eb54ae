"""What travels between this service and its client where a port's values are no plain JSON."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from foodex.core.errors import FoodexError
from foodex.core.http import problem_error
from foodex.core.problems import problem_document
from foodex.domain.forecasts import Answered, Ask


@dataclass(frozen=True, slots=True, kw_only=True)
class Asks:
    """Orders that wait at once."""

    asks: tuple[Ask, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one order got: an answer, its bytes in base64, or a problem document."""

    answered: Answered | None = None
    problem: dict[str, Any] | None = None
    retry_after_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcomes:
    """What each order got, in their order."""

    outcomes: tuple[Outcome, ...]


def written(answers: Sequence[Answered | FoodexError]) -> bytes:
    """Answers as JSON."""
    outcomes = tuple(
        Outcome(problem=problem_document(one), retry_after_seconds=one.retry_after_seconds)
        if isinstance(one, FoodexError)
        else Outcome(answered=one)
        for one in answers
    )
    return msgspec.json.encode(Outcomes(outcomes=outcomes))


def read(outcomes: Sequence[Outcome]) -> list[Answered | FoodexError]:
    """Answers back from what travelled."""
    return [_read(one) for one in outcomes]


def _read(one: Outcome) -> Answered | FoodexError:
    if one.answered is not None:
        return one.answered
    document = one.problem or {}
    return problem_error(int(document.get("status", 500)), document, one.retry_after_seconds)
