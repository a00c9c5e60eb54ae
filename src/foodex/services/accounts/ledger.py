"""The ledger's rules."""

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from datetime import datetime
from typing import Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from foodex.core.access import who
from foodex.core.clock import Clock
from foodex.core.errors import Conflict, FieldProblem, InvalidInput, NotFound
from foodex.core.settings import AccountsSettings
from foodex.core.sql import Database
from foodex.domain.ledger import (
    EVERY_ENTRY,
    Balance,
    EntriesPage,
    Entry,
    EntryFilter,
    EntryKind,
    Posting,
    Price,
    Reservation,
    Usage,
    Verification,
    checked_name,
    checked_note,
    no_account,
    posted,
    used_for_something_else,
)
from foodex.domain.money import MAX_AMOUNT_MINOR, checked_amount, checked_currency
from foodex.services.accounts import audit_rows, ledger_rows
from foodex.services.accounts.csv_files import csv_line
from foodex.services.accounts.reserving import OTHER_AT_THIS_MOMENT, Reserving, Wish

ENTRY_COLUMNS: Final = (
    "number",
    "at",
    "kind",
    "amount_minor",
    "balance_minor",
    "currency",
    "operation",
    "model",
    "unit_minor",
    "quantity",
    "reference",
    "subject",
    "who",
    "note",
)


class Ledger:
    """Implements `ports.accounts.Ledger`."""

    def __init__(self, *, database: Database, settings: AccountsSettings, clock: Clock) -> None:
        self._database, self._settings, self._clock = database, settings, clock
        self._reserving = Reserving(database, clock)

    async def open_account(self, account: str, currency: str | None = None) -> Balance:
        """Make an account with nothing in it; the one that is there, if it has that currency."""
        checked_name(account, "account")
        wanted = checked_currency(currency or self._settings.currency)
        async with self._database.transaction() as connection:
            await ledger_rows.open_account(connection, account, wanted, self._clock.now())
            found = await _there(connection, account)
        if found.currency != wanted:
            raise Conflict(f"The account '{account}' is kept in {found.currency}")
        return found

    async def balance(self, account: str) -> Balance:
        """An account as it stands."""
        async with self._database.connect() as connection:
            found = await ledger_rows.balance(connection, account)
        if found is None:
            raise no_account(account)
        return found

    async def balances(self, *, after: str | None = None, limit: int = 100) -> tuple[Balance, ...]:
        """Accounts by id."""
        async with self._database.connect() as connection:
            return await ledger_rows.balances_after(connection, after, self._limit(limit))

    async def top_up(
        self, account: str, amount_minor: int, *, reference: str | None = None, note: str = ""
    ) -> Entry:
        """Add money; under a `reference` that was used before, nothing more is added."""
        checked_amount(amount_minor)
        return await self._post(account, EntryKind.TOP_UP, amount_minor, reference, note)

    async def correct(
        self, account: str, amount_minor: int, *, reference: str | None = None, note: str
    ) -> Entry:
        """Put a mistake right, up or down; the note says which."""
        checked_amount(amount_minor, least=-MAX_AMOUNT_MINOR)
        if not note.strip():
            raise InvalidInput(problems=[FieldProblem("note", "must say what is corrected")])
        return await self._post(account, EntryKind.CORRECTION, amount_minor, reference, note)

    async def refund(
        self,
        account: str,
        charge: str,
        amount_minor: int | None = None,
        *,
        reference: str | None = None,
        note: str = "",
    ) -> Entry:
        """Give back a charge, or a part of it, and never more than was charged."""
        if amount_minor is not None:
            checked_amount(amount_minor)

        async def rest(connection: AsyncConnection, _: Balance) -> int:
            charged = await ledger_rows.by_reference(connection, charge)
            if charged is None or charged.account != account or charged.kind != EntryKind.CHARGE:
                raise NotFound(f"There is no charge '{charge}' on this account")
            given = await ledger_rows.refunded_minor(connection, account, charge)
            left = -charged.amount_minor - given
            if left == 0 or (amount_minor or 0) > left:
                raise Conflict(f"Of the charge {left} can be given back", left_minor=left)
            return amount_minor or left

        return await self._post(
            account, EntryKind.REFUND, amount_minor, reference, note, subject=charge, rule=rest
        )

    async def reserve(self, account: str, price: Price, *, reference: str) -> Reservation:
        """Set the price aside for a job, whose id is the reference; it can be paid for sure then.

        Raises `PaymentRequired` where the balance does not cover it.
        """
        checked_name(reference, "reference")
        checked_amount(price.amount_minor)
        wish = Wish(account=account, price=price, reference=reference, who=who())
        return await self._reserving.reserve(wish)

    async def charge_reserved(self, id_: str, price: Price, *, reference: str) -> Reservation:
        """Charge a part of what is reserved; a `reference` used before charges nothing more."""
        checked_name(reference, "reference")
        amount = checked_amount(price.amount_minor)
        charge = f"job:{id_}:{reference}"
        async with self._reserved(id_) as (connection, before, reservation):
            if (known := await ledger_rows.by_reference(connection, charge)) is not None:
                if known.amount_minor != -amount or known.account != reservation.account:
                    raise used_for_something_else(reference)
                return reservation
            if amount > reservation.left_minor or price.currency != before.currency:
                raise Conflict(
                    f"Of the reservation {reservation.left_minor} {before.currency} are left",
                    left_minor=reservation.left_minor,
                )
            postings = [
                _release(reservation, amount, f"release:{id_}:{reference}"),
                Posting(
                    kind=EntryKind.CHARGE,
                    amount_minor=-amount,
                    reference=charge,
                    subject=id_,
                    price=price,
                    who=who(),
                ),
            ]
            await write(connection, before, postings, self._clock.now())
            after = replace(reservation, left_minor=reservation.left_minor - amount)
            await ledger_rows.change_reservation(connection, after)
        return after

    async def release(self, id_: str) -> Reservation:
        """Give back what is left of a reservation and close it. Safe to repeat."""
        async with self._reserved(id_) as (connection, before, reservation):
            if reservation.closed_at is not None:
                return reservation
            now = self._clock.now()
            if (rest := reservation.left_minor) > 0:
                posting = _release(reservation, rest, f"release:{id_}")
                await write(connection, before, [posting], now)
            after = replace(reservation, left_minor=0, closed_at=now)
            await ledger_rows.change_reservation(connection, after)
        return after

    async def reservation(self, id_: str) -> Reservation:
        """One reservation."""
        async with self._database.connect() as connection:
            return await _reservation(connection, id_)

    async def entries(
        self,
        account: str,
        filter_: EntryFilter = EVERY_ENTRY,
        *,
        before: int | None = None,
        limit: int = 100,
    ) -> EntriesPage:
        """One page of an account's entries, newest first."""
        limit = self._limit(limit)
        async with self._database.connect() as connection:
            await _there(connection, account)
            found = await ledger_rows.page(
                connection, account, filter_, before=before, limit=limit + 1
            )
        more = len(found) > limit
        return EntriesPage(
            entries=found[:limit], next_before=found[limit - 1].number if more else None
        )

    async def entries_csv(
        self,
        account: str,
        filter_: EntryFilter = EVERY_ENTRY,
    ) -> AsyncIterator[bytes]:
        """An account's entries, oldest first, as CSV."""
        async with self._database.connect() as connection:
            currency = (await _there(connection, account)).currency
            yield csv_line(ENTRY_COLUMNS)
            async with aclosing(ledger_rows.stream(connection, account, filter_)) as pages:
                async for page in pages:
                    yield b"".join(csv_line(_cells(entry, currency)) for entry in page)

    async def usage(self, account: str, *, since: datetime, until: datetime) -> tuple[Usage, ...]:
        """What an account bought by day, oldest first; days without purchases are left out."""
        async with self._database.connect() as connection:
            return await ledger_rows.usage(connection, account, since, until)

    async def verify(self) -> Verification:
        """Recompute the whole ledger and say whether it holds."""
        async with self._database.connect() as connection:
            await audit_rows.see_one_state(connection)
            return await audit_rows.verify(connection)

    def _limit(self, limit: int) -> int:
        return checked_amount(limit, "limit", most=self._settings.page_rows)

    @asynccontextmanager
    async def _changing(self, account: str) -> AsyncIterator[tuple[AsyncConnection, Balance]]:
        try:
            async with self._database.transaction() as connection:
                before = await ledger_rows.locked(connection, account)
                if before is None:
                    raise no_account(account)
                yield connection, before
        except sa.exc.IntegrityError as error:
            raise Conflict(OTHER_AT_THIS_MOMENT) from error

    @asynccontextmanager
    async def _reserved(
        self, id_: str
    ) -> AsyncIterator[tuple[AsyncConnection, Balance, Reservation]]:
        account = (await self.reservation(id_)).account
        async with self._changing(account) as (connection, before):
            yield connection, before, await _reservation(connection, id_)

    async def _post(
        self,
        account: str,
        kind: EntryKind,
        amount_minor: int | None,
        reference: str | None,
        note: str,
        *,
        subject: str | None = None,
        rule: Callable[[AsyncConnection, Balance], Awaitable[int]] | None = None,
    ) -> Entry:
        name = checked_name(reference, "reference") if reference else secrets.token_hex(12)
        checked_note(note)
        async with self._changing(account) as (connection, before):
            known = await ledger_rows.by_reference(connection, f"{kind}:{name}")
            if known is not None:
                asked = known.amount_minor if amount_minor is None else amount_minor
                if known.account != account or known.amount_minor != asked:
                    raise used_for_something_else(name)
                return known
            amount = amount_minor if rule is None else await rule(connection, before)
            posting = Posting(
                kind=kind,
                amount_minor=amount or 0,
                reference=f"{kind}:{name}",
                subject=subject or name,
                who=who(),
                note=note,
            )
            made = await write(connection, before, [posting], self._clock.now())
        return made[0]


