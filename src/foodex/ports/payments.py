"""The seam to a payment provider: it takes people's money and tells us so."""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from foodex.domain.money import Money
from foodex.domain.payments import Notice, ProviderPayment


class Payments(Protocol):
    """A payment provider."""

    @property
    def name(self) -> str:
        """What the provider is called in the ledger."""
        ...

    async def create_payment(self, payment_id: str, amount: Money) -> ProviderPayment:
        """Have the provider prepare a payment, known there by our id. Safe to repeat."""
        ...

    def read_notice(self, body: bytes, headers: Mapping[str, str]) -> Notice:
        """What the provider tells with a signed request (a webhook); header names in lower case.

        Raises `NotAuthenticated` where the signature is wrong or too old, and `BadRequest` where
        what is signed cannot be read.
        """
        ...


@runtime_checkable
class PretendedPayments(Payments, Protocol):
    """A provider of demonstrations, with whom nobody pays anything."""

    def pay(self, provider_id: str, amount: Money) -> tuple[bytes, dict[str, str]]:
        """Body and headers of the signed notice which tells that this was paid."""
        ...
