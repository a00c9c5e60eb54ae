"""Who pays for a forecast, and how: charged, recorded and answered, or merely answered."""

import hashlib
from typing import Final

import msgspec

from foodex.core.access import Principal, Role
from foodex.core.clock import Clock, SystemClock
from foodex.core.errors import FoodexError, InternalError
from foodex.core.gathering import Gathering
from foodex.core.limits import RawHeaders
from foodex.domain.forecasts import Answered, Ask
from foodex.domain.purchases import Answer, Purchase, Receipt, new_id
from foodex.ports.accounts import Sales
from foodex.ports.ml import Ml
from foodex.services.gateway.answers import told

OPERATION: Final = "eta"

_encode = msgspec.json.Encoder().encode


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
    of the model, and those who buy then share a transaction: while one is written, the forecasts
    of the next are made.
    """

    def __init__(self, ml: Ml, sales: Sales | None, clock: Clock | None = None) -> None:
        """Without `sales` nobody pays."""
        self._sales, self._clock = sales, clock or SystemClock()
        self._made: Gathering[Ask, Answered] = Gathering(ml.answers)

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
            return _encode(told((await self._made.ask(ask)).forecast)), ()
        answer = failed = None
        try:
            answer = _answer(await self._made.ask(ask))
        except FoodexError as error:
            # Under a key that was used before there is an answer, whatever goes wrong now.
            if idempotency_key is None:
                raise
            failed = error
        purchase = Purchase(
            account=account,
            who=principal.name,
            order=body,
            key_id=principal.key_id or "",
            operation=OPERATION,
            idempotency_key=idempotency_key,
            fingerprint=None if idempotency_key is None else _fingerprint(ask, body),
            answer=answer,
            id=new_id(self._clock.now()),
        )
        try:
            receipt = await self._sales.buy(purchase)
        except InternalError as error:
            raise failed or error from None
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
