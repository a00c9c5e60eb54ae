"""What a job's own process and its parent leave for each other in the process's folder."""

from collections.abc import Callable
from typing import Any, Final

import msgspec

from foodex.core.errors import FieldProblem

ORDER_FILE: Final = ".order.json"
RESULT_FILE: Final = ".result.json"

Tell = Callable[[float, str], None]
"""Told the share done, 0 to 1, and what is being done."""


class Order(msgspec.Struct):
    """Which function to call with what."""

    module: str
    function: str
    arguments: dict[str, Any]
    nice: int


class Progress(msgspec.Struct):
    """One line of the process's output."""

    progress: float
    message: str


class Failure(msgspec.Struct):
    """An error of the family as the process met it."""

    type: str
    message: str
    problems: tuple[FieldProblem, ...] = ()


class Answer(msgspec.Struct):
    """What the process leaves."""

    result: dict[str, Any] | None = None
    failure: Failure | None = None
