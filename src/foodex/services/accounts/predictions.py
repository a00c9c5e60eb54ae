"""Paid predictions: charged and recorded in one transaction, and only then answered."""

import asyncio
import re
import sqlite3
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final

import sqlalchemy as sa
import structlog
from msgspec.structs import replace

from foodex.core.clock import Clock
from foodex.core.errors import (
    Conflict,
    FieldProblem,
    FoodexError,
    InternalError,
    InvalidInput,
    PaymentRequired,
    Unavailable,
)
from foodex.core.settings import AccountsSettings
from foodex.core.sql import Database
from foodex.domain.ledger import Price, cannot_pay
from foodex.domain.purchases import Bought, Purchase, Receipt, new_id
from foodex.services.accounts.batches import Batches, Key, Known, Outcome, Paid, Refused
from foodex.services.accounts.batches_postgresql import PostgresqlBatches
from foodex.services.accounts.batches_sqlite import SqliteBatches
from foodex.services.accounts.group_commit import GroupCommit
from foodex.services.accounts.prices import PriceList

log = structlog.get_logger("foodex.accounts")

_UNWRITABLE: Final = (sa.exc.SQLAlchemyError, sqlite3.Error, ValueError, TypeError, OverflowError)

_KEY: Final = re.compile(r"[ -~]{1,255}")


def open_batches(database: Database) -> Batches:
    """The batches of this database."""
    return SqliteBatches(database) if database.dialect == "sqlite" else PostgresqlBatches(database)


