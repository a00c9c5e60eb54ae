"""The ledger's SQL."""

from collections.abc import AsyncGenerator, Iterable, Sequence
from datetime import date, datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from foodex.domain.ledger import (
    Balance,
    Entry,
    EntryFilter,
    EntryKind,
    Price,
    Reservation,
    Usage,
)
from foodex.services.accounts.tables import balances, entries, reservations

STREAM_ROWS: Final = 1_000
"""Rows fetched at a time where all are read."""

_ENTRY: Final = sa.select(entries, balances.c.currency).join(
    balances, balances.c.account_id == entries.c.account_id
)

_CHANGE: Final = (
    sa.update(balances)
    .where(balances.c.account_id == sa.bindparam("of"))
    .values(balance_minor=sa.bindparam("balance"), entries=sa.bindparam("number"))
)


async def open_account(
    connection: AsyncConnection, account: str, currency: str, at: datetime
) -> None:
    """Make an account with nothing in it, unless there is one."""
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    statement = insert(balances).values(
        account_id=account, currency=currency, balance_minor=0, entries=0, opened_at=at
    )
    await connection.execute(statement.on_conflict_do_nothing())


async def balance(connection: AsyncConnection, account: str) -> Balance | None:
    """An account as it stands."""
    found = await connection.execute(_balance_of(account))
    row = found.one_or_none()
    return None if row is None else _balance(row)


async def locked(connection: AsyncConnection, account: str) -> Balance | None:
    """An account, which nobody else changes until this transaction ends."""
    row = (await connection.execute(_balance_of(account).with_for_update())).one_or_none()
    return None if row is None else _balance(row)


async def locked_all(connection: AsyncConnection, accounts: Iterable[str]) -> dict[str, Balance]:
    """Those accounts that there are, which nobody else changes until this transaction ends.

    Everybody locks accounts in one order, so that no two wait for each other in a circle.
    """
    found = await connection.execute(
        sa.select(balances)
        .where(balances.c.account_id.in_(list(accounts)))
        .order_by(balances.c.account_id)
        .with_for_update()
    )
    return {row.account_id: _balance(row) for row in found}


async def balances_after(
    connection: AsyncConnection, after: str | None, limit: int
) -> tuple[Balance, ...]:
    """Accounts by id."""
    statement = sa.select(balances).order_by(balances.c.account_id).limit(limit)
    if after is not None:
        statement = statement.where(balances.c.account_id > after)
    return tuple(_balance(row) for row in await connection.execute(statement))


async def add(connection: AsyncConnection, after: Balance, made: Sequence[Entry]) -> None:
    """Write entries of one locked account, and the balance after them."""
    await add_all(connection, [after], made)


async def add_all(
    connection: AsyncConnection, after: Iterable[Balance], made: Sequence[Entry]
) -> None:
    """Write entries of locked accounts, and each one's balance after them."""
    await connection.execute(sa.insert(entries), [_values(entry) for entry in made])
    await connection.execute(
        _CHANGE,
        [{"of": one.account, "balance": one.balance_minor, "number": one.entries} for one in after],
    )


async def by_reference(connection: AsyncConnection, reference: str) -> Entry | None:
    """The entry of this reference."""
    found = await connection.execute(_ENTRY.where(entries.c.reference == reference))
    row = found.one_or_none()
    return None if row is None else _entry(row)


async def refunded_minor(connection: AsyncConnection, account: str, charge: str) -> int:
    """How much of a charge was given back already."""
    found = await connection.execute(
        sa.select(sa.func.coalesce(sa.func.sum(entries.c.amount_minor), 0)).where(
            entries.c.account_id == account,
            entries.c.subject == charge,
            entries.c.kind == sa.literal_column(f"'{EntryKind.REFUND.value}'"),
        )
    )
    return int(found.scalar_one())


async def page(
    connection: AsyncConnection,
    account: str,
    filter_: EntryFilter,
    *,
    before: int | None,
    limit: int,
) -> tuple[Entry, ...]:
    """Entries of an account, newest first."""
    statement = _filtered(account, filter_).order_by(entries.c.number.desc()).limit(limit)
    if before is not None:
        statement = statement.where(entries.c.number < before)
    return tuple(_entry(row) for row in await connection.execute(statement))


async def stream(
    connection: AsyncConnection, account: str, filter_: EntryFilter
) -> AsyncGenerator[Sequence[Entry], None]:
    """All entries of an account, oldest first, some at a time."""
    after = 0
    while True:
        statement = (
            _filtered(account, filter_)
            .where(entries.c.number > after)
            .order_by(entries.c.number)
            .limit(STREAM_ROWS)
        )
        found = [_entry(row) for row in await connection.execute(statement)]
        if not found:
            return
        after = found[-1].number
        yield found


