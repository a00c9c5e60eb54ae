"""Batches on SQLite: statements on the event loop, and the commit too where the disk is quick.

The statements of a batch touch pages in memory and take microseconds each; handing each to a
thread would cost more than it does, and each time wait for the interpreter's lock. The commit
waits for the disk: as soon as that takes long it goes to a thread, as moving the log into the
file always does.
"""

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final, TypeVar

import msgspec
import structlog

from foodex.core.errors import Unavailable
from foodex.core.sql import Database, translated
from foodex.domain.ledger import affordable
from foodex.domain.purchases import Bought
from foodex.services.accounts.batches import Key, Known, Outcome, Paid, Refused, reference_of

log = structlog.get_logger("foodex.accounts")

T = TypeVar("T")

BUSY_SECONDS: Final = 10.0
"""How long a batch waits for another process's write."""
QUICK_SECONDS: Final = 0.001
"""A commit that is expected to take longer leaves the event loop."""
TIDY_ROWS: Final = 1_500
"""Predictions after which the log is moved into the file: about 16 MB. Pages of indexes are written
many times over and moved once, so longer is faster on the whole, and its pauses are longer too."""
CACHE_KIBIBYTES: Final = 16 << 10
"""Pages kept in memory; SQLite's own 2 MB hold too few of an index that many accounts write to."""
PAUSE_SECONDS: Final = 0.002
"""Between two tries to get the write lock from another process."""

_KNOWN: Final = """
SELECT i.prediction_id, i.fingerprint, p.answer, p.price_minor, p.currency, e.balance_minor
FROM accounts_idempotency i
JOIN accounts_predictions p ON p.id = i.prediction_id
JOIN accounts_entries e ON e.account_id = p.account_id AND e.number = p.entry_number
WHERE i.account_id = ? AND i.key = ?
"""
_STATES: Final = """
SELECT account_id, balance_minor, entries, currency FROM accounts_balances
WHERE account_id IN (SELECT value FROM json_each(?))
"""
_DEBIT: Final = """
UPDATE accounts_balances SET balance_minor = ?, entries = ? WHERE account_id = ?
"""
_ENTER: Final = """
INSERT INTO accounts_entries (account_id, number, kind, amount_minor, balance_minor, reference,
    subject, operation, model, unit_minor, quantity, who, note, at)
VALUES (?, ?, 'charge', ?, ?, ?, ?, ?, ?, ?, ?, ?, '', ?)
"""
_RECORD: Final = """
INSERT INTO accounts_predictions (id, account_id, entry_number, key_id, at, operation, model,
    version, price_minor, currency, order_body, features, inputs, answer)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_REMEMBER: Final = """
INSERT INTO accounts_idempotency (account_id, key, prediction_id, fingerprint) VALUES (?, ?, ?, ?)
"""


class SqliteBatches:
    """Implements `Batches` over a connection of its own, which takes its turn with the others."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._path = database.engine.url.database or ""
        self._connection: sqlite3.Connection | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="commit")
        self._usual_seconds = 0.0
        self._rows_in_log = 0
        self._tidying: asyncio.Future[None] | None = None

    async def known(self, keys: Iterable[Key]) -> Mapping[Key, Known]:
        """What is recorded under these keys."""
        with translated(at_the_edge=True):
            connection = await self._opened()
            found = {key: connection.execute(_KNOWN, key).fetchone() for key in keys}
        return {
            key: Known(
                prediction_id=row[0],
                fingerprint=row[1],
                answer=row[2],
                price_minor=row[3],
                currency=row[4],
                balance_minor=row[5],
            )
            for key, row in found.items()
            if row is not None
        }

    async def write(self, batch: Sequence[Bought], at: datetime) -> Sequence[Outcome]:
        """Charge and record the members in one transaction; durable on return."""
        async with self._database.alone():
            with translated(at_the_edge=True):
                connection = await self._opened()
                await _begin(connection)
                try:
                    outcomes = _write(connection, batch, at)
                    await self._commit(connection)
                except BaseException as error:
                    with suppress(sqlite3.Error):
                        connection.rollback()
                    if isinstance(error, sqlite3.OperationalError):
                        # The disk is full or gone; what is there later is opened anew.
                        await self.close()
                    raise
        self._tidy(connection, len(batch))
        return outcomes

    async def close(self) -> None:
        """Let the connection go; the next batch opens another."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            await self._in_thread(connection.close)
        self._tidying = None

    async def _commit(self, connection: sqlite3.Connection) -> None:
        if self._usual_seconds < QUICK_SECONDS:
            seconds = _timed(connection.commit)
        else:
            seconds = await self._in_thread(lambda: _timed(connection.commit))
        # One slow commit is enough to leave the loop, a row of quick ones brings back.
        self._usual_seconds += (seconds - self._usual_seconds) / 8

    def _tidy(self, connection: sqlite3.Connection, rows: int) -> None:
        """Move the log into the file when it is long, while this batch is being answered."""
        self._rows_in_log += rows
        if self._rows_in_log >= TIDY_ROWS:
            self._rows_in_log = 0
            loop = asyncio.get_running_loop()
            self._tidying = loop.run_in_executor(self._thread, _move_log, connection)

    async def _opened(self) -> sqlite3.Connection:
        if self._tidying is not None:
            await asyncio.wait([self._tidying])
            self._tidying = None
        if self._connection is None:
            self._connection = await self._in_thread(self._open)
        return self._connection

    def _open(self) -> sqlite3.Connection:
        # Nothing is waited for inside SQLite, where it would hold up the event loop.
        connection = sqlite3.connect(
            self._path, timeout=0, isolation_level=None, check_same_thread=False
        )
        try:
            for pragma in (
                "journal_mode=WAL",
                "synchronous=FULL",
                "wal_autocheckpoint=0",
                f"cache_size=-{CACHE_KIBIBYTES}",
            ):
                connection.execute(f"PRAGMA {pragma}")
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    async def _in_thread(self, work: Callable[[], T]) -> T:
        """Run to its end, whatever happens to who waits: a connection is one caller's at a time."""
        running = asyncio.get_running_loop().run_in_executor(self._thread, work)
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            await asyncio.wait([running])
            raise


