"""Many waiting requests, one transaction: whoever waits when the writer is free goes along."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

import structlog

from foodex.core.errors import FoodexError, InternalError, Overloaded, Unavailable

log = structlog.get_logger("foodex.accounts")

Item = TypeVar("Item")
Result = TypeVar("Result")

Handle = Callable[[Sequence[Item]], Awaitable[Sequence[Result | FoodexError]]]
"""Does the work of a batch, aligned with it; an error in the answer is for that member alone."""


_Results = Sequence[Result | FoodexError]


class _Group(Generic[Item, Result]):
    """What one caller brought, and where its results go."""

    __slots__ = ("future", "items")

    def __init__(self, items: Sequence[Item], future: "asyncio.Future[_Results[Result]]") -> None:
        self.items, self.future = items, future

    def tell(self, results: "_Results[Result]") -> None:
        if not self.future.done():
            self.future.set_result(results)


class GroupCommit(Generic[Item, Result]):
    """One writer task that hands all that wait to `handle`, and then each caller its results.

    There is no timer: the writer starts as soon as it is free, and what comes meanwhile is the
    next batch. A caller that gives up before its batch began is left out of it; later, its item
    is handled and the result dropped. An error of the whole batch goes to every member of it, and
    a writer that dies is replaced.
    """

    def __init__(self, handle: Handle[Item, Result], *, waiting: int, batch: int) -> None:
        self._handle = handle
        self._limit, self._batch = waiting, batch
        self._queue: deque[_Group[Item, Result]] = deque()
        self._waiting = 0
        self._wake = asyncio.Event()
        self._writer: asyncio.Task[None] | None = None
        self._open = False

    @property
    def waiting(self) -> int:
        """How many items wait for the writer."""
        return self._waiting

    async def submit(self, item: Item) -> Result:
        """The item's result, once its batch is done.

        Raises `Overloaded` when too many wait and `Unavailable` when nothing is written (any
        more), besides what the batch raised for this item.
        """
        (result,) = await self.submit_many((item,))
        if isinstance(result, FoodexError):
            raise result
        return result

    async def submit_many(self, items: Sequence[Item]) -> Sequence[Result | FoodexError]:
        """What became of each of these items of one caller; raises as `submit` does."""
        if not self._open:
            raise Unavailable("Nothing is written: the service is not running")
        if self._waiting + len(items) > self._limit:
            raise Overloaded(retry_after_seconds=1)
        loop = asyncio.get_running_loop()
        groups: list[_Group[Item, Result]] = [
            _Group(items[start : start + self._batch], loop.create_future())
            for start in range(0, len(items), self._batch)
        ]
        self._queue += groups
        self._waiting += len(items)
        self._wake.set()
        if len(groups) == 1:
            return await groups[0].future
        told = await asyncio.gather(*(group.future for group in groups))
        return [result for results in told for result in results]

    def refuse_waiting(self, error: FoodexError) -> None:
        """Tell everybody who waits now this error instead of handling their items."""
        for group in self._queue:
            group.tell([error] * len(group.items))
        self._queue.clear()
        self._waiting = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Within the block items are handled; at its end what waits is still handled."""
        self._open = True
        self._start()
        try:
            yield
        finally:
            self._open = False
            self._wake.set()
            while self._writer is not None and not self._writer.done():
                await asyncio.wait([self._writer])
            self.refuse_waiting(Unavailable("Nothing is written: the service has stopped"))

    def _start(self) -> None:
        self._writer = asyncio.get_running_loop().create_task(self._write(), name="group commit")
        self._writer.add_done_callback(self._ended)

    def _ended(self, writer: asyncio.Task[None]) -> None:
        if not writer.cancelled() and writer.exception() is None:
            return
        error = None if writer.cancelled() else writer.exception()
        log.error("the writer died and is started again", error=repr(error or "cancelled"))
        self._start()

    async def _write(self) -> None:
        while True:
            groups = self._take()
            if groups:
                await self._serve(groups)
            elif not self._open:
                return
            else:
                self._wake.clear()
                await self._wake.wait()

    def _take(self) -> list[_Group[Item, Result]]:
        groups: list[_Group[Item, Result]] = []
        taken = 0
        while self._queue and taken + len(self._queue[0].items) <= self._batch:
            group = self._queue.popleft()
            self._waiting -= len(group.items)
            if not group.future.done():
                groups.append(group)
                taken += len(group.items)
        return groups

    async def _serve(self, groups: Sequence[_Group[Item, Result]]) -> None:
        items = [item for group in groups for item in group.items]
        results: Sequence[Result | FoodexError]
        try:
            results = await self._handle(items)
            if len(results) != len(items):
                raise InternalError("The batch was not answered member by member")
        except FoodexError as error:
            results = [error] * len(items)
        except Exception as error:
            log.exception("a batch failed", members=len(items), error=type(error).__name__)
            results = [InternalError()] * len(items)
        except BaseException:
            # What became of the batch is not known; the caller may ask again under its key.
            _tell(groups, [Unavailable()] * len(items))
            raise
        _tell(groups, results)


def _tell(groups: Sequence[_Group[Item, Result]], results: Sequence[Result | FoodexError]) -> None:
    start = 0
    for group in groups:
        group.tell(results[start : start + len(group.items)])
        start += len(group.items)
