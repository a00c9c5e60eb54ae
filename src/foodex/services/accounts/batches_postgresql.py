"""Batches on PostgreSQL: one statement, which is one transaction and one round trip."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from foodex.core.sql import Database, translated
from foodex.domain.purchases import Bought
from foodex.services.accounts.batches import (
    Key,
    Known,
    Outcome,
    Paid,
    Refused,
    Undecided,
    reference_of,
)

log = structlog.get_logger("foodex.accounts")

_KNOWN: Final = """
SELECT i.account_id, i.key, i.prediction_id, i.fingerprint, p.answer, p.price_minor, p.currency,
    e.balance_minor
FROM unnest($1::text[], $2::text[]) AS asked (account_id, key)
JOIN accounts_idempotency i ON i.account_id = asked.account_id AND i.key = asked.key
JOIN accounts_predictions p ON p.id = i.prediction_id
JOIN accounts_entries e ON e.account_id = p.account_id AND e.number = p.entry_number
"""

# Accounts are locked in one order by everybody, so that two writers never wait for each other in
# a circle; under the lock the balances are the newest, whatever the statement's snapshot says.
# Prices are never negative, so what the running sum allows is a beginning of each account's list.
_WRITE: Final = """
WITH asked AS (
    SELECT * FROM unnest(
        $2::int[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
        $9::bigint[], $10::bigint[], $11::bigint[], $12::text[], $13::text[], $14::bigint[],
        $15::bytea[], $16::bytea[], $17::bytea[], $18::bytea[], $19::text[], $20::bytea[],
        $21::text[]
    ) AS a (
        place, account_id, id, reference, currency, operation, price_model,
        unit_minor, quantity, price_minor, who, model, version,
        order_body, features, inputs, answer, key, fingerprint,
        key_id
    )
), locked AS (
    SELECT account_id, balance_minor, entries, currency FROM accounts_balances
    WHERE account_id = ANY($3::text[]) ORDER BY account_id FOR UPDATE
), weighed AS (
    SELECT a.*,
        l.balance_minor - (sum(a.price_minor) OVER so_far)::bigint AS left_minor,
        l.entries + row_number() OVER so_far AS number
    FROM asked a JOIN locked l ON l.account_id = a.account_id AND l.currency = a.currency
    WINDOW so_far AS (PARTITION BY a.account_id ORDER BY a.place)
), paid AS (
    SELECT * FROM weighed WHERE left_minor >= 0
), debited AS (
    UPDATE accounts_balances b
    SET balance_minor = b.balance_minor - d.price_minor, entries = b.entries + d.entries
    FROM (
        SELECT account_id, sum(price_minor)::bigint AS price_minor, count(*) AS entries
        FROM paid GROUP BY account_id
    ) d
    WHERE b.account_id = d.account_id
), entered AS (
    INSERT INTO accounts_entries (account_id, number, kind, amount_minor, balance_minor, reference,
        subject, operation, model, unit_minor, quantity, who, note, at)
    SELECT account_id, number, 'charge', -price_minor, left_minor, reference, id,
        operation, price_model, unit_minor, quantity, who, '', $1::timestamptz
    FROM paid
), recorded AS (
    INSERT INTO accounts_predictions (id, account_id, entry_number, key_id, at, operation, model,
        version, price_minor, currency, order_body, features, inputs, answer)
    SELECT id, account_id, number, key_id, $1::timestamptz, operation, model, version,
        price_minor, currency, order_body, features, inputs, answer
    FROM paid
), remembered AS (
    INSERT INTO accounts_idempotency (account_id, key, prediction_id, fingerprint)
    SELECT account_id, key, id, fingerprint FROM paid WHERE key IS NOT NULL
)
SELECT a.place, p.left_minor, l.balance_minor, l.currency
FROM asked a LEFT JOIN locked l ON l.account_id = a.account_id
LEFT JOIN paid p ON p.place = a.place
ORDER BY a.place
"""


class PostgresqlBatches:
    """Implements `Batches` over one connection that it keeps."""

    def __init__(self, database: Database) -> None:
        # The statement is a transaction by itself, so there is none to begin and to commit.
        self._engine = database.engine.execution_options(isolation_level="AUTOCOMMIT")
        self._connection: AsyncConnection | None = None

    async def known(self, keys: Iterable[Key]) -> Mapping[Key, Known]:
        """What is recorded under these keys."""
        asked = list(keys)
        columns = ([account for account, _ in asked], [key for _, key in asked])
        return {
            (row[0], row[1]): Known(
                prediction_id=row[2],
                fingerprint=row[3],
                answer=row[4],
                price_minor=row[5],
                currency=row[6],
                balance_minor=row[7],
            )
            for row in await self._run(_KNOWN, columns)
        }

    async def write(self, batch: Sequence[Bought], at: datetime) -> Sequence[Outcome]:
        """Charge and record the members in one transaction; durable on return."""
        rows = await self._run(_WRITE, _columns(batch, at))
        outcomes: list[Outcome] = []
        left_now: dict[str, int] = {
            bought.purchase.account: balance or 0
            for bought, (_, _, balance, _) in zip(batch, rows, strict=True)
        }
        for bought, (_, left, _, _) in zip(batch, rows, strict=True):
            if left is not None:
                left_now[bought.purchase.account] = left
        for bought, (_, left, _, currency) in zip(batch, rows, strict=True):
            now = left_now[bought.purchase.account]
            if left is not None:
                outcomes.append(Paid(left))
            elif currency == bought.price.currency and bought.price.amount_minor <= now:
                outcomes.append(Undecided())
            else:
                outcomes.append(Refused(now, currency))
        return outcomes

    async def close(self) -> None:
        """Let the connection go; the next batch opens another."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            await connection.close()

    async def _run(self, statement: str, columns: Sequence[Any]) -> Sequence[Any]:
        try:
            with translated(at_the_edge=True):
                if self._connection is None:
                    self._connection = await self._engine.connect()
                found = await self._connection.exec_driver_sql(statement, tuple(columns))
                return found.all()
        except BaseException as error:
            if isinstance(error, sa.exc.DBAPIError) and not error.connection_invalidated:
                raise
            # Broken off or lost: the connection may be in the middle of something.
            await asyncio.shield(self._drop())
            raise

    async def _drop(self) -> None:
        if self._connection is not None:
            connection, self._connection = self._connection, None
            try:
                await connection.invalidate()
                await connection.close()
            except (sa.exc.SQLAlchemyError, OSError) as error:
                log.warning("a lost connection could not be closed", error=repr(error))


def _columns(batch: Sequence[Bought], at: datetime) -> Sequence[Any]:
    purchases = [bought.purchase for bought in batch]
    answers = [bought.answer for bought in batch]
    prices = [bought.price for bought in batch]
    return (
        at,
        list(range(len(batch))),
        [p.account for p in purchases],
        [p.id for p in purchases],
        [reference_of(p.id) for p in purchases],
        [p.currency for p in prices],
        [p.operation for p in prices],
        [p.model for p in prices],
        [p.unit_minor for p in prices],
        [p.quantity for p in prices],
        [p.amount_minor for p in prices],
        [p.who for p in purchases],
        [a.model for a in answers],
        [a.version for a in answers],
        [p.order for p in purchases],
        [a.features for a in answers],
        [a.inputs for a in answers],
        [a.answer for a in answers],
        [p.idempotency_key for p in purchases],
        [p.told_apart_by() if p.idempotency_key is not None else None for p in purchases],
        [p.key_id for p in purchases],
    )
