"""Amounts of money as people type them."""

from decimal import Decimal, InvalidOperation

from foodex.core.errors import FieldProblem, InvalidInput


def minor_units(text: str) -> int:
    """`12`, `12.5`, `12,50`, `-3.00` in minor units.

    Raises `InvalidInput` for what is no amount, or has more than two digits after the point.
    """
    plain = "".join(text.split()).replace(",", ".").replace("−", "-")
    try:
        minor = Decimal(plain) * 100
        if not minor.is_finite() or minor != minor.to_integral_value():
            raise InvalidOperation
    except InvalidOperation:
        problem = FieldProblem("amount", "must be an amount such as 12.50")
        raise InvalidInput("The amount cannot be read", problems=[problem]) from None
    return int(minor)
