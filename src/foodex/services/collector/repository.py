"""The collector's SQL."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec
import sqlalchemy as sa

from foodex.core.sql import Database
from foodex.domain.loads import Load, LoadState, Source
from foodex.services.collector.tables import loads, mappings, sources


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A load as the one who runs it knows it."""

    load: Load
    source: Source
    mapping_toml: str
    mapping_hash: str
    staged_row: int
    committing: bool
    cancelled: bool
    columns: tuple[str, ...]


class Repository:
    """Reads and writes the collector's rows; every method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def sources(self) -> tuple[Source, ...]:
        """All sources kept, by name."""
        async with self._database.connect() as connection:
            rows = await connection.execute(sa.select(sources.c.source).order_by(sources.c.name))
            return tuple(_source(row.source) for row in rows)

    async def put_source(self, source: Source) -> None:
        """Keep a source under its name."""
        text = msgspec.json.encode(source).decode()
        async with self._database.transaction() as connection:
            await connection.execute(sa.delete(sources).where(sources.c.name == source.name))
            await connection.execute(sa.insert(sources).values(name=source.name, source=text))

    async def delete_source(self, name: str) -> bool:
        """Forget a source; False if there was none."""
        async with self._database.transaction() as connection:
            done = await connection.execute(sa.delete(sources).where(sources.c.name == name))
            return bool(done.rowcount)

    async def mappings(self) -> tuple[str, ...]:
        """The names of all mappings."""
        async with self._database.connect() as connection:
            rows = await connection.execute(sa.select(mappings.c.name).order_by(mappings.c.name))
            return tuple(row.name for row in rows)

    async def mapping(self, name: str) -> str | None:
        """A mapping's TOML."""
        async with self._database.connect() as connection:
            query = sa.select(mappings.c.toml).where(mappings.c.name == name)
            found: str | None = (await connection.execute(query)).scalar()
            return found

    async def put_mapping(self, name: str, toml: str, now: datetime) -> None:
        """Keep a mapping under a name."""
        async with self._database.transaction() as connection:
            await connection.execute(sa.delete(mappings).where(mappings.c.name == name))
            await connection.execute(
                sa.insert(mappings).values(name=name, toml=toml, changed_at=now)
            )

    async def delete_mapping(self, name: str) -> bool:
        """Forget a mapping; False if there was none."""
        async with self._database.transaction() as connection:
            done = await connection.execute(sa.delete(mappings).where(mappings.c.name == name))
            return bool(done.rowcount)

    async def add_load(
        self,
        source: Source,
        *,
        dataset: str,
        mapping: str,
        mapping_toml: str,
        mapping_hash: str,
        who: str,
        now: datetime,
        reference: str | None = None,
    ) -> Load:
        """Write a new load down; whoever is free claims it. `IntegrityError` if it is there."""
        async with self._database.transaction() as connection:
            insert = sa.insert(loads).values(
                source=msgspec.json.encode(source).decode(),
                source_name=source.name,
                location=source.location,
                dataset=dataset,
                mapping=mapping,
                mapping_toml=mapping_toml,
                mapping_hash=mapping_hash,
                state=LoadState.RUNNING,
                started_at=now,
                who=who,
                reference=reference,
            )
            row = (await connection.execute(insert.returning(loads))).one()
            return _load(row)

    async def load(self, load_id: int) -> Load | None:
        """One load."""
        job = await self.job(load_id)
        return job.load if job else None

    async def load_of(self, reference: str) -> Load | None:
        """The load that was begun under a reference."""
        async with self._database.connect() as connection:
            query = sa.select(loads).where(loads.c.reference == reference)
            row = (await connection.execute(query)).one_or_none()
            return _load(row) if row else None

    async def job(self, load_id: int) -> Job | None:
        """One load with what running it needs."""
        async with self._database.connect() as connection:
            query = sa.select(loads).where(loads.c.id == load_id)
            row = (await connection.execute(query)).one_or_none()
            return _job(row) if row else None

    async def loads(self, dataset: str | None, before: int | None, limit: int) -> tuple[Load, ...]:
        """Loads, newest first."""
        query = sa.select(loads).order_by(loads.c.id.desc()).limit(limit)
        if dataset is not None:
            query = query.where(loads.c.dataset == dataset)
        if before is not None:
            query = query.where(loads.c.id < before)
        async with self._database.connect() as connection:
            return tuple(_load(row) for row in await connection.execute(query))

    async def claim(self, owner: str, now: datetime, lease_seconds: float) -> Job | None:
        """Take the oldest load that nobody runs; loads of one data set go one after another."""
        earlier = loads.alias("earlier")
        blocked = sa.exists().where(
            earlier.c.dataset == loads.c.dataset,
            earlier.c.state == LoadState.RUNNING,
            earlier.c.id < loads.c.id,
        )
        free = sa.and_(
            loads.c.state == LoadState.RUNNING,
            sa.or_(loads.c.leased_until.is_(None), loads.c.leased_until < now),
        )
        async with self._database.transaction() as connection:
            query = sa.select(loads.c.id).where(free, ~blocked).order_by(loads.c.id).limit(1)
            found = (await connection.execute(query)).scalar()
            if found is None:
                return None
            # The condition again: another collector may have been faster.
            taken = await connection.execute(
                sa.update(loads)
                .where(loads.c.id == found, free)
                .values(owner=owner, leased_until=now + timedelta(seconds=lease_seconds))
                .returning(loads)
            )
            row = taken.one_or_none()
            return _job(row) if row else None

    async def free_own(self, owner: str) -> None:
        """Give up what this owner held before it was restarted."""
        async with self._database.transaction() as connection:
            await connection.execute(
                sa.update(loads)
                .where(loads.c.owner == owner, loads.c.state == LoadState.RUNNING)
                .values(owner=None, leased_until=None)
            )

    async def keep(
        self, load_id: int, owner: str, leased_until: datetime | None, values: Mapping[str, Any]
    ) -> bool:
        """Write values of a load that `owner` still runs; False if it no longer does."""
        async with self._database.transaction() as connection:
            done = await connection.execute(
                sa.update(loads)
                .where(
                    loads.c.id == load_id,
                    loads.c.owner == owner,
                    loads.c.state == LoadState.RUNNING,
                )
                .values(leased_until=leased_until, **values)
            )
            return bool(done.rowcount)

    async def ask_to_cancel(self, load_id: int, now: datetime) -> bool:
        """Mark a running load as unwanted; False if it is already being committed or over.

        One that has not begun is cancelled at once.
        """
        async with self._database.transaction() as connection:
            done = await connection.execute(
                sa.update(loads)
                .where(
                    loads.c.id == load_id,
                    loads.c.state == LoadState.RUNNING,
                    loads.c.committing.is_(False),
                )
                .values(cancelled=True)
            )
            await connection.execute(
                sa.update(loads)
                .where(
                    loads.c.id == load_id,
                    loads.c.cancelled,
                    loads.c.state == LoadState.RUNNING,
                    loads.c.leased_until.is_(None),
                    loads.c.content_hash.is_(None),
                )
                .values(state=LoadState.CANCELLED, finished_at=now)
            )
            return bool(done.rowcount)

    async def start_commit(self, load_id: int, owner: str, values: Mapping[str, Any]) -> bool:
        """From here the load can only become done; False if it was cancelled or lost before."""
        async with self._database.transaction() as connection:
            done = await connection.execute(
                sa.update(loads)
                .where(loads.c.id == load_id, loads.c.owner == owner, loads.c.cancelled.is_(False))
                .values(committing=True, **values)
            )
            return bool(done.rowcount)

    async def same_content(
        self, dataset: str, content_hash: str, mapping_hash: str, since: datetime
    ) -> int | None:
        """A load of the same content that ended after `since`, if there is one."""
        query = sa.select(loads.c.id).where(
            loads.c.dataset == dataset,
            loads.c.content_hash == content_hash,
            loads.c.mapping_hash == mapping_hash,
            loads.c.state == LoadState.DONE,
            loads.c.finished_at >= since,
        )
        async with self._database.connect() as connection:
            found: int | None = (await connection.execute(query.limit(1))).scalar()
            return found

    async def being_read(self) -> frozenset[str]:
        """The locations that running loads read from."""
        query = sa.select(loads.c.location).where(loads.c.state == LoadState.RUNNING)
        async with self._database.connect() as connection:
            return frozenset((await connection.execute(query)).scalars())

    async def unlogged(self) -> tuple[Load, ...]:
        """Loads that ended and may not be in the log file yet."""
        query = sa.select(loads).where(
            loads.c.state != LoadState.RUNNING, loads.c.logged.is_(False)
        )
        async with self._database.connect() as connection:
            return tuple(_load(row) for row in await connection.execute(query.order_by("id")))

    async def logged(self, load_id: int) -> None:
        """Note that a load is in the log file."""
        async with self._database.transaction() as connection:
            await connection.execute(
                sa.update(loads).where(loads.c.id == load_id).values(logged=True)
            )


