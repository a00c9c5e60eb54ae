"""Money: whole minor units of one currency, and what counts as an amount."""

import re
from dataclasses import dataclass
from typing import Final

from foodex.core.errors import FieldProblem, InvalidInput

MAX_AMOUNT_MINOR: Final = 10**12
"""No single amount is larger; sums of a million of them still fit a database's 64 bits."""

_CURRENCY: Final = re.compile(r"[A-Z]{3}")
# ISO 4217's currencies whose minor unit is not a hundredth.
_WHOLE: Final = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
_THOUSANDTHS: Final = "BHD IQD JOD KWD LYD OMR TND"


@dataclass(frozen=True, slots=True, kw_only=True)
class Money:
    """An amount in the currency's minor units (cents of EUR)."""

    amount_minor: int
    currency: str

    def __str__(self) -> str:
        digits = _digits(self.currency)
        whole, rest = divmod(abs(self.amount_minor), 10**digits)
        sign = "-" if self.amount_minor < 0 else ""
        return f"{sign}{whole}{f'.{rest:0{digits}}' if digits else ''} {self.currency}"


def checked_amount(
    value: object, field: str = "amount_minor", *, least: int = 1, most: int = MAX_AMOUNT_MINOR
) -> int:
    """The value if it is a whole number of minor units within the limits; else `InvalidInput`."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise _wrong(field, "must be a whole number of minor units")
    if not least <= value <= most:
        raise _wrong(field, f"must be {least} to {most}")
    return value


def read_amount(text: str, currency: str, field: str = "amount") -> int:
    """Minor units of an amount as people write it (`12.50` EUR is 1250); else `InvalidInput`."""
    digits = _digits(currency)
    fraction = rf"(?:\.([0-9]{{1,{digits}}}))?" if digits else "()"
    found = re.fullmatch(rf"([0-9]{{1,15}}){fraction}", text.strip())
    if found is None:
        example = Money(amount_minor=1250, currency=currency)
        raise _wrong(field, f"'{text}' is no amount such as {str(example).partition(' ')[0]}")
    whole, rest = int(found[1]), int((found[2] or "").ljust(digits, "0") or 0)
    return whole * int(10**digits) + rest


def _digits(currency: str) -> int:
    return 0 if currency in _WHOLE else 3 if currency in _THOUSANDTHS else 2


def checked_currency(value: object, field: str = "currency") -> str:
    """The value if it looks like an ISO 4217 code; else `InvalidInput`."""
    if not isinstance(value, str) or not _CURRENCY.fullmatch(value):
        raise _wrong(field, "must be three capital letters, as in EUR")
    return value


def _wrong(field: str, message: str) -> InvalidInput:
    return InvalidInput("The amount cannot be used", problems=[FieldProblem(field, message)])
