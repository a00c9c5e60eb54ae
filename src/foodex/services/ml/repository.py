"""The registry's SQL: models, versions and the log of what was in production."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from foodex.core.errors import NotFound
from foodex.domain.models import ProductionChange, RegisteredModel, Version
from foodex.services.ml.tables import models, production_changes, versions

PROMOTE, ROLLBACK, RETIRE = "promote", "rollback", "retire"


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """One artefact of a version."""

    name: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Artefacts:
    """Where a version's files are and what they must be."""

    model: str
    version: int
    dataset: str
    files: tuple[File, ...]


async def model_rows(
    connection: AsyncConnection, name: str | None = None
) -> tuple[RegisteredModel, ...]:
    """All models, or the one of that name, by name."""
    found = (
        sa.select(
            models,
            sa.func.count(versions.c.version).label("versions"),
            sa.func.max(versions.c.version).label("latest"),
        )
        .outerjoin(versions, versions.c.model == models.c.name)
        .group_by(*models.c)
        .order_by(models.c.name)
    )
    if name is not None:
        found = found.where(models.c.name == name)
    return tuple(
        RegisteredModel(
            name=row.name,
            description=row.description,
            created_at=row.created_at,
            versions=row.versions,
            latest=row.latest,
            production=row.production,
        )
        for row in await connection.execute(found)
    )


async def get_model(connection: AsyncConnection, name: str) -> RegisteredModel:
    """The model of that name; `NotFound`, with close names, if there is none."""
    if found := await model_rows(connection, name):
        return found[0]
    names: list[str] = list(await connection.scalars(sa.select(models.c.name)))
    near = difflib.get_close_matches(name, names, 1)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    raise NotFound(f"There is no model '{name}'{hint}")


async def lock_model(connection: AsyncConnection, name: str) -> RegisteredModel:
    """The model, held against other writers until the transaction ends."""
    # On SQLite the transaction holds the whole database already, and FOR UPDATE is left out.
    await connection.execute(
        sa.select(models.c.name).where(models.c.name == name).with_for_update()
    )
    return await get_model(connection, name)


async def add_model(connection: AsyncConnection, name: str, description: str, at: datetime) -> bool:
    """Make an empty model; False if there is one of that name."""
    taken = await connection.scalar(sa.select(models.c.name).where(models.c.name == name))
    if taken is not None:
        return False
    await connection.execute(
        models.insert().values(
            name=name, description=description, created_at=at, last_version=0, production=None
        )
    )
    return True


async def next_version(connection: AsyncConnection, name: str) -> int:
    """Set a version number aside; it is never given again."""
    number = await connection.scalar(
        models.update()
        .where(models.c.name == name)
        .values(last_version=models.c.last_version + 1)
        .returning(models.c.last_version)
    )
    assert isinstance(number, int)
    return number


async def remove_model(connection: AsyncConnection, name: str) -> None:
    """Remove a model and its versions; the log of what was in production stays."""
    await connection.execute(versions.delete().where(versions.c.model == name))
    await connection.execute(models.delete().where(models.c.name == name))


async def add_version(connection: AsyncConnection, version: Version, files: Sequence[File]) -> None:
    """Register a version; its model is there."""
    await connection.execute(
        versions.insert().values(
            model=version.model,
            version=version.version,
            algorithm=version.algorithm,
            dataset=version.dataset,
            created_at=version.created_at,
            who=version.who,
            size_bytes=version.size_bytes,
            files=[{"name": f.name, "size_bytes": f.size_bytes, "sha256": f.sha256} for f in files],
            summary=dict(version.summary),
        )
    )
    # A model removed and made again while this one was trained must not give the number again.
    await connection.execute(
        models.update()
        .where(models.c.name == version.model, models.c.last_version < version.version)
        .values(last_version=version.version)
    )


async def version_rows(connection: AsyncConnection, name: str) -> tuple[Version, ...]:
    """A model's versions, newest first."""
    found = (
        sa.select(versions, models.c.production)
        .join(models, models.c.name == versions.c.model)
        .where(versions.c.model == name)
        .order_by(versions.c.version.desc())
    )
    return tuple(_version(row) for row in await connection.execute(found))


