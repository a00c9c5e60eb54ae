"""Orders and deliveries as they come from outside, checked field by field.

Plain Python on purpose: an order of twenty fields is checked in a few microseconds.
"""

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from foodex.core.errors import FieldProblem, InvalidInput
from foodex.domain.deliveries import EARLIEST_ORDER as EARLIEST
from foodex.domain.deliveries import FIELD, LONGEST_TEXT, MAX_DELIVERY_MINUTES, Kind
from foodex.domain.deliveries import ORDERS_AHEAD as AHEAD

SKEW: Final = timedelta(hours=1)
"""How far another machine's clock may be ahead when it tells of a delivery."""
_AGREEMENT_MINUTES: Final = 1.0

Order = dict[str, Any]
_Rule = tuple[Callable[[Any, "float | None", "float | None"], Any], float | None, float | None]


class _Wrong(ValueError):
    """Says what is wrong with a value."""


def _number(value: Any, low: float | None, high: float | None) -> float:
    kind = type(value)
    if kind is not float and kind is not int:
        raise _Wrong(f"{_shown(value)} is no number")
    if low is not None and high is not None and not low <= value <= high:
        raise _Wrong(f"is {value}, not between {low:g} and {high:g}")
    if value != value or value in (float("inf"), float("-inf")):
        raise _Wrong(f"is {value}, which is no number")
    return float(value)


def _integer(value: Any, low: float | None, high: float | None) -> int:
    number = _number(value, low, high)
    if number != int(number):
        raise _Wrong(f"is {value}, not a whole number")
    return int(number)


def _text(value: Any, low: float | None, high: float | None) -> str | None:
    if type(value) is not str:
        if type(value) is not int:
            raise _Wrong(f"{_shown(value)} is no text")
        return str(value)
    if len(value) > LONGEST_TEXT:
        raise _Wrong(f"is {len(value)} characters long, more than {LONGEST_TEXT}")
    return value or None


def _category(value: Any, low: float | None, high: float | None) -> str | None:
    # A yes or no of an extra column is stored as a word.
    return ("true" if value else "false") if type(value) is bool else _text(value, low, high)


def _time(value: Any, low: float | None, high: float | None) -> datetime:
    if type(value) is str:
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise _Wrong(f"{_shown(value)} is no ISO 8601 time") from None
    elif not isinstance(value, datetime):
        raise _Wrong(f"{_shown(value)} is no ISO 8601 time")
    if value.tzinfo is None:
        raise _Wrong("has no time zone; write it as 2026-01-31T18:30:00+02:00 or with Z for UTC")
    found: datetime = value.astimezone(UTC)
    return found


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


_READ: Final[Mapping[Kind, Callable[[Any, float | None, float | None], Any]]] = {
    Kind.NUMBER: _number,
    Kind.INTEGER: _integer,
    Kind.TEXT: _text,
    Kind.CATEGORY: _category,
    Kind.TIME: _time,
}
_ALL: Final[dict[str, _Rule]] = {
    name: (_READ[field.kind], field.low, field.high) for name, field in FIELD.items()
}
_AT_ORDER: Final = {name: rule for name, rule in _ALL.items() if FIELD[name].known_at_order}


class Rules:
    """What may be in an order, and in a delivery, given the extra columns there are.

    `lenient` rules pass over names they do not know: where no model is at hand to say which
    columns it reads, an order with one more is still to be answered.
    """

    __slots__ = ("_deliveries", "_lenient", "_orders")

    def __init__(self, extras: Mapping[str, Kind] | None = None, *, lenient: bool = False) -> None:
        self._lenient = lenient
        own: dict[str, _Rule] = {
            name: (_READ[kind], None, None)
            for name, kind in (extras or {}).items()
            if name not in FIELD
        }
        self._orders = own | _AT_ORDER
        self._deliveries = own | _ALL

    def order(self, order: Mapping[str, Any], now: datetime, row: int | None = None) -> Order:
        """The order with usable values; one without `placed_at` is placed `now`.

        Raises:
            InvalidInput: names every field that is unknown, absurd or not known at the order.
        """
        checked, problems = _read(order, self._orders, row, self._lenient)
        placed = checked.get("placed_at")
        if placed is None:
            checked["placed_at"] = now
        elif not EARLIEST <= placed <= now + AHEAD:
            problems.append(FieldProblem("placed_at", _out_of_time(placed, now + AHEAD), row))
        if problems:
            raise InvalidInput("The order cannot be used", problems=problems)
        return checked

    def orders(self, orders: Sequence[Mapping[str, Any]], now: datetime) -> list[Order]:
        """As `order`, for many; the error names the rows too."""
        return _each(orders, lambda order, row: self.order(order, now, row), "orders")

    def deliveries(self, deliveries: Sequence[Mapping[str, Any]], now: datetime) -> list[Order]:
        """Delivered orders with both `delivered_at` and `delivery_minutes`.

        Raises:
            InvalidInput: names every row and field that is missing or makes no sense.
        """
        return _each(deliveries, lambda one, row: self._delivery(one, now, row), "deliveries")

    def _delivery(self, delivery: Mapping[str, Any], now: datetime, row: int) -> Order:
        checked, problems = _read(delivery, self._deliveries, row)
        named = {problem.field for problem in problems}
        problems += [
            FieldProblem(name, "is missing", row)
            for name in ("order_id", "placed_at")
            if name not in checked and name not in named
        ]
        if not problems:
            problems = _complete(checked, now, row)
        if problems:
            raise InvalidInput("The delivery cannot be used", problems=problems)
        return checked