async def write(
    connection: AsyncConnection, before: Balance, postings: Sequence[Posting], at: datetime
) -> Sequence[Entry]:
    """Post entries on a locked account, as part of the caller's transaction."""
    made = []
    for posting in postings:
        before, entry = posted(before, posting, at)
        made.append(entry)
    await ledger_rows.add(connection, before, made)
    return made


async def _there(connection: AsyncConnection, account: str) -> Balance:
    found = await ledger_rows.balance(connection, account)
    if found is None:
        raise no_account(account)
    return found


async def _reservation(connection: AsyncConnection, id_: str) -> Reservation:
    found = await ledger_rows.reservation(connection, id_)
    if found is None:
        raise NotFound(f"There is no reservation '{id_}'")
    return found


def _release(reservation: Reservation, amount_minor: int, reference: str) -> Posting:
    return Posting(
        kind=EntryKind.RELEASE,
        amount_minor=amount_minor,
        reference=reference,
        subject=reservation.id,
        who=who(),
    )


def _cells(entry: Entry, currency: str) -> Sequence[object]:
    price = entry.price
    return (
        entry.number,
        entry.at,
        entry.kind.value,
        entry.amount_minor,
        entry.balance_minor,
        currency,
        price and price.operation,
        price and price.model,
        price and price.unit_minor,
        price and price.quantity,
        entry.reference,
        entry.subject,
        entry.who,
        entry.note,
    )
