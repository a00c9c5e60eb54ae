"""The ledger: entries that are only ever added, whose sum is the balance, which is never negative.

A reservation takes its amount out of the balance at once. What is then used of it is written as a
release and a charge of the same amount, and what is not used as a release, so that whatever was
reserved is in the end charged or given back, and the sum needs no exceptions.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime
from enum import StrEnum
from typing import Final

from foodex.core.errors import Conflict, FieldProblem, InvalidInput, NotFound, PaymentRequired
from foodex.domain.money import MAX_AMOUNT_MINOR, Money, checked_amount

NAME_LIMIT: Final = 200
"""Most characters of an account's id, a reference or who did it."""
NOTE_LIMIT: Final = 1_000


class EntryKind(StrEnum):
    """Why the balance changed."""

    TOP_UP = "top_up"
    CHARGE = "charge"
    RESERVATION = "reservation"
    RELEASE = "release"
    REFUND = "refund"
    CORRECTION = "correction"


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What was bought and for how much: `quantity` times `unit_minor`."""

    operation: str
    unit_minor: int
    currency: str
    model: str | None = None
    quantity: int = 1

    @property
    def amount_minor(self) -> int:
        """The whole price."""
        return self.unit_minor * self.quantity


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """An account as it stands; `entries` is how many there are, and the number of the last."""

    account: str
    currency: str
    balance_minor: int = 0
    entries: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Posting:
    """An entry to be: the amount is added to the balance, so what is taken is negative.

    `reference` is unique for ever and makes a repeated request harmless; `subject` is what the
    entry is about (a prediction, a job, a provider's payment, the charge that is refunded).
    """

    kind: EntryKind
    amount_minor: int
    reference: str
    subject: str
    who: str
    price: Price | None = None
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry(Posting):
    """An entry: the `number`th of its account, after which the balance was `balance_minor`."""

    account: str
    number: int
    balance_minor: int
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class EntriesPage:
    """Some entries, newest first; `next_before` is the cursor of the next page, if any."""

    entries: tuple[Entry, ...]
    next_before: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryFilter:
    """Which entries: of these kinds (all, if none), from `since` on, before `until`."""

    kinds: tuple[EntryKind, ...] = ()
    since: datetime | None = None
    until: datetime | None = None


EVERY_ENTRY: Final = EntryFilter()


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What an account bought of one operation on one day of UTC: how many, and for how much."""

    day: date
    operation: str
    quantity: int
    charged_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """Money set aside for a job: `left_minor` of it is neither charged nor given back yet."""

    id: str
    account: str
    amount_minor: int
    left_minor: int
    at: datetime
    closed_at: datetime | None = None


class Fault(StrEnum):
    """What an audit of the ledger can find."""

    BALANCE_IS_NOT_THE_SUM = "balance-is-not-the-sum"
    ENTRY_IS_MISSING = "entry-is-missing"
    RUNNING_BALANCE = "running-balance"
    BELOW_ZERO = "below-zero"
    PREDICTION_WITHOUT_CHARGE = "prediction-without-charge"
    CHARGE_WITHOUT_PREDICTION = "charge-without-prediction"
    PREDICTION_PRICE = "prediction-price"
    RESERVATION = "reservation"
    PAYMENT = "payment"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One thing that does not hold: what was expected and what was found, where."""

    fault: Fault
    account: str
    subject: str
    expected: str
    found: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """Whether the ledger holds, of how much, and the first differences if not.

    `totals` are the sums of all entries by currency, which is what all accounts have together.
    """

    holds: bool
    accounts: int
    entries: int
    predictions: int
    totals: tuple[Money, ...] = ()
    differences: tuple[Difference, ...] = ()


_SIGNS: Final = {
    EntryKind.TOP_UP: (1, MAX_AMOUNT_MINOR),
    EntryKind.CHARGE: (-MAX_AMOUNT_MINOR, 0),
    EntryKind.RESERVATION: (-MAX_AMOUNT_MINOR, -1),
    EntryKind.RELEASE: (1, MAX_AMOUNT_MINOR),
    EntryKind.REFUND: (1, MAX_AMOUNT_MINOR),
    EntryKind.CORRECTION: (-MAX_AMOUNT_MINOR, MAX_AMOUNT_MINOR),
}


def posted(balance: Balance, posting: Posting, at: datetime) -> tuple[Balance, Entry]:
    """The account after an entry, and the entry.

    Raises `InvalidInput` for an amount that the kind cannot have, and `PaymentRequired` where the
    balance would fall below zero.
    """
    least, most = _SIGNS[posting.kind]
    amount = checked_amount(posting.amount_minor, least=least, most=most)
    if amount == 0 and posting.kind is EntryKind.CORRECTION:
        raise InvalidInput(problems=[FieldProblem("amount_minor", "must not be zero")])
    left = balance.balance_minor + amount
    if left < 0:
        raise cannot_pay(balance.balance_minor, -amount, balance.currency)
    if left > MAX_AMOUNT_MINOR:
        problem = FieldProblem("amount_minor", f"would bring the balance above {MAX_AMOUNT_MINOR}")
        raise InvalidInput("The account cannot hold so much", problems=[problem])
    after = replace(balance, balance_minor=left, entries=balance.entries + 1)
    entry = Entry(
        account=balance.account,
        number=after.entries,
        kind=posting.kind,
        amount_minor=amount,
        balance_minor=left,
        reference=posting.reference,
        subject=posting.subject,
        price=posting.price,
        who=posting.who,
        note=posting.note,
        at=at,
    )
    return after, entry


def affordable(balance_minor: int, prices_minor: Iterable[int]) -> tuple[bool, ...]:
    """Which of these can be paid, first come first served: one that is too dear bars no other."""
    answers = []
    for price in prices_minor:
        answers.append(price <= balance_minor)
        balance_minor -= price if price <= balance_minor else 0
    return tuple(answers)


def cannot_pay(balance_minor: int, price_minor: int, currency: str) -> PaymentRequired:
    """The error for a price that the balance does not cover."""
    return PaymentRequired(balance_minor=balance_minor, price_minor=price_minor, currency=currency)


def no_account(account: str) -> NotFound:
    """The error for an account that is not there."""
    return NotFound(f"There is no account '{account}'")


def used_for_something_else(reference: str) -> Conflict:
    """The error for a reference under which something else was done."""
    return Conflict(f"The reference '{reference}' was used for something else")


def checked_name(value: str, field: str) -> str:
    """An account's id or a reference: 1 to 200 printable ASCII characters without spaces."""
    if not re.fullmatch(rf"[!-~]{{1,{NAME_LIMIT}}}", value):
        problem = FieldProblem(field, f"must be 1 to {NAME_LIMIT} visible ASCII characters")
        raise InvalidInput("The request cannot be used", problems=[problem])
    return value


def checked_note(value: str) -> str:
    """A note: up to 1,000 characters."""
    if len(value) > NOTE_LIMIT or "\0" in value:
        problem = FieldProblem("note", f"must be at most {NOTE_LIMIT} characters of text")
        raise InvalidInput("The request cannot be used", problems=[problem])
    return value