def _read(
    given: Mapping[str, Any], rules: Mapping[str, _Rule], row: int | None, lenient: bool = False
) -> tuple[Order, list[FieldProblem]]:
    if not isinstance(given, Mapping):
        raise InvalidInput(
            "The order cannot be used", problems=[FieldProblem("order", "is no JSON object", row)]
        )
    checked: Order = {}
    problems: list[FieldProblem] = []
    for name, value in given.items():
        if value is None:
            continue
        rule = rules.get(name)
        if rule is None:
            if lenient and name not in FIELD:
                continue
            problems.append(FieldProblem(name, _unknown(name, rules), row))
            continue
        read, low, high = rule
        # What most values are, without a call for each.
        kind = type(value)
        if kind is float and read is _number and low is not None and high is not None:
            if low <= value <= high:
                checked[name] = value
                continue
        elif (
            kind is str and (read is _text or read is _category) and 0 < len(value) <= LONGEST_TEXT
        ):
            checked[name] = value
            continue
        try:
            found = read(value, low, high)
        except (_Wrong, OverflowError) as error:
            problems.append(FieldProblem(name, str(error), row))
        else:
            if found is not None:
                checked[name] = found
    return checked, problems


def _unknown(name: str, rules: Iterable[str]) -> str:
    if name in FIELD:
        return "is known only after the order was placed; leave it out"
    near = difflib.get_close_matches(name, rules, 1)
    return "there is no such field" + (f"; did you mean '{near[0]}'?" if near else "")


def _out_of_time(time: datetime, latest: datetime) -> str:
    return f"is {time:%Y-%m-%dT%H:%MZ}, not between {EARLIEST:%Y-%m-%d} and {latest:%Y-%m-%d}"


def _complete(delivery: Order, now: datetime, row: int) -> list[FieldProblem]:
    placed: datetime = delivery["placed_at"]
    delivered: datetime | None = delivery.get("delivered_at")
    minutes: float | None = delivery.get("delivery_minutes")
    if not EARLIEST <= placed <= now + SKEW:
        return [FieldProblem("placed_at", _out_of_time(placed, now + SKEW), row)]
    if delivered is None and minutes is None:
        return [FieldProblem("delivered_at", "is missing, and so is `delivery_minutes`", row)]
    if delivered is None:
        assert minutes is not None
        delivered = placed + timedelta(minutes=minutes)
    taken = (delivered - placed).total_seconds() / 60
    if not 0 <= taken <= MAX_DELIVERY_MINUTES:
        why = f"is {taken:.1f} minutes after `placed_at`, not 0 to {MAX_DELIVERY_MINUTES:g}"
        return [FieldProblem("delivered_at", why, row)]
    if delivered > now + SKEW:
        return [FieldProblem("delivered_at", _out_of_time(delivered, now + SKEW), row)]
    if minutes is not None and abs(minutes - taken) > _AGREEMENT_MINUTES:
        why = f"is {minutes:g}, but the times say {taken:.1f}"
        return [FieldProblem("delivery_minutes", why, row)]
    delivery["delivered_at"] = delivered
    delivery["delivery_minutes"] = taken if minutes is None else minutes
    return []


def _each(
    given: Sequence[Mapping[str, Any]],
    check: Callable[[Mapping[str, Any], int], Order],
    what: str,
) -> list[Order]:
    checked: list[Order] = []
    problems: list[FieldProblem] = []
    for row, one in enumerate(given):
        try:
            checked.append(check(one, row))
        except InvalidInput as error:
            problems += error.problems
    if problems:
        raise InvalidInput(f"Some of the {what} cannot be used", problems=problems)
    return checked
