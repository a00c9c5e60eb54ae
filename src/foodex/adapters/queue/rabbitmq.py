"""A queue on RabbitMQ, for any number of processes."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import datetime
from typing import Final

import aio_pika
import msgspec
import structlog
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage
from aio_pika.exceptions import CONNECTION_EXCEPTIONS
from yarl import URL

from foodex.core.clock import Clock
from foodex.core.errors import Unavailable
from foodex.core.periodic import ending
from foodex.domain.jobs import HIGHEST
from foodex.ports.queue import Message

log = structlog.get_logger("foodex.queue")

STEPS_MS: Final = tuple(250 * 4**step for step in range(8))
"""How long messages wait in the queues for later ones: from a quarter of a second to over an hour.

A message goes through as many of them as add up to its time; it may come a quarter late.
"""
_HEARTBEAT_SECONDS: Final = 15
_ANSWER_SECONDS: Final = 10.0
_LONGEST_PAUSE_SECONDS: Final = 2.0


class _Body(msgspec.Struct):
    job_id: str
    not_before: datetime | None = None


class RabbitQueue:
    """Implements `ports.queue.Queue`.

    One durable classic queue with priorities, and one for each step of waiting, whose messages
    RabbitMQ moves on when their time is over. Sending and taking have connections of their own,
    since RabbitMQ holds back senders by the connection.
    """

    def __init__(self, url: str, clock: Clock, *, prefix: str = "foodex") -> None:
        self._clock = clock
        self.name = f"{prefix}.jobs"
        place = URL(url)
        if "heartbeat" not in place.query:
            place = place.update_query(heartbeat=_HEARTBEAT_SECONDS)
        self._sending, self._taking = _Line(place, self._declare), _Line(place, self._declare)
        self._send_channel: AbstractChannel | None = None
        self._opening = asyncio.Lock()

    def __repr__(self) -> str:
        return f"RabbitQueue({self.name!r})"

    async def publish(self, messages: Sequence[Message]) -> None:
        """Send; on return RabbitMQ has them on disk."""
        with _translated():
            try:
                await self._publish(messages)
            except (*CONNECTION_EXCEPTIONS, TimeoutError):
                # The connection may have been lost long ago, and only now be found so.
                await self._sending.drop()
                await self._publish(messages)

    async def _publish(self, messages: Sequence[Message]) -> None:
        async with asyncio.timeout(_ANSWER_SECONDS):
            channel = await self._sender()
            answers = await asyncio.gather(
                *(self._publish_one(channel, message) for message in messages),
                return_exceptions=True,
            )
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer

    async def _publish_one(self, channel: AbstractChannel, message: Message) -> None:
        body = _Body(job_id=message.job_id, not_before=message.not_before)
        await channel.default_exchange.publish(
            aio_pika.Message(
                msgspec.json.encode(body),
                priority=message.priority,
                delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            ),
            self._route(message.not_before),
        )

    def _route(self, not_before: datetime | None) -> str:
        if not_before is None:
            return self.name
        left_ms = (not_before - self._clock.now()).total_seconds() * 1000
        if left_ms <= 0:
            return self.name
        step = max((step for step in STEPS_MS if step <= left_ms), default=STEPS_MS[0])
        return self._step_name(step)

    @asynccontextmanager
    async def consume(self) -> AsyncIterator["_Taker"]:
        """Take messages within the block, one at a time."""
        taker = _Taker(self, self._taking)
        try:
            yield taker
        finally:
            await taker.close()

    async def depth(self) -> int:
        """How many messages wait to be taken, those not yet due included."""
        names = [self.name, *map(self._step_name, STEPS_MS)]
        with _translated():
            async with asyncio.timeout(_ANSWER_SECONDS):
                channel = await self._sending.channel()
                try:
                    counts = [
                        (await channel.declare_queue(name, passive=True)).declaration_result
                        for name in names
                    ]
                finally:
                    await _close(channel)
        return sum(count.message_count or 0 for count in counts)

    async def ping(self) -> None:
        """Return when RabbitMQ answers."""
        with _translated():
            async with asyncio.timeout(_ANSWER_SECONDS):
                await _close(await self._sending.channel())

    async def close(self) -> None:
        """Close both connections."""
        await self._sending.drop()
        await self._taking.drop()

    async def delete(self) -> None:
        """Remove the queues from the server with all that is in them."""
        channel = await self._sending.channel()
        for name in (self.name, *map(self._step_name, STEPS_MS)):
            await channel.queue_delete(name)
        await _close(channel)

    async def put_off(self, message: Message) -> bool:
        """Whether a message comes before its time; it is then sent to where it waits on."""
        if message.not_before is None or message.not_before <= self._clock.now():
            return False
        await self.publish([message])
        return True

    async def _sender(self) -> AbstractChannel:
        async with self._opening:
            if self._send_channel is None or self._send_channel.is_closed:
                self._send_channel = await self._sending.channel()
            return self._send_channel

    def _step_name(self, step_ms: int) -> str:
        return f"{self.name}.later.{step_ms}"

    async def _declare(self, channel: AbstractChannel) -> None:
        await channel.declare_queue(self.name, durable=True, arguments={"x-max-priority": HIGHEST})
        for step in STEPS_MS:
            await channel.declare_queue(
                self._step_name(step),
                durable=True,
                arguments={
                    "x-message-ttl": step,
                    "x-dead-letter-exchange": "",
                    "x-dead-letter-routing-key": self.name,
                },
            )


class _Line:
    """A connection that is made when it is needed, and made again when it was lost."""

    def __init__(self, url: URL, declare: Callable[[AbstractChannel], Awaitable[None]]) -> None:
        self._url, self._declare = url, declare
        self._connection: AbstractConnection | None = None
        self._opening = asyncio.Lock()

    async def channel(self) -> AbstractChannel:
        """A new channel."""
        async with self._opening:
            if self._connection is None or not self._connection.connected.is_set():
                await self.drop()
                async with asyncio.timeout(_ANSWER_SECONDS):
                    self._connection = await aio_pika.connect(self._url, timeout=_ANSWER_SECONDS)
                    channel = await self._connection.channel()
                    await self._declare(channel)
                    return channel
        channel = self._connection.channel()
        await channel.initialize(timeout=_ANSWER_SECONDS)
        return channel

    async def drop(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(*CONNECTION_EXCEPTIONS, TimeoutError):
                async with asyncio.timeout(2):
                    await connection.close()


class _Taker:
    """Implements `ports.queue.Deliveries` with a channel of its own."""

    def __init__(self, queue: RabbitQueue, line: _Line) -> None:
        self._queue, self._line = queue, line
        self._channel: AbstractChannel | None = None
        # None says that the channel is gone.
        self._arrived: asyncio.Queue[AbstractIncomingMessage | None] = asyncio.Queue()

    async def next(self) -> "_Taken":
        """The next message that is due."""
        pause = 0.05
        while True:
            try:
                if self._channel is None or self._channel.is_closed:
                    await self._begin()
                incoming = await self._arrived.get()
                if incoming is None:
                    continue
                taken = _Taken(incoming)
                if not await self._queue.put_off(taken.message):
                    return taken
                await taken.acknowledge()
            except msgspec.DecodeError as error:
                log.error("message cannot be read", queue=self._queue.name, error=str(error))
                await taken.acknowledge()
            except (*CONNECTION_EXCEPTIONS, TimeoutError, Unavailable) as error:
                if ending():
                    raise asyncio.CancelledError from error
                log.warning("queue is out of reach", queue=self._queue.name, error=repr(error))
                await self.close()
                await asyncio.sleep(pause * random.uniform(0.5, 1.5))
                pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)

    async def _begin(self) -> None:
        await self.close()
        arrived = self._arrived = asyncio.Queue()
        channel = self._channel = await self._line.channel()

        async def arrive(message: AbstractIncomingMessage) -> None:
            arrived.put_nowait(message)

        def gone(*_: object) -> None:
            arrived.put_nowait(None)

        channel.close_callbacks.add(gone)
        async with asyncio.timeout(_ANSWER_SECONDS):
            # One in hand: what is next stays where others can take it.
            await channel.set_qos(prefetch_count=1)
            queue = await channel.get_queue(self._queue.name, ensure=False)
            await queue.consume(arrive)

    async def close(self) -> None:
        """Give back what is in hand."""
        channel, self._channel = self._channel, None
        if channel is not None:
            await _close(channel)


class _Taken:
    """Implements `ports.queue.Delivery`."""

    def __init__(self, incoming: AbstractIncomingMessage) -> None:
        self._incoming = incoming
        self._message: Message | None = None

    @property
    def message(self) -> Message:
        """The message."""
        if self._message is None:
            body = msgspec.json.decode(self._incoming.body, type=_Body)
            self._message = Message(
                job_id=body.job_id,
                priority=self._incoming.priority or 0,
                not_before=body.not_before,
            )
        return self._message

    async def acknowledge(self) -> None:
        """Say that the message need not come again."""
        with suppress(*CONNECTION_EXCEPTIONS):
            await self._incoming.ack()


async def _close(channel: AbstractChannel) -> None:
    with suppress(*CONNECTION_EXCEPTIONS, TimeoutError):
        async with asyncio.timeout(2):
            await channel.close()


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (*CONNECTION_EXCEPTIONS, TimeoutError) as error:
        if isinstance(error, Unavailable):
            raise
        reason = str(error) or type(error).__name__
        raise Unavailable(f"The queue cannot be reached: {reason[:300]}") from error
