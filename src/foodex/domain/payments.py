"""Payments: money on its way from a provider into the ledger."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class PaymentState(StrEnum):
    """A payment waits for the payer, is paid, or never will be."""

    PENDING = "pending"
    PAID = "paid"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderPayment:
    """A payment as the provider knows it, and where the payer goes to pay."""

    provider_id: str
    pay_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """A payment as we know it."""

    id: str
    account: str
    amount_minor: int
    currency: str
    provider: str
    provider_id: str | None
    pay_at: str
    state: PaymentState
    who: str
    created_at: datetime
    changed_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentsPage:
    """Some payments, newest first; `next_before` is the cursor of the next page, if any."""

    payments: tuple[Payment, ...]
    next_before: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """What a provider told: the payment's id there, its new state, and the amount that moved."""

    provider_id: str
    state: PaymentState
    amount_minor: int
    currency: str