def _timed(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _move_log(connection: sqlite3.Connection) -> None:
    try:
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
    except sqlite3.Error as error:
        # The log only stays longer than it might; what is in it is safe.
        log.warning("the log cannot be moved into the file", error=repr(error))


async def _begin(connection: sqlite3.Connection) -> None:
    """Take the write lock; other processes' writes are waited for without holding up the loop."""
    loop = asyncio.get_running_loop()
    until = loop.time() + BUSY_SECONDS
    while True:
        try:
            connection.execute("BEGIN IMMEDIATE")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                raise
            if loop.time() > until:
                raise Unavailable("Another process keeps the database busy") from error
        await asyncio.sleep(PAUSE_SECONDS)


def _write(
    connection: sqlite3.Connection, batch: Sequence[Bought], at: datetime
) -> Sequence[Outcome]:
    when = at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
    by_account: dict[str, list[int]] = {}
    for place, bought in enumerate(batch):
        by_account.setdefault(bought.purchase.account, []).append(place)
    outcomes: list[Outcome] = [Refused(0, None)] * len(batch)
    entries, records, keys, debits = [], [], [], []
    asked = msgspec.json.encode(list(by_account)).decode()
    for account, balance, number, currency in connection.execute(_STATES, (asked,)).fetchall():
        places = by_account[account]
        # A price in another currency is more than any balance.
        amounts = [
            price.amount_minor if price.currency == currency else balance + 1
            for price in [batch[place].price for place in places]
        ]
        paid = affordable(balance, amounts)
        for place, amount, affords in zip(places, amounts, paid, strict=True):
            if not affords:
                outcomes[place] = Refused(balance, currency)
                continue
            balance, number = balance - amount, number + 1
            outcomes[place] = Paid(balance)
            bought = batch[place]
            purchase, answer, price = bought.purchase, bought.answer, bought.price
            id_, operation = purchase.id, price.operation
            entries.append(
                (
                    account,
                    number,
                    -amount,
                    balance,
                    reference_of(id_),
                    id_,
                    operation,
                    price.model,
                    price.unit_minor,
                    price.quantity,
                    purchase.who,
                    when,
                )
            )
            records.append(
                (
                    id_,
                    account,
                    number,
                    purchase.key_id,
                    when,
                    operation,
                    answer.model,
                    answer.version,
                    amount,
                    currency,
                    purchase.order,
                    answer.features,
                    answer.inputs,
                    answer.answer,
                )
            )
            if purchase.idempotency_key is not None:
                keys.append((account, purchase.idempotency_key, id_, purchase.told_apart_by()))
        debits.append((balance, number, account))
    connection.executemany(_DEBIT, debits)
    connection.executemany(_ENTER, entries)
    connection.executemany(_RECORD, records)
    connection.executemany(_REMEMBER, keys)
    return outcomes