async def get_version(connection: AsyncConnection, name: str, number: int) -> Version:
    """One version; `NotFound`, naming those there are, if it is not there."""
    found = (
        sa.select(versions, models.c.production)
        .join(models, models.c.name == versions.c.model)
        .where(versions.c.model == name, versions.c.version == number)
    )
    row = (await connection.execute(found)).one_or_none()
    if row is None:
        await _no_version(connection, name, number)
    return _version(row)


async def get_artefacts(connection: AsyncConnection, name: str, number: int) -> Artefacts:
    """A version's files; `NotFound` if it is not there."""
    found = sa.select(versions.c.dataset, versions.c.files).where(
        versions.c.model == name, versions.c.version == number
    )
    row = (await connection.execute(found)).one_or_none()
    if row is None:
        await _no_version(connection, name, number)
    assert row is not None
    files = tuple(File(**file) for file in row.files)
    return Artefacts(model=name, version=number, dataset=row.dataset, files=files)


async def _no_version(connection: AsyncConnection, name: str, number: int) -> None:
    await get_model(connection, name)
    there = [v.version for v in await version_rows(connection, name)]
    listed = "its versions are " + ", ".join(map(str, there)) if there else "it has none"
    raise NotFound(f"The model '{name}' has no version {number}; {listed}")


async def remove_version(connection: AsyncConnection, name: str, number: int) -> None:
    """Remove a version's row."""
    await connection.execute(
        versions.delete().where(versions.c.model == name, versions.c.version == number)
    )


async def set_production(
    connection: AsyncConnection,
    model: RegisteredModel,
    version: int | None,
    *,
    action: str,
    at: datetime,
    who: str,
) -> None:
    """Change what is in production and write it into the log."""
    await connection.execute(
        models.update().where(models.c.name == model.name).values(production=version)
    )
    await connection.execute(
        production_changes.insert().values(
            at=at,
            model=model.name,
            version=version,
            previous=model.production,
            action=action,
            who=who,
        )
    )


async def production_log(
    connection: AsyncConnection, name: str | None = None, limit: int = 1000
) -> tuple[ProductionChange, ...]:
    """What was in production when, newest first."""
    found = sa.select(production_changes).order_by(production_changes.c.id.desc()).limit(limit)
    if name is not None:
        found = found.where(production_changes.c.model == name)
    return tuple(
        ProductionChange(
            id=row.id,
            at=row.at,
            model=row.model,
            version=row.version,
            previous=row.previous,
            action=row.action,
            who=row.who,
        )
        for row in await connection.execute(found)
    )


async def before_production(connection: AsyncConnection, model: RegisteredModel) -> int | None:
    """The version that a rollback puts back: the log replayed, without versions since removed."""
    there: set[int] = set(
        await connection.scalars(
            sa.select(versions.c.version).where(versions.c.model == model.name)
        )
    )
    log = await connection.execute(
        sa.select(production_changes.c.action, production_changes.c.version)
        .where(production_changes.c.model == model.name)
        .order_by(production_changes.c.id)
    )
    stack: list[int] = []
    for change in log:
        if change.action == PROMOTE:
            stack.append(change.version)
        elif change.action == ROLLBACK:
            while stack and stack[-1] != change.version:
                stack.pop()
    while stack and (stack[-1] not in there or stack[-1] == model.production):
        stack.pop()
    return stack[-1] if stack else None


async def productions(connection: AsyncConnection) -> Mapping[str, int]:
    """The version in production of each model that has one; the last promoted comes last."""
    latest = (
        sa.select(production_changes.c.model, sa.func.max(production_changes.c.id).label("id"))
        .group_by(production_changes.c.model)
        .subquery()
    )
    found = (
        sa.select(models.c.name, models.c.production)
        .join(latest, latest.c.model == models.c.name)
        .where(models.c.production.is_not(None))
        .order_by(latest.c.id)
    )
    return {row.name: row.production for row in await connection.execute(found)}


def _version(row: Any) -> Version:
    return Version(
        model=row.model,
        version=row.version,
        algorithm=row.algorithm,
        dataset=row.dataset,
        created_at=row.created_at,
        who=row.who,
        size_bytes=row.size_bytes,
        in_production=row.version == row.production,
        summary=row.summary,
    )