def _source(text: str) -> Source:
    return msgspec.json.decode(text, type=Source)


def _load(row: Any) -> Load:
    finished = row.finished_at
    return Load(
        id=row.id,
        source=row.source_name,
        location=row.location,
        dataset=row.dataset,
        mapping=row.mapping,
        state=LoadState(row.state),
        progress=row.progress,
        rows_read=row.rows_read,
        rows_kept=row.rows_kept,
        rows_rejected=row.rows_rejected,
        rejected_by_rule=row.rejected_by_rule,
        repaired=row.repaired,
        content_hash=row.content_hash,
        started_at=row.started_at,
        finished_at=finished,
        duration_seconds=(finished - row.started_at).total_seconds() if finished else None,
        who=row.who,
        error=row.error,
        error_type=row.error_type,
    )


def _job(row: Any) -> Job:
    return Job(
        load=_load(row),
        source=_source(row.source),
        mapping_toml=row.mapping_toml,
        mapping_hash=row.mapping_hash,
        staged_row=row.staged_row,
        committing=row.committing,
        cancelled=row.cancelled,
        columns=tuple(row.columns),
    )


def log_line(load: Load) -> dict[str, Any]:
    """A finished load as the log file tells it."""
    return {name: value for name, value in asdict(load).items() if name != "progress"}
