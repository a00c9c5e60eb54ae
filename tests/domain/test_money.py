import pytest
from hypothesis import given
from hypothesis import strategies as st

from foodex.core.errors import InvalidInput
from foodex.domain.money import (
    MAX_AMOUNT_MINOR,
    Money,
    checked_amount,
    checked_currency,
    read_amount,
)


@pytest.mark.parametrize(
    ("amount", "currency", "shown"),
    [
        (1234, "EUR", "12.34 EUR"),
        (-5, "EUR", "-0.05 EUR"),
        (1234, "JPY", "1234 JPY"),
        (1234, "KWD", "1.234 KWD"),
        (0, "USD", "0.00 USD"),
    ],
)
def test_money_is_shown_in_whole_units(amount: int, currency: str, shown: str) -> None:
    assert str(Money(amount_minor=amount, currency=currency)) == shown


@pytest.mark.parametrize("value", [1.0, "1", None, True, 0, -1, MAX_AMOUNT_MINOR + 1, float("nan")])
def test_an_amount_is_a_whole_positive_number_within_limits(value: object) -> None:
    with pytest.raises(InvalidInput):
        checked_amount(value)


def test_limits_are_included() -> None:
    assert checked_amount(1) == 1
    assert checked_amount(MAX_AMOUNT_MINOR) == MAX_AMOUNT_MINOR
    assert checked_amount(0, least=0) == 0


@pytest.mark.parametrize("value", ["eur", "EURO", "", "E1R", None, "EUR\n"])
def test_a_currency_is_three_capital_letters(value: object) -> None:
    assert checked_currency("EUR") == "EUR"
    with pytest.raises(InvalidInput):
        checked_currency(value)


@given(st.integers(0, MAX_AMOUNT_MINOR), st.sampled_from(["EUR", "JPY", "KWD"]))
def test_what_is_shown_is_read(amount: int, currency: str) -> None:
    shown = str(Money(amount_minor=amount, currency=currency))
    assert read_amount(shown.removesuffix(f" {currency}"), currency) == amount


@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [("12", "EUR", 1200), ("12.5", "EUR", 1250), (" 0.07 ", "EUR", 7), ("7", "JPY", 7)],
)
def test_amounts_as_people_write_them(text: str, currency: str, minor: int) -> None:
    assert read_amount(text, currency) == minor


@pytest.mark.parametrize(
    ("text", "currency"),
    [
        *(
            (text, "EUR")
            for text in ("", "-1", "+1", "1e3", "1,5", "1.005", ".5", "1.", "x", "\u0661")
        ),
        ("1.5", "JPY"),
        ("1" * 16, "EUR"),
    ],
)
def test_what_is_no_amount(text: str, currency: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_amount(text, currency)
    assert caught.value.problems[0].field == "amount"
