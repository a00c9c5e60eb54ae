"""The storage service's SQL."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from foodex.domain.datasets import Action, Column, Dataset, Layer
from foodex.domain.deliveries import Kind
from foodex.services.storage.tables import actions, datasets


async def find(
    connection: AsyncConnection, name: str, layer: Layer, *, lock: bool = False
) -> Dataset | None:
    """One data set, its rows not counted; `lock` keeps others from changing it meanwhile."""
    statement = sa.select(datasets).where(_is(name, layer))
    if lock:
        statement = statement.with_for_update()
    row = (await connection.execute(statement)).one_or_none()
    return None if row is None else _dataset(row)


async def find_all(connection: AsyncConnection) -> list[Dataset]:
    """All data sets by name, their rows not counted."""
    found = await connection.execute(sa.select(datasets).order_by("name", "layer"))
    return [_dataset(row) for row in found]


async def add(connection: AsyncConnection, dataset: Dataset) -> None:
    """Keep a data set, unless it is there already."""
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    statement = insert(datasets).values(
        name=dataset.name,
        layer=dataset.layer.value,
        created_at=dataset.created_at,
        last_row=0,
        **_said(dataset),
    )
    await connection.execute(statement.on_conflict_do_nothing(index_elements=["name", "layer"]))


async def put(connection: AsyncConnection, dataset: Dataset) -> None:
    """Change what is said of a data set."""
    await connection.execute(
        sa.update(datasets).where(_is(dataset.name, dataset.layer)).values(**_said(dataset))
    )


def _said(dataset: Dataset) -> dict[str, Any]:
    return {
        "columns": [[c.name, c.kind.value, c.meaning] for c in dataset.columns],
        "description": dataset.description,
        "time_zone": dataset.time_zone,
        "changed_at": dataset.changed_at,
    }


async def touch(connection: AsyncConnection, name: str, layer: Layer, at: datetime) -> None:
    """Note that a data set's rows changed."""
    await connection.execute(sa.update(datasets).where(_is(name, layer)).values(changed_at=at))


async def delete(connection: AsyncConnection, name: str, layer: Layer) -> None:
    """Forget a data set."""
    await connection.execute(sa.delete(datasets).where(_is(name, layer)))


async def take_rows(connection: AsyncConnection, name: str, layer: Layer, count: int) -> int:
    """Reserve numbers for rows written by hand; returns the last of them."""
    taken = await connection.execute(
        sa.update(datasets)
        .where(_is(name, layer))
        .values(last_row=datasets.c.last_row + count)
        .returning(datasets.c.last_row)
    )
    return int(taken.scalar_one())


async def log(
    connection: AsyncConnection,
    *,
    at: datetime,
    who: str,
    what: str,
    target: str,
    details: Mapping[str, Any],
) -> None:
    """Add a line to the log of actions."""
    await connection.execute(
        sa.insert(actions).values(at=at, who=who, what=what, target=target, details=dict(details))
    )


async def read_log(
    connection: AsyncConnection, *, before: int | None, limit: int
) -> Sequence[Action]:
    """Lines of the log, newest first."""
    statement = sa.select(actions).order_by(actions.c.id.desc()).limit(limit)
    if before is not None:
        statement = statement.where(actions.c.id < before)
    return [Action(**row._mapping) for row in await connection.execute(statement)]


def _is(name: str, layer: Layer) -> sa.ColumnElement[bool]:
    return sa.and_(datasets.c.name == name, datasets.c.layer == layer.value)


def _dataset(row: sa.Row[Any]) -> Dataset:
    return Dataset(
        name=row.name,
        layer=Layer(row.layer),
        columns=tuple(Column(name=n, kind=Kind(k), meaning=m) for n, k, m in row.columns),
        rows=0,
        description=row.description,
        time_zone=row.time_zone,
        created_at=row.created_at,
        changed_at=row.changed_at,
    )
