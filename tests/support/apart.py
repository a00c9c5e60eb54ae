"""Every service of FoodEx as a process of its own, on servers, with two workers, by the gateway."""

import asyncio
import secrets
import signal
import socket
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from foodex.adapters.objects.store import open_objects
from foodex.adapters.queue.rabbitmq import RabbitQueue
from foodex.adapters.warehouse.opening import open_warehouse
from foodex.core.clock import SystemClock
from foodex.services.accounts.tokens import load_or_create_signing_keys
from tests.support.lives import Nursery
from tests.support.running import Foodex
from tests.support.servers import clickhouse_url, postgresql_database, rabbitmq_url, redis_url, s3

KEY: Final = "a-key-that-all-services-share"
WORKERS: Final = ("worker", "worker-2")
NAMES: Final = ("storage", "collector", "ml", "accounts", "jobs", "gateway", *WORKERS)
_HAVE_NO_ADDRESS: Final = ("gateway", *WORKERS)
_START_SECONDS: Final = 120.0


class Apart(Foodex):
    """Services that run as processes of their own."""

    def __init__(self, nursery: Nursery, folder: Path, environment: Mapping[str, str]) -> None:
        self._nursery, self._folder = nursery, folder
        self._ports = dict(zip(NAMES, _free_ports(len(NAMES)), strict=True))
        addresses = {
            f"FOODEX_{name.upper()}__URL": self.address(name)
            for name in NAMES
            if name not in _HAVE_NO_ADDRESS
        }
        self._environment = {**environment, **addresses}
        self._pids: dict[str, int] = {}
        super().__init__(self.address("gateway"), KEY)

    def address(self, name: str) -> str:
        """Where a service answers."""
        return f"http://127.0.0.1:{self._ports[name]}"

    def start(self, *names: str) -> None:
        """Start services side by side; they answer on return."""
        for name in names:
            words = ("worker",) if name in WORKERS else ("serve", name)
            self._pids[name] = self._nursery.start(
                *words,
                state=self._folder / name,
                log=self._folder / f"{name}.log",
                port=self._ports[name],
                env=self._environment,
            )
        ends = time.monotonic() + _START_SECONDS
        for name in names:
            while not _answers(self._ports[name]):
                assert self._nursery.ended(self._pids[name]) is None, self.log(name)[-4000:]
                assert time.monotonic() < ends, self.log(name)[-4000:]
                time.sleep(0.02)

    def log(self, name: str) -> str:
        """What a service has written."""
        return (self._folder / f"{name}.log").read_text()

    def kill(self, name: str) -> None:
        """As a power failure would."""
        self._nursery.signal(self._pids.pop(name), signal.SIGKILL)

    def end(self) -> None:
        """Leave nothing running."""
        for name in list(self._pids):
            self.kill(name)


@contextmanager
def apart(nursery: Nursery, folder: Path, env: Mapping[str, str]) -> Iterator[Apart]:
    """Start all services on PostgreSQL, RabbitMQ, Redis, ClickHouse and S3."""
    load_or_create_signing_keys(folder / "signing-keys.json")
    with ExitStack() as stack:
        runner = stack.enter_context(asyncio.Runner())
        servers = AsyncExitStack()
        stack.callback(lambda: runner.run(servers.aclose()))
        environment = {
            "FOODEX_STAGE": "partner",
            "FOODEX_HTTP__HOST": "127.0.0.1",
            "FOODEX_LOG__LEVEL": "info",
            "FOODEX_SECURITY__KEY": KEY,
            "FOODEX_ACCOUNTS__SIGNING_KEYS": str(folder / "signing-keys.json"),
            "FOODEX_ACCOUNTS__WEBHOOK_SECRET": "a-secret-of-the-payment-provider",
            "FOODEX_LIMITS__URL": redis_url(),
            **runner.run(_servers(servers)),
            **env,
        }
        services = Apart(nursery, folder, environment)
        stack.callback(services.end)
        services.start(*NAMES)
        yield services


async def _servers(stack: AsyncExitStack) -> dict[str, str]:
    bucket = await stack.enter_async_context(_a_bucket())
    return {
        "FOODEX_DATABASE__URL": await stack.enter_async_context(postgresql_database()),
        "FOODEX_WAREHOUSE__URL": await stack.enter_async_context(_a_warehouse()),
        "FOODEX_QUEUE__URL": rabbitmq_url(),
        "FOODEX_QUEUE__PREFIX": await stack.enter_async_context(_a_queue()),
        **{f"FOODEX_OBJECTS__{name.upper()}": value for name, value in bucket.items()},
    }


@asynccontextmanager
async def _a_warehouse() -> AsyncIterator[str]:
    database = f"foodex_test_{secrets.token_hex(6)}"
    url = urlsplit(clickhouse_url())._replace(path=f"/{database}").geturl()
    yield url
    warehouse = open_warehouse(url)
    await asyncio.to_thread(warehouse.engine.run, f"DROP DATABASE IF EXISTS `{database}` SYNC")
    await warehouse.close()


@asynccontextmanager
async def _a_bucket() -> AsyncIterator[dict[str, str]]:
    url, options = s3()
    place = f"{url.rstrip('/')}/{secrets.token_hex(6)}"
    yield {"url": place, **options}
    objects = open_objects(place, options)
    for stored in (await objects.list()).objects:
        await objects.delete(stored.key)


@asynccontextmanager
async def _a_queue() -> AsyncIterator[str]:
    prefix = f"test-{secrets.token_hex(6)}"
    yield prefix
    last = RabbitQueue(rabbitmq_url(), SystemClock(), prefix=prefix)
    await last.delete()
    await last.close()


def _free_ports(count: int) -> list[int]:
    found = [socket.socket() for _ in range(count)]
    for one in found:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in found]
    for one in found:
        one.close()
    return ports


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
