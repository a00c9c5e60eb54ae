"""Requests that wait at the same time share one call."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from typing import Generic, TypeVar

import structlog

from foodex.core.errors import FoodexError, InternalError, Overloaded, Unavailable

log = structlog.get_logger("foodex.gathering")

Asked = TypeVar("Asked")
Told = TypeVar("Told")

Answering = Callable[[Sequence[Asked]], Awaitable[Sequence[Told | FoodexError]]]
"""Answers many at once, aligned with them; an error in the answer is for that member alone."""


class Gathering(Generic[Asked, Told]):
    """Hands all that wait to `answering` whenever it is free, and each caller its answer.

    There is no timer: a call begins as soon as there is somebody and fewer than `at_once` are being
    made, and who comes meanwhile shares the next. It is made on behalf of nobody in particular
    (`current_principal` is the system). A caller that gives up before its call is left out of it;
    later, only its answer is dropped.
    """

    def __init__(
        self,
        answering: Answering[Asked, Told],
        *,
        most: int = 256,
        waiting: int = 4096,
        at_once: int = 1,
    ) -> None:
        """`most` share a call, and of those above `waiting` that wait the newest are refused."""
        self._answering = answering
        self._most, self._waiting, self._at_once = most, waiting, at_once
        self._queue: deque[tuple[Asked, asyncio.Future[Told]]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._collecting = False

    async def ask(self, asked: Asked) -> Told:
        """The answer for one.

        Raises `Overloaded` when too many wait, besides what the call raised for this member.
        """
        if len(self._queue) >= self._waiting:
            raise Overloaded(retry_after_seconds=1)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Told] = loop.create_future()
        self._queue.append((asked, future))
        self._begin(loop)
        return await future

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._collecting or len(self._tasks) == self._at_once:
            return
        self._collecting = True
        # A context of its own: the first who waits must not lend its name to the others.
        task = loop.create_task(self._work(), name="gathering", context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            if self._queue:
                self._begin(task.get_loop())
            return
        self._collecting = False
        while self._queue and not self._tasks:
            self._queue.popleft()[1].cancel()

    async def _work(self) -> None:
        while True:
            self._collecting = True
            try:
                await self._while_they_come()
                members = self._take()
            finally:
                self._collecting = False
            if not members:
                return
            if self._queue:
                self._begin(asyncio.get_running_loop())
            await self._serve(members)

    async def _while_they_come(self) -> None:
        # One call for two costs little more than for one, and a turn of the loop next to nothing:
        # who comes in the same breath is waited for.
        seen = -1
        while seen < len(self._queue) < self._most:
            seen = len(self._queue)
            await asyncio.sleep(0)

    def _take(self) -> list[tuple[Asked, asyncio.Future[Told]]]:
        members: list[tuple[Asked, asyncio.Future[Told]]] = []
        while self._queue and len(members) < self._most:
            member = self._queue.popleft()
            if not member[1].done():
                members.append(member)
        return members

    async def _serve(self, members: Sequence[tuple[Asked, asyncio.Future[Told]]]) -> None:
        try:
            answers = await self._answering([asked for asked, _ in members])
            if len(answers) != len(members):
                raise InternalError("The requests were not answered one by one")
        except FoodexError as error:
            answers = [error] * len(members)
        except Exception as error:
            log.exception("a shared call failed", members=len(members), error=type(error).__name__)
            answers = [InternalError()] * len(members)
        except BaseException:
            self._tell(members, [Unavailable()] * len(members))
            raise
        self._tell(members, answers)

    def _tell(
        self,
        members: Sequence[tuple[Asked, asyncio.Future[Told]]],
        answers: Sequence[Told | FoodexError],
    ) -> None:
        for (_, future), answer in zip(members, answers, strict=True):
            if future.done():
                continue
            if isinstance(answer, FoodexError):
                future.set_exception(answer)
            else:
                future.set_result(answer)
