"""The collector: sources, mappings and loads."""

import asyncio
import contextlib
import dataclasses
import hashlib
import platform
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec
from sqlalchemy.exc import IntegrityError

from foodex.core.access import SYSTEM, current_principal, who
from foodex.core.clock import Clock
from foodex.core.errors import (
    Conflict,
    FieldProblem,
    Forbidden,
    InvalidInput,
    NotFound,
)
from foodex.core.settings import CollectorSettings
from foodex.core.sql import Database, migrate
from foodex.domain.datasets import NAME_PATTERN
from foodex.domain.loads import Load, LoadState, Rejection, Source, SourceBatch, SourceKind
from foodex.domain.mapping_toml import read_mapping
from foodex.domain.mappings import FileRule, RecordMapping, Suggestion, Trial
from foodex.ports.storage import Storage
from foodex.services.collector.batches import next_of_files, next_of_pages
from foodex.services.collector.columns import check_columns
from foodex.services.collector.fetching import UPLOADS, Fetcher, files_in, limits_of
from foodex.services.collector.log_file import LogFile
from foodex.services.collector.opening import look
from foodex.services.collector.paging import PagedSource, paging_of
from foodex.services.collector.reading import read_batches
from foodex.services.collector.rejected import rejections_as_csv, rejections_of
from foodex.services.collector.repository import Repository
from foodex.services.collector.sampling import suggestion_for, trial_of
from foodex.services.collector.uploads import Uploads
from foodex.services.collector.web import Web
from foodex.services.collector.worker import Worker

MASK: Final = "***"
_MOST_ROWS: Final = 10_000
_LOOK_ROWS: Final = 1_000
_WAIT_STEP_SECONDS: Final = 0.1
_LONGEST_WAIT_SECONDS: Final = 60.0


