from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foodex.core.errors import FoodexError, InvalidInput, PaymentRequired
from foodex.domain.ledger import Balance, EntryKind, Posting, affordable, posted
from foodex.domain.money import MAX_AMOUNT_MINOR
from foodex.domain.purchases import first_id, new_id

NOW = datetime(2026, 3, 6, tzinfo=UTC)
EMPTY = Balance(account="ada", currency="EUR")


def posting(kind: EntryKind, amount_minor: int) -> Posting:
    return Posting(kind=kind, amount_minor=amount_minor, reference="r", subject="s", who="w")


@given(st.lists(st.tuples(st.sampled_from(EntryKind), st.integers(-9, 9)), max_size=40))
def test_the_balance_is_the_sum_of_the_entries_and_never_negative(
    moves: list[tuple[EntryKind, int]],
) -> None:
    balance, made = EMPTY, []
    for kind, amount in moves:
        try:
            balance, entry = posted(balance, posting(kind, amount), NOW)
        except FoodexError:
            continue
        made.append(entry)
        assert entry.balance_minor == balance.balance_minor == sum(e.amount_minor for e in made)
        assert balance.balance_minor >= 0
    assert [entry.number for entry in made] == list(range(1, len(made) + 1))
    assert balance.entries == len(made)


@pytest.mark.parametrize(
    ("kind", "amount"),
    [
        (EntryKind.TOP_UP, 0),
        (EntryKind.TOP_UP, -1),
        (EntryKind.CHARGE, 1),
        (EntryKind.RESERVATION, 0),
        (EntryKind.RELEASE, -1),
        (EntryKind.REFUND, 0),
        (EntryKind.CORRECTION, 0),
        (EntryKind.TOP_UP, MAX_AMOUNT_MINOR + 1),
    ],
)
def test_each_kind_has_its_sign(kind: EntryKind, amount: int) -> None:
    rich = Balance(account="ada", currency="EUR", balance_minor=100)
    with pytest.raises(InvalidInput):
        posted(rich, posting(kind, amount), NOW)


def test_what_is_missing_is_told() -> None:
    with pytest.raises(PaymentRequired) as refused:
        posted(EMPTY, posting(EntryKind.CHARGE, -3), NOW)
    assert refused.value.extra == {"balance_minor": 0, "price_minor": 3, "currency": "EUR"}
    assert refused.value.status == 402


@given(st.integers(0, 50), st.lists(st.integers(0, 20)))
def test_as_many_are_paid_as_the_balance_covers_first_come_first_served(
    balance: int, prices: list[int]
) -> None:
    left = balance
    for price, paid in zip(prices, affordable(balance, prices), strict=True):
        assert paid == (price <= left)
        left -= price if paid else 0
    assert left >= 0


def test_ids_are_in_order_of_time() -> None:
    later = datetime(2026, 3, 7, tzinfo=UTC)
    assert first_id(NOW) < new_id(NOW) < first_id(later) < new_id(later)
    assert len({new_id(NOW) for _ in range(100)}) == 100
    assert {len(new_id(NOW)), len(new_id(later))} == {32}
