"""The one family of errors.

An error's class gives its HTTP status and its stable `type`; its docstring is the message used
when none is given. Whatever is raised across a service's face is one of these.

    FoodexError
    ├── InvalidInput            422  what was sent cannot be used: says which field of which row
    │   └── BadRequest          400  the request itself cannot be read
    ├── NotAuthenticated        401
    ├── PaymentRequired         402  says the balance and the price
    ├── Forbidden               403
    ├── NotFound                404
    ├── Conflict                409
    ├── TooLarge                413
    ├── TooManyRequests         429
    ├── Unavailable             503  try again later
    │   └── Overloaded          503  shed on purpose; `Retry-After` says when
    └── InternalError           500  a fault of ours
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """What is wrong with one value: the field, the row where there are rows, and why."""

    field: str
    message: str
    row: int | None = None

    def __str__(self) -> str:
        where = self.field if self.row is None else f"row {self.row}, {self.field}"
        return f"{where}: {self.message}"


class FoodexError(Exception):
    """Something went wrong."""

    status: ClassVar[int] = 500
    type: ClassVar[str] = "error"
    title: ClassVar[str] = "Something went wrong"

    def __init__(
        self,
        message: str | None = None,
        *,
        problems: Iterable[FieldProblem] = (),
        retry_after_seconds: float | None = None,
        **extra: Any,
    ) -> None:
        self.message = message or (type(self).__doc__ or self.title).strip().splitlines()[0]
        self.problems = tuple(problems)
        self.retry_after_seconds = retry_after_seconds
        self.extra: Mapping[str, Any] = extra
        super().__init__(self.message)

    def __str__(self) -> str:
        return "\n".join([self.message, *(f"  {problem}" for problem in self.problems)])


class InvalidInput(FoodexError):
    """What was sent cannot be used."""

    status, type, title = 422, "invalid-input", "Invalid input"


class BadRequest(InvalidInput):
    """The request cannot be read."""

    status, type, title = 400, "bad-request", "Bad request"


class NotAuthenticated(FoodexError):
    """A valid key is needed."""

    status, type, title = 401, "not-authenticated", "Not authenticated"


class PaymentRequired(FoodexError):
    """The balance does not cover the price."""

    status, type, title = 402, "payment-required", "Payment required"


class Forbidden(FoodexError):
    """This is not yours to do."""

    status, type, title = 403, "forbidden", "Forbidden"


class NotFound(FoodexError):
    """There is nothing of that name."""

    status, type, title = 404, "not-found", "Not found"


class Conflict(FoodexError):
    """That does not fit with what is already there."""

    status, type, title = 409, "conflict", "Conflict"


class TooLarge(FoodexError):
    """That is more than the limit."""

    status, type, title = 413, "too-large", "Too large"


class TooManyRequests(FoodexError):
    """Too many requests; try again later."""

    status, type, title = 429, "too-many-requests", "Too many requests"


class Unavailable(FoodexError):
    """A part of the system cannot answer now; try again later."""

    status, type, title = 503, "unavailable", "Unavailable"


class Overloaded(Unavailable):
    """Too much work at once; try again later."""

    status, type, title = 503, "overloaded", "Overloaded"


class InternalError(FoodexError):
    """A fault of ours; the log has the cause under this request's id."""

    status, type, title = 500, "internal", "Internal error"


def of_type(kind: str | None, message: str) -> FoodexError:
    """The error of that `type`; a fault of ours where there is none."""
    return family().get(kind or "", InternalError)(message)


def family() -> dict[str, type[FoodexError]]:
    """Every error of the family by its `type`, for clients that turn an answer back into one."""
    found: dict[str, type[FoodexError]] = {}
    waiting: list[type[FoodexError]] = [FoodexError]
    while waiting:
        kind = waiting.pop()
        found.setdefault(kind.type, kind)
        waiting += kind.__subclasses__()
    return found
