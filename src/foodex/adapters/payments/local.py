"""A payment provider in this process, for demonstrations and tests: nobody pays anything."""

import hashlib
from collections.abc import Mapping

import msgspec

from foodex.adapters.payments.signing import HEADER, check_signature, sign
from foodex.core.clock import Clock
from foodex.core.errors import BadRequest
from foodex.domain.money import Money
from foodex.domain.payments import Notice, PaymentState, ProviderPayment


class LocalPayments:
    """Implements `ports.payments.Payments`; `pay` is what a provider's page would do."""

    name = "local"

    def __init__(self, *, secret: str, tolerance_seconds: float, clock: Clock) -> None:
        self._secret, self._tolerance_seconds, self._clock = secret, tolerance_seconds, clock

    async def create_payment(self, payment_id: str, amount: Money) -> ProviderPayment:
        """Prepare a payment. Safe to repeat."""
        provider_id = f"local-{hashlib.sha256(payment_id.encode()).hexdigest()[:24]}"
        return ProviderPayment(provider_id=provider_id, pay_at=f"local://pay/{provider_id}")

    def pay(
        self, provider_id: str, amount: Money, state: PaymentState = PaymentState.PAID
    ) -> tuple[bytes, dict[str, str]]:
        """Body and headers of the webhook which tells that this was paid, or failed."""
        notice = Notice(
            provider_id=provider_id,
            state=state,
            amount_minor=amount.amount_minor,
            currency=amount.currency,
        )
        body = msgspec.json.encode(notice)
        headers = {
            "content-type": "application/json",
            HEADER: sign(self._secret, body, self._clock.now()),
        }
        return body, headers

    def read_notice(self, body: bytes, headers: Mapping[str, str]) -> Notice:
        """What a signed webhook tells; `NotAuthenticated` where it is not signed, or not lately."""
        check_signature(self._secret, body, headers, self._clock.now(), self._tolerance_seconds)
        try:
            return msgspec.json.decode(body, type=Notice)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise BadRequest(f"The notice cannot be read: {error}") from None