async def usage(
    connection: AsyncConnection, account: str, since: datetime, until: datetime
) -> tuple[Usage, ...]:
    """Charges of an account by day of UTC and operation, oldest first."""
    # Entries come in the order of time, so what is older is left alone from the newest of it on.
    older = (
        sa.select(entries.c.number)
        .where(entries.c.account_id == account, entries.c.at < since)
        .order_by(entries.c.number.desc())
        .limit(1)
        .scalar_subquery()
    )
    at: sa.ColumnElement[Any] = entries.c.at
    if connection.dialect.name == "postgresql":
        at = sa.func.timezone("UTC", at)
    day = sa.cast(sa.func.date(at), sa.String)
    found = await connection.execute(
        sa.select(
            day.label("day"),
            entries.c.operation,
            sa.func.sum(sa.func.coalesce(entries.c.quantity, 1)).label("quantity"),
            sa.func.sum(-entries.c.amount_minor).label("charged_minor"),
        )
        .where(
            entries.c.account_id == account,
            entries.c.number > sa.func.coalesce(older, 0),
            entries.c.kind == EntryKind.CHARGE.value,
            entries.c.at >= since,
            entries.c.at < until,
        )
        .group_by(day, entries.c.operation)
        .order_by(day, entries.c.operation)
    )
    return tuple(
        Usage(
            day=date.fromisoformat(row.day),
            operation=row.operation or "",
            quantity=int(row.quantity),
            charged_minor=int(row.charged_minor),
        )
        for row in found
    )


async def put_reservations(connection: AsyncConnection, made: Sequence[Reservation]) -> None:
    """Keep new reservations."""
    values = [
        {
            "id": one.id,
            "account_id": one.account,
            "amount_minor": one.amount_minor,
            "left_minor": one.left_minor,
            "at": one.at,
            "closed_at": one.closed_at,
        }
        for one in made
    ]
    await connection.execute(sa.insert(reservations), values)


async def change_reservation(connection: AsyncConnection, reservation: Reservation) -> None:
    """Keep what is left of a reservation."""
    await connection.execute(
        sa.update(reservations)
        .where(reservations.c.id == reservation.id)
        .values(left_minor=reservation.left_minor, closed_at=reservation.closed_at)
    )


async def reservation(connection: AsyncConnection, id_: str) -> Reservation | None:
    """One reservation; it changes only under the lock of its account."""
    return (await reservations_of(connection, [id_])).get(id_)


async def reservations_of(
    connection: AsyncConnection, ids: Sequence[str]
) -> dict[str, Reservation]:
    """Those reservations that there are."""
    found = await connection.execute(sa.select(reservations).where(reservations.c.id.in_(ids)))
    return {
        row.id: Reservation(
            id=row.id,
            account=row.account_id,
            amount_minor=row.amount_minor,
            left_minor=row.left_minor,
            at=row.at,
            closed_at=row.closed_at,
        )
        for row in found
    }


def _balance_of(account: str) -> sa.Select[Any]:
    return sa.select(balances).where(balances.c.account_id == account)


def _filtered(account: str, filter_: EntryFilter) -> sa.Select[Any]:
    statement = _ENTRY.where(entries.c.account_id == account)
    if filter_.kinds:
        statement = statement.where(entries.c.kind.in_([kind.value for kind in filter_.kinds]))
    if filter_.since is not None:
        statement = statement.where(entries.c.at >= filter_.since)
    if filter_.until is not None:
        statement = statement.where(entries.c.at < filter_.until)
    return statement


def _balance(row: sa.Row[Any]) -> Balance:
    return Balance(
        account=row.account_id,
        currency=row.currency,
        balance_minor=row.balance_minor,
        entries=row.entries,
    )


def _values(entry: Entry) -> dict[str, Any]:
    price = entry.price
    return {
        "account_id": entry.account,
        "number": entry.number,
        "kind": entry.kind.value,
        "amount_minor": entry.amount_minor,
        "balance_minor": entry.balance_minor,
        "reference": entry.reference,
        "subject": entry.subject,
        "operation": price and price.operation,
        "model": price and price.model,
        "unit_minor": price and price.unit_minor,
        "quantity": price and price.quantity,
        "who": entry.who,
        "note": entry.note,
        "at": entry.at,
    }


def _entry(row: sa.Row[Any]) -> Entry:
    price = None
    if row.operation is not None:
        price = Price(
            operation=row.operation,
            model=row.model,
            unit_minor=row.unit_minor,
            quantity=row.quantity,
            currency=row.currency,
        )
    return Entry(
        account=row.account_id,
        number=row.number,
        kind=EntryKind(row.kind),
        amount_minor=row.amount_minor,
        balance_minor=row.balance_minor,
        reference=row.reference,
        subject=row.subject,
        price=price,
        who=row.who,
        note=row.note,
        at=row.at,
    )