class PaidPredictions:
    """Sells predictions: what waits becomes one transaction."""

    def __init__(
        self,
        *,
        database: Database,
        settings: AccountsSettings,
        clock: Clock,
        batches: Batches | None = None,
    ) -> None:
        self.prices = PriceList(settings.currency, settings.prices)
        self._batches = batches or open_batches(database)
        self._clock = clock
        self._seconds = settings.commit_seconds
        self._group: GroupCommit[Purchase, Receipt] = GroupCommit(
            self._sell, waiting=settings.waiting, batch=settings.batch
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Within the block predictions are sold."""
        try:
            async with self._group.running():
                yield
        finally:
            await self._batches.close()

    async def buy(self, purchase: Purchase) -> Receipt:
        """Charge and record one prediction; its answer, once both are durable.

        Under an `idempotency_key` that was used before the first answer is given again and
        nothing is charged, whether or not this purchase brings one. Raises `PaymentRequired` with
        `balance_minor` and `price_minor`, `Conflict` for another order under the same key,
        `Overloaded` when too many wait, and `Unavailable` when the database cannot be reached;
        whether it was charged is then only known by asking again under the same key.
        """
        (result,) = await self.buy_many((purchase,))
        if isinstance(result, FoodexError):
            raise result
        return result

    async def buy_many(self, purchases: Sequence[Purchase]) -> Sequence[Receipt | FoodexError]:
        """As `buy`, for some that come at once; they share a commit, and each fares by itself."""
        wrong = {place: error for place, one in enumerate(purchases) if (error := self._wrong(one))}
        at = self._clock.now()
        good = [
            one if one.id else replace(one, id=new_id(at))
            for place, one in enumerate(purchases)
            if place not in wrong
        ]
        results = await self._group.submit_many(good) if good else ()
        if not wrong:
            return results
        told = iter(results)
        return [wrong[p] if p in wrong else next(told) for p in range(len(purchases))]

    def _wrong(self, purchase: Purchase) -> FoodexError | None:
        key = purchase.idempotency_key
        if key is not None and not _KEY.fullmatch(key):
            problem = FieldProblem("Idempotency-Key", "must be 1 to 255 printable characters")
            return InvalidInput("The request cannot be used", problems=[problem])
        try:
            self.prices.of(purchase.operation)
        except FoodexError as error:
            return error
        return None

    async def _sell(self, purchases: Sequence[Purchase]) -> Sequence[Receipt | FoodexError]:
        sale = _Sale(purchases)
        try:
            if keys := sale.keys():
                async with self._in_time():
                    sale.replay(await self._batches.known(keys))
            sale.price(self.prices)
            async with self._in_time():
                await self._commit(sale, sale.priced())
        except Unavailable as error:
            sale.refuse_rest(error)
        return sale.results()

    @asynccontextmanager
    async def _in_time(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._seconds):
                yield
        except TimeoutError:
            error = Unavailable("The database did not answer in time")
            # Who came meanwhile would only wait as long again.
            self._group.refuse_waiting(error)
            raise error from None

    async def _commit(self, sale: "_Sale", places: Sequence[int]) -> None:
        while places:
            batch = [sale.bought[place] for place in places]
            try:
                outcomes = await self._batches.write(batch, self._clock.now())
            except _UNWRITABLE as error:
                # Something in the batch cannot be written; halving finds what it is.
                if len(places) > 1:
                    half = len(places) // 2
                    await self._commit(sale, places[:half])
                    await self._commit(sale, places[half:])
                else:
                    await self._commit_failed(sale, places[0], error)
                return
            places = sale.settle(places, outcomes)

    async def _commit_failed(self, sale: "_Sale", place: int, error: Exception) -> None:
        key = sale.key(place)
        if key is not None:
            # Another process may have written under this key since it was looked up.
            sale.replay(await self._batches.known([key]))
            if sale.results_[place] is not None:
                return
        log.error("a prediction cannot be recorded", error=repr(error)[:500])
        sale.results_[place] = InternalError()


class _Sale:
    """A batch on its way. A key's first purchase leads; the others get what it gets."""

    def __init__(self, purchases: Sequence[Purchase]) -> None:
        self.purchases = purchases
        self.bought: dict[int, Bought] = {}
        self.results_: list[Receipt | FoodexError | None] = [None] * len(purchases)
        self._leaders: dict[Key, int] = {}
        for place, purchase in enumerate(purchases):
            if purchase.idempotency_key is not None:
                self._leaders.setdefault((purchase.account, purchase.idempotency_key), place)

    def key(self, place: int) -> Key | None:
        purchase = self.purchases[place]
        key = purchase.idempotency_key
        return None if key is None else (purchase.account, key)

    def keys(self) -> Sequence[Key]:
        return list(self._leaders)

    def price(self, prices: PriceList) -> None:
        """Say what those cost that have no result yet and are to be answered by themselves."""
        for place, purchase in enumerate(self.purchases):
            if self.results_[place] is not None or self._leader(place) != place:
                continue
            answer = purchase.answer
            if answer is None:
                self.results_[place] = InternalError("The purchase brings no answer")
            else:
                price = prices.of(purchase.operation, answer.model)
                self.bought[place] = Bought(purchase=purchase, answer=answer, price=price)

    def priced(self) -> Sequence[int]:
        return list(self.bought)

    def replay(self, known: Mapping[Key, Known]) -> None:
        for place in range(len(self.purchases)):
            key = self.key(place)
            if key is not None and key in known and self.results_[place] is None:
                self.results_[place] = _replayed(self.purchases[place], known[key])

    def settle(self, places: Sequence[int], outcomes: Sequence[Outcome]) -> Sequence[int]:
        """Take in what became of these places; those to be written again."""
        again = []
        for place, outcome in zip(places, outcomes, strict=True):
            bought = self.bought[place]
            if isinstance(outcome, Paid):
                self.results_[place] = _receipt(bought, outcome.balance_minor)
            elif isinstance(outcome, Refused):
                self.results_[place] = _refused(
                    bought.price, outcome.balance_minor, outcome.currency
                )
            else:
                again.append(place)
        return again

    def refuse_rest(self, error: FoodexError) -> None:
        self.results_ = [error if result is None else result for result in self.results_]

    def results(self) -> Sequence[Receipt | FoodexError]:
        return [
            self._follow(place) if result is None else result
            for place, result in enumerate(self.results_)
        ]

    def _leader(self, place: int) -> int:
        if not self._leaders:
            return place
        key = self.key(place)
        return place if key is None else self._leaders[key]

    def _follow(self, place: int) -> Receipt | FoodexError:
        leader = self._leader(place)
        result = self.results_[leader]
        if leader == place or result is None:
            return InternalError()
        if self.purchases[place].told_apart_by() != self.purchases[leader].told_apart_by():
            return _other_order()
        return replace(result, replayed=True) if isinstance(result, Receipt) else result


def _receipt(bought: Bought, balance_minor: int) -> Receipt:
    return Receipt(
        prediction_id=bought.purchase.id,
        answer=bought.answer.answer,
        price_minor=bought.price.amount_minor,
        currency=bought.price.currency,
        balance_minor=balance_minor,
    )


def _refused(price: Price, balance_minor: int, currency: str | None) -> PaymentRequired | Conflict:
    if currency not in (None, price.currency):
        return Conflict(f"The account is kept in {currency}, prices are in {price.currency}")
    return cannot_pay(balance_minor, price.amount_minor, price.currency)


def _replayed(purchase: Purchase, known: Known) -> Receipt | Conflict:
    if purchase.told_apart_by() != known.fingerprint:
        return _other_order()
    if known.answer is None:
        return Conflict("The answer that was given under this Idempotency-Key is no longer kept")
    return Receipt(
        prediction_id=known.prediction_id,
        answer=known.answer,
        price_minor=known.price_minor,
        currency=known.currency,
        balance_minor=known.balance_minor,
        replayed=True,
    )


def _other_order() -> Conflict:
    return Conflict("This Idempotency-Key was used for another order")
