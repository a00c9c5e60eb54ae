"""One order as a form has it, read into the fields of an order; and the same order for a shell."""

import json
import shlex
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from foodex.core.errors import FieldProblem, InvalidInput
from foodex.domain.deliveries import FIELD, Kind
from foodex.domain.money import read_amount

EXAMPLE: Final[Mapping[str, str]] = {
    "store_lat": "60.169500",
    "store_lon": "24.945200",
    "customer_lat": "60.176400",
    "customer_lon": "24.937200",
    "items": "3",
    "subtotal": "34.50",
    "currency": "EUR",
}
"""What stands in the form before anybody typed: an order across the demonstration's city."""

_NUMBERS: Final = (Kind.NUMBER, Kind.INTEGER)


def read_order(given: Mapping[str, str]) -> dict[str, Any]:
    """The order of a form; fields left empty are left out.

    Raises `InvalidInput` naming each field that cannot be read.
    """
    order: dict[str, Any] = {}
    problems: list[FieldProblem] = []
    for name, text in given.items():
        field = FIELD.get(name)
        if field is None or not field.known_at_order or not (text := text.strip()):
            continue
        order[name] = _value(text) if field.kind in _NUMBERS else text
    for read in (_subtotal, _placed, _further):
        try:
            order |= read(given)
        except InvalidInput as error:
            problems += error.problems
    if problems:
        raise InvalidInput("The order cannot be used", problems=problems)
    if "subtotal_minor" not in order:
        order.pop("currency", None)
    return order


def curl(base: str, order: Mapping[str, Any], model: str | None) -> str:
    """The command that asks for the same answer; the key is left to be filled in."""
    query = "?explain=true" + (f"&model={quote(model)}" if model else "")
    lines = (
        "curl -s",
        shlex.quote(f"{base}api/v1/eta{query}"),
        "-H 'Authorization: Bearer YOUR_KEY'",
        f"--json {shlex.quote(json.dumps(order, ensure_ascii=False))}",
    )
    return " \\\n  ".join(lines)


def _value(text: str) -> float | int | str:
    """A number as people write it; what is none is left as it is, for the API to say so."""
    plain = text.replace(",", ".")
    try:
        return int(plain)
    except ValueError:
        pass
    try:
        return float(plain)
    except ValueError:
        return text


def _subtotal(given: Mapping[str, str]) -> dict[str, int]:
    text = given.get("subtotal", "").strip().replace(",", ".")
    if not text:
        return {}
    currency = given.get("currency", "").strip() or "EUR"
    return {"subtotal_minor": read_amount(text, currency, "subtotal_minor")}


def _placed(given: Mapping[str, str]) -> dict[str, str]:
    text = given.get("placed", "").strip()
    if not text:
        return {}
    try:
        placed = datetime.fromisoformat(text)
        zone = ZoneInfo(given.get("zone") or "UTC")
    except (ValueError, ZoneInfoNotFoundError):
        problem = FieldProblem("placed_at", f"'{text}' is no time")
        raise InvalidInput(problems=[problem]) from None
    return {"placed_at": placed.replace(tzinfo=zone).isoformat()}


def _further(given: Mapping[str, str]) -> dict[str, Any]:
    return dict(_pairs(given.get("further", "")))


def _pairs(text: str) -> Iterator[tuple[str, Any]]:
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        name, found, value = line.partition("=")
        if not found or not name.strip():
            problem = FieldProblem("further", f"line {number} is not NAME = VALUE")
            raise InvalidInput(problems=[problem])
        yield name.strip(), _value(value.strip())
