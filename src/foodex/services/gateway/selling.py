"""Who pays for a forecast, and how: charged, recorded and answered, or merely answered."""

import hashlib
from collections.abc import Sequence
from typing import Final

import msgspec

from foodex.core.access import Principal, Role
from foodex.core.clock import Clock, SystemClock
from foodex.core.errors import FoodexError
from foodex.core.gathering import Gathering
from foodex.core.limits import RawHeaders
from foodex.domain.forecasts import Answered, Ask
from foodex.domain.purchases import Answer, Purchase, Receipt, new_id
from foodex.ports.accounts import Sales, Work
from foodex.ports.ml import Ml
from foodex.services.gateway.answers import told

OPERATION: Final = "eta"

_encode = msgspec.json.Encoder().encode


def answers(ml: Ml) -> Work:
    """Makes the answers of purchases whose `asked` is an `Ask`; what is recorded is the JSON."""

    async def work(purchases: Sequence[Purchase]) -> Sequence[Answer | FoodexError]:
        found = await ml.answers([purchase.asked for purchase in purchases])
        return [one if isinstance(one, FoodexError) else _answer(one) for one in found]

    return work


def _answer(answered: Answered) -> Answer:
    forecast = answered.forecast
    return Answer(
        answer=_encode(told(forecast)),
        model=forecast.model,
        version=forecast.version,
        features=answered.features,
        inputs=answered.inputs,
    )


class Desk:
    """Answers orders: clients buy their forecasts, others are given them.

    Clients are told by their role and their account. Whoever waits at the same time shares a call
    of the model, and those who buy share a transaction too.
    """

    def __init__(self, ml: Ml, sales: Sales | None, clock: Clock | None = None) -> None:
        """Without `sales` nobody pays."""
        self._sales, self._clock = sales, clock or SystemClock()
        self._given: Gathering[Ask, Answered] = Gathering(ml.answers)

    async def answer(
        self, principal: Principal, ask: Ask, body: bytes, idempotency_key: str | None
    ) -> tuple[bytes, RawHeaders]:
        """The answer as JSON, and the headers that tell what was paid.

        Args:
            principal: who asks.
            ask: what.
            body: the order as it was sent.
            idempotency_key: under it, the same is answered again and charged once.
        """
        account = principal.account
        if self._sales is None or account is None or Role.CLIENT not in principal.roles:
            return _encode(told((await self._given.ask(ask)).forecast)), ()
        purchase = Purchase(
            account=account,
            who=principal.name,
            order=body,
            key_id=principal.key_id or "",
            operation=OPERATION,
            idempotency_key=idempotency_key,
            fingerprint=None if idempotency_key is None else _fingerprint(ask, body),
            asked=ask,
            id=new_id(self._clock.now()),
        )
        receipt = await self._sales.buy(purchase)
        return receipt.answer, _paid(receipt)


def _fingerprint(ask: Ask, body: bytes) -> bytes:
    """Tells apart what is asked under one key: another order, another model, why or not why."""
    asked = hashlib.sha256(body)
    if ask.model is not None or ask.explain:
        asked.update(_encode((ask.model, ask.explain)))
    return asked.digest()


def _paid(receipt: Receipt) -> RawHeaders:
    headers = (
        (b"foodex-prediction-id", receipt.prediction_id.encode()),
        (b"foodex-price-minor", b"%d" % receipt.price_minor),
        (b"foodex-balance-minor", b"%d" % receipt.balance_minor),
        (b"foodex-currency", receipt.currency.encode()),
    )
    return (*headers, (b"idempotency-replayed", b"true")) if receipt.replayed else headers
