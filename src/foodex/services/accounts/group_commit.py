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


class GroupCommit(Generic[Item, Result]):
    """One writer task that hands all that wait to `handle`, and then each caller its result.

    There is no timer: the writer starts as soon as it is free, and what comes meanwhile is the
    next batch. A caller that gives up before its batch began is left out of it; later, its item
    is handled and the result dropped. An error of the whole batch goes to every member of it, and
    a writer that dies is replaced.
    """

    def __init__(self, handle: Handle[Item, Result], *, waiting: int, batch: int) -> None:
        self._handle = handle
        self._limit, self._batch = waiting, batch
        self._queue: deque[tuple[Item, asyncio.Future[Result]]] = deque()
        self._wake = asyncio.Event()
        self._writer: asyncio.Task[None] | None = None
        self._open = False

    @property
    def waiting(self) -> int:
        """How many wait for the writer."""
        return len(self._queue)

    async def submit(self, item: Item) -> Result:
        """The item's result, once its batch is done.

        Raises `Overloaded` when too many wait and `Unavailable` when nothing is written (any
        more), besides what the batch raised for this item.
        """
        if not self._open:
            raise Unavailable("Nothing is written: the service is not running")
        if len(self._queue) >= self._limit:
            raise Overloaded(retry_after_seconds=1)
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._queue.append((item, future))
        self._wake.set()
        return await future

    def refuse_waiting(self, error: FoodexError) -> None:
        """Tell everybody who waits now this error instead of handling them."""
        while self._queue:
            _, future = self._queue.popleft()
            if not future.done():
                future.set_exception(error)

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
            members = self._take()
            if members:
                await self._serve(members)
            elif not self._open:
                return
            else:
                self._wake.clear()
                await self._wake.wait()

    def _take(self) -> list[tuple[Item, asyncio.Future[Result]]]:
        members: list[tuple[Item, asyncio.Future[Result]]] = []
        while self._queue and len(members) < self._batch:
            item, future = self._queue.popleft()
            if not future.done():
                members.append((item, future))
        return members

    async def _serve(self, members: Sequence[tuple[Item, asyncio.Future[Result]]]) -> None:
        try:
            results = await self._handle([item for item, _ in members])
            if len(results) != len(members):
                raise InternalError("The batch was not answered member by member")
        except FoodexError as error:
            results = [error] * len(members)
        except Exception as error:
            log.exception("a batch failed", members=len(members), error=type(error).__name__)
            results = [InternalError()] * len(members)
        except BaseException:
            # What became of the batch is not known; the caller may ask again under its key.
            self._answer(members, [Unavailable()] * len(members))
            raise
        self._answer(members, results)

    def _answer(
        self,
        members: Sequence[tuple[Item, asyncio.Future[Result]]],
        results: Sequence[Result | FoodexError],
    ) -> None:
        for (_, future), result in zip(members, results, strict=True):
            if future.done():
                continue
            if isinstance(result, FoodexError):
                future.set_exception(result)
            else:
                future.set_result(result)
