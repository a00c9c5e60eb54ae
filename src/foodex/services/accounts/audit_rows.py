"""The audit's SQL: each question finds what does not hold, and nothing when all is well."""

from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from foodex.domain.ledger import Difference, Fault, Verification
from foodex.domain.money import Money
from foodex.services.accounts.tables import balances, entries, predictions

MOST_DIFFERENCES: Final = 100
"""Differences told of each kind."""

# Each answers (account, subject, expected, found).
_QUESTIONS: Final = {
    Fault.ENTRY_IS_MISSING: """
        SELECT account_id, 'entry ' || number, place, number FROM (
            SELECT account_id, number,
                row_number() OVER (PARTITION BY account_id ORDER BY number) AS place
            FROM accounts_entries
        ) e WHERE number <> place
        UNION ALL
        SELECT b.account_id, 'entries', b.entries, coalesce(e.n, 0)
        FROM accounts_balances b LEFT JOIN (
            SELECT account_id, count(*) AS n FROM accounts_entries GROUP BY account_id
        ) e ON e.account_id = b.account_id
        WHERE b.entries <> coalesce(e.n, 0)
    """,
    Fault.BALANCE_IS_NOT_THE_SUM: """
        SELECT b.account_id, 'balance', coalesce(e.total, 0), b.balance_minor
        FROM accounts_balances b LEFT JOIN (
            SELECT account_id, sum(amount_minor) AS total FROM accounts_entries GROUP BY account_id
        ) e ON e.account_id = b.account_id
        WHERE b.balance_minor <> coalesce(e.total, 0)
        UNION ALL
        SELECT e.account_id, 'balance', sum(e.amount_minor), NULL
        FROM accounts_entries e LEFT JOIN accounts_balances b ON b.account_id = e.account_id
        WHERE b.account_id IS NULL GROUP BY e.account_id
    """,
    Fault.RUNNING_BALANCE: """
        SELECT account_id, 'entry ' || number, running, balance_minor FROM (
            SELECT account_id, number, balance_minor,
                sum(amount_minor) OVER (PARTITION BY account_id ORDER BY number) AS running
            FROM accounts_entries
        ) e WHERE running <> balance_minor
    """,
    Fault.BELOW_ZERO: """
        SELECT account_id, 'entry ' || number, 0, balance_minor
        FROM accounts_entries WHERE balance_minor < 0
        UNION ALL
        SELECT account_id, 'balance', 0, balance_minor
        FROM accounts_balances WHERE balance_minor < 0
    """,
    Fault.PREDICTION_WITHOUT_CHARGE: """
        SELECT p.account_id, p.id, 'entry ' || p.entry_number, e.reference
        FROM accounts_predictions p LEFT JOIN accounts_entries e
            ON e.account_id = p.account_id AND e.number = p.entry_number
        WHERE e.reference IS NULL OR e.reference <> 'prediction:' || p.id OR e.kind <> 'charge'
    """,
    Fault.CHARGE_WITHOUT_PREDICTION: """
        SELECT e.account_id, e.reference, 'a prediction', 'none'
        FROM accounts_entries e LEFT JOIN accounts_predictions p
            ON p.id = e.subject AND p.account_id = e.account_id AND p.entry_number = e.number
        WHERE e.reference LIKE 'prediction:%' AND p.id IS NULL
    """,
    Fault.PREDICTION_PRICE: """
        SELECT p.account_id, p.id, p.price_minor, -e.amount_minor
        FROM accounts_predictions p JOIN accounts_entries e
            ON e.account_id = p.account_id AND e.number = p.entry_number
        WHERE p.price_minor <> -e.amount_minor
            OR e.unit_minor IS NULL OR e.unit_minor * e.quantity <> p.price_minor
    """,
    # What a reservation took, less what was released of it, is what is left of it.
    Fault.RESERVATION: """
        SELECT r.account_id, r.id, -e.total, r.left_minor
        FROM accounts_reservations r LEFT JOIN (
            SELECT account_id, subject, sum(amount_minor) AS total
            FROM accounts_entries WHERE kind IN ('reservation', 'release')
            GROUP BY account_id, subject
        ) e ON e.account_id = r.account_id AND e.subject = r.id
        WHERE e.subject IS NULL OR -e.total <> r.left_minor
            OR (r.closed_at IS NOT NULL AND r.left_minor <> 0)
        UNION ALL
        SELECT e.account_id, e.reference, NULL, e.amount_minor
        FROM accounts_entries e LEFT JOIN accounts_reservations r
            ON r.id = e.subject AND r.account_id = e.account_id
        WHERE e.kind IN ('reservation', 'release') AND r.id IS NULL
    """,
    Fault.PAYMENT: """
        SELECT p.account_id, 'payment ' || p.id, p.amount_minor, e.amount_minor
        FROM accounts_payments p LEFT JOIN accounts_entries e ON e.reference = 'payment:' || p.id
        WHERE (p.state = 'paid') <> (e.reference IS NOT NULL)
            OR e.amount_minor <> p.amount_minor OR e.account_id <> p.account_id
    """,
}


async def see_one_state(connection: AsyncConnection) -> None:
    """Let all that this transaction will read be of one moment; it reads nothing before."""
    if connection.dialect.name == "postgresql":
        await connection.execute(
            sa.text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        )


async def verify(connection: AsyncConnection) -> Verification:
    """Recompute everything and tell what does not hold."""
    differences: list[Difference] = []
    for fault, question in _QUESTIONS.items():
        found = await connection.execute(sa.text(f"{question} LIMIT {MOST_DIFFERENCES}"))
        differences += [_difference(fault, row) for row in found]
    counts = [
        int((await connection.execute(sa.select(sa.func.count()).select_from(table))).scalar_one())
        for table in (balances, entries, predictions)
    ]
    return Verification(
        holds=not differences,
        accounts=counts[0],
        entries=counts[1],
        predictions=counts[2],
        totals=await _totals(connection),
        differences=tuple(differences),
    )


async def _totals(connection: AsyncConnection) -> tuple[Money, ...]:
    found = await connection.execute(
        sa.select(balances.c.currency, sa.func.sum(entries.c.amount_minor))
        .join(balances, balances.c.account_id == entries.c.account_id)
        .group_by(balances.c.currency)
        .order_by(balances.c.currency)
    )
    return tuple(Money(amount_minor=int(row[1]), currency=row[0]) for row in found)


def _difference(fault: Fault, row: sa.Row[Any]) -> Difference:
    account, subject, expected, found = tuple(row)
    return Difference(
        fault=fault,
        account=account,
        subject=subject,
        expected=_told(expected),
        found=_told(found),
    )


def _told(value: Any) -> str:
    return "nothing" if value is None else str(value)