class CollectorService:
    """Implements `ports.collector.Collector`; loads run while `running` is entered."""

    def __init__(
        self, database: Database, storage: Storage, settings: CollectorSettings, clock: Clock
    ) -> None:
        self._database = database
        self._repository = Repository(database)
        self._storage = storage
        self._settings = settings
        self._clock = clock
        self._web = Web(settings)
        self._fetcher = Fetcher(storage, self._web, settings)
        self._uploads = Uploads(storage, self._repository, settings, clock)
        self._configured = _configured(settings)
        owner = settings.instance or platform.node() or "collector"
        log_file = LogFile(Path(settings.log_file))
        self._owner = owner
        self._workers = tuple(
            Worker(
                owner=owner,
                repository=self._repository,
                storage=storage,
                fetcher=self._fetcher,
                settings=settings,
                clock=clock,
                log_file=log_file,
            )
            for _ in range(settings.loads_at_once)
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Migrate, take up loads that were interrupted, and work until the block is left."""
        await migrate(self._database, "collector")
        await self._repository.free_own(self._owner)
        await self._workers[0].write_log()
        await asyncio.to_thread(self._fetcher.clean)
        async with self._web:
            tasks = [asyncio.create_task(worker.work()) for worker in self._workers]
            tasks.append(asyncio.create_task(self._uploads.keep_sweeping()))
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def ping(self) -> None:
        """Return when the collector can work."""
        await self._database.ping()

    async def sources(self) -> tuple[Source, ...]:
        """All sources, from the configuration and from the API, by name."""
        kept = {source.name: source for source in await self._repository.sources()}
        found = kept | self._configured
        return tuple(_masked(found[name]) for name in sorted(found))

    async def put_source(self, source: Source) -> Source:
        """Declare a source, or change it; masked headers keep their values."""
        _check_name(source.name, "name")
        if source.name in self._configured:
            raise Conflict(f"The source {source.name!r} is declared in the configuration")
        await self._check(source)
        before = {kept.name: kept for kept in await self._repository.sources()}.get(source.name)
        source = dataclasses.replace(
            source,
            headers=_unmasked(source, before),
            created_at=before.created_at if before else self._clock.now(),
        )
        try:
            await self._repository.put_source(source)
        except IntegrityError:
            raise Conflict("Somebody else is changing this source right now") from None
        return _masked(source)

    async def delete_source(self, name: str) -> None:
        """Forget a source; what was loaded from it stays."""
        if name in self._configured:
            raise Conflict(f"The source {name!r} is declared in the configuration")
        if not await self._repository.delete_source(name):
            raise NotFound(f"There is no source {name!r}")

    async def next_batch(
        self, source: str, *, cursor: str | None = None, size: int = 100
    ) -> SourceBatch:
        """The source's next rows as they came, from a cursor that an earlier batch gave."""
        if not 1 <= size <= _MOST_ROWS:
            raise InvalidInput(
                "The batch cannot be given",
                problems=[FieldProblem("size", f"can be 1 to {_MOST_ROWS}")],
            )
        found = await self._named(source)
        await self._check(found)
        if found.kind is SourceKind.HTTP and found.paging:
            return await next_of_pages(PagedSource(found, self._web, self._settings), cursor, size)
        rule = await self._file_rule(found)
        async with self._fetcher.fetched(found) as fetched:
            return await asyncio.to_thread(
                next_of_files, fetched.files, rule, limits_of(self._settings), cursor, size
            )

    async def upload(self, name: str, body: AsyncIterator[bytes]) -> Source:
        """Keep a file that was sent as an object; gives the source to load it from."""
        return await self._uploads.put(name, body)

    async def suggest_mapping(self, source: Source) -> Suggestion:
        """A first mapping for a source, with its doubts and what only a person can tell."""
        await self._check(source)
        limits = limits_of(self._settings)

        def sampled(files: tuple[Path, ...]) -> Suggestion:
            return suggestion_for(files[0], FileRule(format=source.format), limits)

        async with self._fetcher.fetched(source) as fetched:
            return await asyncio.to_thread(sampled, fetched.files)

    async def try_mapping(self, source: Source, toml: str) -> Trial:
        """What a mapping makes of a source's first rows; `InvalidInput` as an import would."""
        await self._check(source)
        mapping, limits = read_mapping(toml), limits_of(self._settings)
        async with self._fetcher.fetched(source) as fetched:
            return await asyncio.to_thread(trial_of, fetched.files[0], mapping, limits)

    async def mappings(self) -> tuple[str, ...]:
        """The names of the mappings kept."""
        return await self._repository.mappings()

    async def mapping(self, name: str) -> str:
        """A mapping's TOML."""
        found = await self._repository.mapping(name)
        if found is None:
            names = ", ".join(await self._repository.mappings()) or "none"
            raise NotFound(f"There is no mapping {name!r}; there are: {names}")
        return found

    async def put_mapping(self, name: str, toml: str) -> None:
        """Keep a mapping after checking it; `InvalidInput` names each wrong key."""
        _check_name(name, "name")
        read_mapping(toml)
        try:
            await self._repository.put_mapping(name, toml, self._clock.now())
        except IntegrityError:
            raise Conflict("Somebody else is changing this mapping right now") from None

    async def delete_mapping(self, name: str) -> None:
        """Forget a mapping."""
        if not await self._repository.delete_mapping(name):
            raise NotFound(f"There is no mapping {name!r}")

    async def start_load(
        self, source: Source | str, *, mapping: str, dataset: str, reference: str | None = None
    ) -> Load:
        """Begin to bring a source's rows into a data set; `mapping` is a name or TOML."""
        if reference is not None:
            _check_reference(reference)
            if known := await self._repository.load_of(reference):
                return known
        found = await self._named(source) if isinstance(source, str) else source
        await self._check(found)
        _check_name(dataset, "dataset")
        written = "=" in mapping or "\n" in mapping
        toml = mapping if written else await self.mapping(mapping)
        values = read_mapping(toml)
        if found.kind in (SourceKind.FILE, SourceKind.FOLDER):
            await asyncio.to_thread(self._fits, found, values)
        try:
            load = await self._repository.add_load(
                found,
                dataset=dataset,
                mapping=f"{found.name}.toml" if written else mapping,
                mapping_toml=toml,
                mapping_hash=_hash_of(values),
                who=who(),
                now=self._clock.now(),
                reference=reference,
            )
        except IntegrityError:
            # Somebody else was faster under the same reference.
            there = None if reference is None else await self._repository.load_of(reference)
            if there is None:
                raise
            return there
        for worker in self._workers:
            worker.wake()
        return load

    async def load(self, load_id: int) -> Load:
        """One load, as far as it is."""
        found = await self._repository.load(load_id)
        if found is None:
            raise NotFound(f"There is no load {load_id}")
        return found

    async def wait_for_load(self, load_id: int, *, seen: float, timeout_seconds: float) -> Load:
        """The load once its progress has passed `seen` or it ended, at most after the timeout."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(timeout_seconds, _LONGEST_WAIT_SECONDS)):
                while True:
                    found = await self.load(load_id)
                    if found.state is not LoadState.RUNNING or found.progress > seen:
                        return found
                    await asyncio.sleep(_WAIT_STEP_SECONDS)
        return await self.load(load_id)

    async def loads(
        self, *, dataset: str | None = None, before: int | None = None, limit: int = 100
    ) -> tuple[Load, ...]:
        """The log of loads, newest first."""
        return await self._repository.loads(dataset, before, max(1, min(limit, 1_000)))

    async def cancel_load(self, load_id: int) -> Load:
        """Stop a load; nothing of it stays."""
        load = await self.load(load_id)
        if load.state is not LoadState.RUNNING:
            raise Conflict(f"The load is {load.state} already")
        if not await self._repository.ask_to_cancel(load_id, self._clock.now()):
            raise Conflict("The load is being finished and cannot be cancelled any more")
        for worker in self._workers:
            worker.wake()
        return await self.wait_for_load(load_id, seen=1.0, timeout_seconds=10.0)

    async def rejections(
        self, load_id: int, *, after: int = 0, limit: int = 100
    ) -> tuple[Rejection, ...]:
        """Rejected rows of a load by row number."""
        await self.load(load_id)
        limit = max(1, min(limit, _MOST_ROWS))
        return await rejections_of(self._storage, load_id, after=after, limit=limit)

    async def rejections_csv(self, load_id: int) -> AsyncIterator[bytes]:
        """All rejected rows of a load as CSV: row, rule, field, reason and the row as it came."""
        job = await self._repository.job(load_id)
        if job is None:
            raise NotFound(f"There is no load {load_id}")
        async for piece in rejections_as_csv(self._storage, load_id, job.columns):
            yield piece

    async def _named(self, name: str) -> Source:
        if name in self._configured:
            return self._configured[name]
        kept = {source.name: source for source in await self._repository.sources()}
        if name not in kept:
            names = ", ".join(sorted(kept | self._configured)) or "none"
            raise NotFound(f"There is no source {name!r}; there are: {names}")
        return kept[name]

    async def _file_rule(self, source: Source) -> FileRule:
        if source.mapping:
            rule = read_mapping(await self.mapping(source.mapping)).file
            return rule
        return FileRule(format=source.format)

    def _fits(self, source: Source, mapping: RecordMapping) -> None:
        limits = limits_of(self._settings)
        path = Path(source.location)
        first = path if source.kind is SourceKind.FILE else files_in(path)[0]
        looked = look(first, mapping.file, limits)
        with contextlib.closing(
            read_batches(looked, mapping.file, limits, size=_LOOK_ROWS)
        ) as batches:
            batch = next(batches, None)
        if batch is not None and len(batch.rows.columns) > 1:
            check_columns(mapping, batch.rows.columns[1:], first.name)

    async def _check(self, source: Source) -> None:
        """Refuse what may not be read on behalf of whoever acts."""
        if source.kind is SourceKind.HTTP:
            if not source.location.lower().startswith(("http://", "https://")):
                raise InvalidInput(
                    "The source cannot be used",
                    problems=[FieldProblem("location", "begins with http:// or https://")],
                )
            paging_of(source)
        elif source.kind is SourceKind.UPLOAD:
            # Other objects, such as models, are not for reading through here.
            if not source.location.startswith(UPLOADS) or ".." in source.location:
                raise InvalidInput(
                    "The source cannot be used",
                    problems=[FieldProblem("location", f"an upload is under {UPLOADS}")],
                )
        elif current_principal() is not SYSTEM and self._configured.get(source.name) != source:
            await asyncio.to_thread(self._confine, source)

    def _confine(self, source: Source) -> None:
        allowed = [Path(folder).resolve() for folder in self._settings.allowed_folders]
        path = Path(source.location).resolve()
        inside = [path, *(files_in(path) if path.is_dir() else ())]
        for item in inside:
            if not any(item.resolve().is_relative_to(folder) for folder in allowed):
                raise Forbidden(
                    f"{source.location} is not in a folder that the setting "
                    "collector.allowed_folders permits; send the file as an upload instead"
                )


def _check_reference(reference: str) -> None:
    if not re.fullmatch(r"[!-~]{1,64}", reference):
        problem = FieldProblem("reference", "must be 1 to 64 visible ASCII characters")
        raise InvalidInput("The load cannot be begun", problems=[problem])


def _configured(settings: CollectorSettings) -> dict[str, Source]:
    found = {}
    for name, table in settings.sources.items():
        try:
            found[name] = msgspec.convert({**table, "name": name}, Source)
        except msgspec.ValidationError as error:
            raise InvalidInput(
                "The settings cannot be used",
                problems=[FieldProblem(f"collector.sources.{name}", str(error))],
            ) from None
    return found


def _masked(source: Source) -> Source:
    return dataclasses.replace(source, headers=dict.fromkeys(source.headers, MASK))


def _unmasked(source: Source, before: Source | None) -> dict[str, str]:
    found = dict(source.headers)
    for name, value in found.items():
        if value != MASK:
            continue
        # A secret must not follow a source to another host.
        if before is None or urlsplit(before.location)[:2] != urlsplit(source.location)[:2]:
            raise InvalidInput(
                "The source cannot be kept",
                problems=[FieldProblem(f"headers.{name}", "give its value again")],
            )
        found[name] = before.headers.get(name, "")
    return found


def _check_name(name: str, field: str) -> None:
    if not re.fullmatch(NAME_PATTERN, name):
        raise InvalidInput(
            f"{name!r} cannot be a name here",
            problems=[
                FieldProblem(field, "starts with a small letter; small letters, digits and _ only")
            ],
        )


def _hash_of(mapping: RecordMapping) -> str:
    """A hash of what the mapping says, whatever its comments and its order."""
    return hashlib.sha256(msgspec.json.encode(mapping, order="sorted")).hexdigest()
