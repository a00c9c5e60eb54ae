"""The queue behind a URL."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from foodex.adapters.queue.sqlite import SqliteQueue
from foodex.core.clock import Clock
from foodex.core.errors import InvalidInput
from foodex.ports.queue import Queue


def open_queue(url: str, clock: Clock, *, prefix: str = "foodex") -> Queue:
    """The queue behind `sqlite:///PATH`, `amqp://...` or `amqps://...`.

    Several systems that share a RabbitMQ have names of their own: the `prefix`, or a virtual
    host. Nothing is opened yet. Raises `InvalidInput` for any other URL.
    """
    try:
        parsed = urlsplit(url)
        _ = parsed.port
    except ValueError:
        raise InvalidInput("The URL of the queue cannot be read") from None
    if parsed.scheme == "sqlite":
        path = unquote(parsed.path)[1:]
        if parsed.netloc or not path or path == ":memory:":
            raise InvalidInput("The URL of the queue names no file: sqlite:///PATH")
        return SqliteQueue(Path(path), clock)
    if parsed.scheme in ("amqp", "amqps"):
        if not parsed.hostname:
            raise InvalidInput("The URL of the queue names no host: amqp://USER:PASSWORD@HOST")
        # Late: whoever has no such server need not hold its client in memory.
        from foodex.adapters.queue.rabbitmq import RabbitQueue

        return RabbitQueue(url, clock, prefix=prefix)
    raise InvalidInput(
        f"No queue is known for '{parsed.scheme}://'; there are sqlite:///PATH and "
        "amqp://USER:PASSWORD@HOST"
    )
