"""Who pays for a forecast, and how: charged, recorded and answered, or merely answered."""

import hashlib
from collections.abc import Sequence
from typing import Final

import msgspec

from foodex.core.access import Principal, Role
from foodex.core.clock import Clock, SystemClock
from foodex.core.errors import FoodexError, InternalError
from foodex.core.gathering import Gathering
from foodex.core.limits import RawHeaders
from foodex.domain.forecasts import Answered, Ask
from foodex.domain.purchases import Answer, Purchase, Receipt, new_ids
from foodex.ports.accounts import Sales
from foodex.ports.ml import Ml
from foodex.services.gateway.answers import written

OPERATION: Final = "eta"

_encode = msgspec.json.Encoder().encode


class _Wanted(msgspec.Struct, frozen=True):
    """What a client asks to buy."""

    principal: Principal
    account: str
    ask: Ask
    body: bytes
    idempotency_key: str | None


_Sold = tuple[bytes, RawHeaders]


class Desk:
    """Answers orders: clients buy their forecasts, others are given them.

    Clients are told by their role and their account. Whoever waits at the same time shares a call
    of the model, and those who buy share a transaction: while one is written, the forecasts of the
    next are made.
    """

    def __init__(self, ml: Ml, sales: Sales | None, clock: Clock | None = None) -> None:
        """Without `sales` nobody pays."""
        self._ml, self._sales, self._clock = ml, sales, clock or SystemClock()
        self._given: Gathering[Ask, Answered] = Gathering(ml.answers)
        self._sold: Gathering[_Wanted, _Sold] = Gathering(self._sell, at_once=2)

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
            return written((await self._given.ask(ask)).forecast), ()
        return await self._sold.ask(_Wanted(principal, account, ask, body, idempotency_key))

    async def _sell(self, wanted: Sequence[_Wanted]) -> Sequence[_Sold | FoodexError]:
        answers: Sequence[Answered | FoodexError]
        try:
            answers = await self._ml.answers([one.ask for one in wanted])
        except FoodexError as error:
            answers = [error] * len(wanted)
        # Under a key that was used before there is an answer, whatever went wrong now.
        pairs = [
            (one, answered)
            for one, answered in zip(wanted, answers, strict=True)
            if one.idempotency_key is not None or not isinstance(answered, FoodexError)
        ]
        receipts = iter(await self._buy(pairs))
        return [
            answered
            if isinstance(answered, FoodexError) and one.idempotency_key is None
            else _told(next(receipts), answered)
            for one, answered in zip(wanted, answers, strict=True)
        ]

    async def _buy(
        self, pairs: Sequence[tuple[_Wanted, Answered | FoodexError]]
    ) -> Sequence[Receipt | FoodexError]:
        assert self._sales is not None
        ids = new_ids(self._clock.now(), len(pairs))
        purchases = [_purchase(*pair, id_) for pair, id_ in zip(pairs, ids, strict=True)]
        try:
            return await self._sales.buy_many(purchases) if purchases else ()
        except FoodexError as error:
            return [error] * len(purchases)


def _purchase(one: _Wanted, answered: Answered | FoodexError, id_: str) -> Purchase:
    key, answer = one.idempotency_key, None
    if not isinstance(answered, FoodexError):
        forecast = answered.forecast
        answer = Answer(
            answer=written(forecast),
            model=forecast.model,
            version=forecast.version,
            features=answered.features,
            inputs=answered.inputs,
        )
    return Purchase(
        account=one.account,
        who=one.principal.name,
        order=one.body,
        key_id=one.principal.key_id or "",
        operation=OPERATION,
        idempotency_key=key,
        fingerprint=None if key is None else _fingerprint(one.ask, one.body),
        answer=answer,
        id=id_,
    )


def _told(receipt: Receipt | FoodexError, answered: Answered | FoodexError) -> _Sold | FoodexError:
    if isinstance(receipt, Receipt):
        return receipt.answer, _paid(receipt)
    if isinstance(receipt, InternalError) and isinstance(answered, FoodexError):
        # There was nothing to sell, and this is why.
        return answered
    return receipt


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
