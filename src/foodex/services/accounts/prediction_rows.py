"""The SQL of recorded predictions."""

from collections.abc import AsyncGenerator, Sequence
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from foodex.domain.ledger import EntryKind
from foodex.domain.purchases import Prediction, PredictionFilter, first_id
from foodex.services.accounts.ledger_rows import STREAM_ROWS
from foodex.services.accounts.tables import entries, marks, predictions

PURGED_UNTIL: Final = "predictions_purged_until"

_BODIES: Final = ("order_body", "features", "inputs", "answer")
_HEAD: Final = sa.select(*[column for column in predictions.c if column.name not in _BODIES])
_WHOLE: Final = sa.select(predictions)


async def find(connection: AsyncConnection, id_: str) -> Prediction | None:
    """One prediction with its bodies."""
    found = await connection.execute(sa.select(predictions).where(predictions.c.id == id_))
    row = found.one_or_none()
    return None if row is None else _prediction(row, bodies=True)


async def page(
    connection: AsyncConnection,
    account: str,
    filter_: PredictionFilter,
    *,
    before: int | None,
    limit: int,
) -> tuple[Prediction, ...]:
    """Predictions of an account without bodies, newest first."""
    statement = _filtered(_HEAD, account, filter_).order_by(entries.c.number.desc()).limit(limit)
    if before is not None:
        statement = statement.where(entries.c.number < before)
    return tuple(_prediction(row) for row in await connection.execute(statement))


async def stream(
    connection: AsyncConnection, account: str, filter_: PredictionFilter
) -> AsyncGenerator[Sequence[Prediction], None]:
    """All predictions of an account with bodies, oldest first, some at a time."""
    after = 0
    while True:
        statement = (
            _filtered(_WHOLE, account, filter_)
            .where(entries.c.number > after)
            .order_by(entries.c.number)
            .limit(STREAM_ROWS)
        )
        found = [_prediction(row, bodies=True) for row in await connection.execute(statement)]
        if not found:
            return
        after = found[-1].entry_number
        yield found


async def purge_some(connection: AsyncConnection, until: datetime) -> int:
    """Forget the bodies of the next predictions made before `until`; how many, 0 at the end."""
    marked = sa.select(marks.c.value).where(marks.c.name == PURGED_UNTIL)
    after = (await connection.execute(marked)).scalar() or ""
    found = await connection.execute(
        sa.select(predictions.c.id)
        .where(predictions.c.id > after, predictions.c.id < first_id(until))
        .order_by(predictions.c.id)
        .limit(STREAM_ROWS)
    )
    ids: Sequence[str] = found.scalars().all()
    if not ids:
        return 0
    await connection.execute(
        sa.update(predictions)
        .where(predictions.c.id > after, predictions.c.id <= ids[-1])
        .values(dict.fromkeys(_BODIES))
    )
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    await connection.execute(
        insert(marks)
        .values(name=PURGED_UNTIL, value=ids[-1])
        .on_conflict_do_update(index_elements=["name"], set_={"value": ids[-1]})
    )
    return len(ids)


def _filtered(statement: sa.Select[Any], account: str, filter_: PredictionFilter) -> sa.Select[Any]:
    statement = statement.join(entries, entries.c.subject == predictions.c.id).where(
        entries.c.account_id == account, entries.c.kind == EntryKind.CHARGE.value
    )
    if filter_.model is not None:
        statement = statement.where(predictions.c.model == filter_.model)
    if filter_.key_id is not None:
        statement = statement.where(predictions.c.key_id == filter_.key_id)
    if filter_.since is not None:
        statement = statement.where(entries.c.at >= filter_.since)
    if filter_.until is not None:
        statement = statement.where(entries.c.at < filter_.until)
    return statement


def _prediction(row: sa.Row[Any], *, bodies: bool = False) -> Prediction:
    return Prediction(
        id=row.id,
        account=row.account_id,
        entry_number=row.entry_number,
        key_id=row.key_id,
        at=row.at,
        operation=row.operation,
        model=row.model,
        version=row.version,
        price_minor=row.price_minor,
        currency=row.currency,
        order=row.order_body if bodies else None,
        features=row.features if bodies else None,
        inputs=row.inputs if bodies else None,
        answer=row.answer if bodies else None,
    )
