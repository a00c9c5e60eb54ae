"""A data set's figures over a period, by what it is now: asked once, then remembered."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any, Final, TypeVar

from foodex.core.errors import Conflict, InvalidInput, NotFound, Unavailable
from foodex.domain.datasets import Dataset, Layer
from foodex.domain.overview import Against, Offered, Overview, Places
from foodex.domain.reports import Period
from foodex.ports.ml import Ml
from foodex.ports.storage import Storage
from foodex.services.gateway.overview.against import against_of
from foodex.services.gateway.overview.places import places_of
from foodex.services.gateway.reports.period import period_facts
from foodex.services.gateway.scenario_steps import Span, span_of, start_of

T = TypeVar("T")

DAYS: Final = 7
_REMEMBERED: Final = 64
"""Answers; most are small, and those with many thousand stores are a few megabytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is to be looked at: without a data set the one that the model in production learned
    from; without a first day `days` of them, without a last day up to the data set's end.

    Days are those of the data set's time zone.
    """

    dataset: str | None = None
    first_day: date | None = None
    last_day: date | None = None
    days: int = DAYS


class OverviewFigures:
    """Adds up what an overview shows. Answers are kept as long as the data set does not change."""

    def __init__(self, storage: Storage, ml: Ml) -> None:
        self._storage, self._ml = storage, ml
        self._known = _Remembered()

    async def overview(self, asked: Asked) -> Overview:
        """The figures, and which data sets there are.

        Raises NotFound for a data set that is not there or empty, InvalidInput for a period that
        is none.
        """
        offered = await self._offered()
        if asked.dataset is None and not offered:
            return Overview(datasets=())
        dataset = await self._chosen(asked.dataset, offered)
        empty = Overview(datasets=tuple(map(_offer, offered)), dataset=dataset.name)
        if problem := _without(dataset):
            return replace(empty, without_facts=problem)
        span = _span(dataset, asked)
        facts = await self._known.find(
            ("facts", *_identity(dataset), span),
            lambda: period_facts(self._storage, dataset, span.since, span.until),
        )
        return replace(empty, facts=facts)

    async def places(self, asked: Asked) -> Places:
        """Where the orders were; raises as `overview` does, and NotFound without any data set."""
        if asked.dataset is None:
            dataset = await self._chosen(None, await self._offered())
        else:
            dataset = await self._storage.dataset(asked.dataset)
        if problem := _without(dataset):
            raise InvalidInput(problem)
        span = _span(dataset, asked)
        return await self._known.find(
            ("places", *_identity(dataset), span),
            lambda: places_of(
                self._storage,
                dataset,
                Period(since=span.since, until=span.until, time_zone=dataset.time_zone),
            ),
        )

    async def against(self) -> Against | None:
        """The version in production against the company; None where nothing judged it."""
        try:
            version = await self._ml.answering()
        except (Conflict, Unavailable):
            return None
        return await against_of(self._ml, version)

    async def _offered(self) -> tuple[Dataset, ...]:
        """Data sets of orders with rows, the newest first."""
        found = await self._storage.datasets()
        full = [one for one in found if one.layer is Layer.PROCESSED and one.rows]
        return tuple(sorted(full, key=lambda one: one.changed_at, reverse=True))

    async def _chosen(self, name: str | None, offered: tuple[Dataset, ...]) -> Dataset:
        if name is None:
            try:
                name = (await self._ml.answering()).dataset
            except (Conflict, Unavailable):
                name = None
            if not any(one.name == name for one in offered):
                name = offered[0].name if offered else None
        for one in offered:
            if one.name == name:
                return one
        if name is None:
            raise NotFound("There are no orders yet")
        # Says which names are close.
        await self._storage.dataset(name)
        raise NotFound(f"The data set '{name}' has no orders yet")


class _Remembered:
    """The last answers; who asks while one is being made waits for it."""

    def __init__(self) -> None:
        self._tasks: OrderedDict[Hashable, asyncio.Task[Any]] = OrderedDict()

    async def find(self, key: Hashable, make: Callable[[], Awaitable[T]]) -> T:
        task = self._tasks.get(key)
        if task is None:
            task = self._tasks[key] = asyncio.ensure_future(_made(make))
            # What went wrong may go well the next time.
            task.add_done_callback(lambda done: self._forget_if_failed(key, done))
            while len(self._tasks) > _REMEMBERED:
                self._tasks.popitem(last=False)
        self._tasks.move_to_end(key)
        found: T = await asyncio.shield(task)
        return found

    def _forget_if_failed(self, key: Hashable, done: "asyncio.Task[Any]") -> None:
        if (done.cancelled() or done.exception()) and self._tasks.get(key) is done:
            del self._tasks[key]


async def _made(make: Callable[[], Awaitable[T]]) -> T:
    return await make()


def _identity(dataset: Dataset) -> tuple[Hashable, ...]:
    """Another one whenever anything of the data set is."""
    return dataset.name, dataset.created_at, dataset.changed_at, dataset.rows


def _offer(dataset: Dataset) -> Offered:
    return Offered(
        name=dataset.name,
        description=dataset.description,
        rows=dataset.rows,
        time_zone=dataset.time_zone,
        first_at=dataset.first_at,
        last_at=dataset.last_at,
    )


def _without(dataset: Dataset) -> str | None:
    names = {column.name for column in dataset.columns}
    if dataset.last_at is None:
        return "Its orders do not say when they were placed"
    if not names & {"delivery_minutes", "delivered_at"}:
        return "Its orders do not say how long they took"
    return None


def _span(dataset: Dataset, asked: Asked) -> Span:
    zone, first, last = dataset.time_zone, asked.first_day, asked.last_day
    since = start_of(first, zone) if first else None
    until = start_of(last + timedelta(days=1), zone) if last else None
    return span_of(dataset, since, until, asked.days)
