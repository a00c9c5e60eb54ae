"""Setting prices aside; reservations that are asked for at the same time share a commit."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import sqlalchemy as sa
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from foodex.core.clock import Clock
from foodex.core.errors import Conflict, FoodexError
from foodex.core.gathering import Gathering
from foodex.core.sql import Database
from foodex.domain.ledger import (
    Balance,
    Entry,
    EntryKind,
    Posting,
    Price,
    Reservation,
    no_account,
    posted,
    used_for_something_else,
)
from foodex.services.accounts import ledger_rows

log = structlog.get_logger("foodex.accounts")

OTHER_AT_THIS_MOMENT: Final = "The reference was used for something else at this moment"
_MOST: Final = 128
"""Reservations of one transaction: it holds the accounts of all of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A price to be set aside, under a reference, for somebody."""

    account: str
    price: Price
    reference: str
    who: str


class Reserving:
    """Sets prices aside, many in one transaction.

    First come, first served within it: who cannot pay is refused alone, and bars nobody.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock = database, clock
        self._asked: Gathering[Wish, Reservation] = Gathering(self._reserve, most=_MOST)

    async def reserve(self, wish: Wish) -> Reservation:
        """Set a price aside, or find what is set aside under its reference."""
        return await self._asked.ask(wish)

    async def _reserve(self, wishes: Sequence[Wish]) -> Sequence[Reservation | FoodexError]:
        try:
            async with self._database.transaction() as connection:
                return await _reserve(connection, wishes, self._clock.now())
        except sa.exc.DBAPIError as error:
            if len(wishes) == 1 and isinstance(error, sa.exc.IntegrityError):
                return [Conflict(OTHER_AT_THIS_MOMENT)]
            if len(wishes) == 1:
                raise
        # What one of them has that the database does not take is not the others' fault.
        log.warning("reservations are written one by one", reservations=len(wishes))
        answers: list[Reservation | FoodexError] = []
        for wish in wishes:
            try:
                answers += await self._reserve([wish])
            except FoodexError as error:
                answers.append(error)
        return answers


async def _reserve(
    connection: AsyncConnection, wishes: Sequence[Wish], at: datetime
) -> Sequence[Reservation | FoodexError]:
    there = await ledger_rows.locked_all(connection, {wish.account for wish in wishes})
    # Looked for under the locks: of one account's reservations, none comes in between.
    known = await ledger_rows.reservations_of(connection, [wish.reference for wish in wishes])
    now = _Now(there, known, at)
    answers = [now.answer(wish) for wish in wishes]
    if now.entries:
        await ledger_rows.add_all(connection, now.changed(), now.entries)
        await ledger_rows.put_reservations(connection, now.made)
    return answers


class _Now:
    """Accounts and reservations as they are while the members come one after another."""

    def __init__(
        self, there: Mapping[str, Balance], known: Mapping[str, Reservation], at: datetime
    ) -> None:
        self._there, self._known, self._at = dict(there), dict(known), at
        self.entries: list[Entry] = []
        self.made: list[Reservation] = []

    def answer(self, wish: Wish) -> Reservation | FoodexError:
        try:
            return self._reserved(wish)
        except FoodexError as error:
            return error

    def changed(self) -> Iterable[Balance]:
        return [self._there[name] for name in dict.fromkeys(one.account for one in self.entries)]

    def _reserved(self, wish: Wish) -> Reservation:
        before = self._there.get(wish.account)
        if before is None:
            raise no_account(wish.account)
        amount = wish.price.amount_minor
        if (known := self._known.get(wish.reference)) is not None:
            if known.account != wish.account or known.amount_minor != amount:
                raise used_for_something_else(wish.reference)
            return known
        if wish.price.currency != before.currency:
            raise Conflict(f"The account is kept in {before.currency}")
        posting = Posting(
            kind=EntryKind.RESERVATION,
            amount_minor=-amount,
            reference=f"reservation:{wish.reference}",
            subject=wish.reference,
            price=wish.price,
            who=wish.who,
        )
        self._there[wish.account], entry = posted(before, posting, self._at)
        made = Reservation(
            id=wish.reference,
            account=wish.account,
            amount_minor=amount,
            left_minor=amount,
            at=self._at,
        )
        self._known[wish.reference] = made
        self.entries.append(entry)
        self.made.append(made)
        return made
