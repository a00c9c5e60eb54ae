"""The real servers, and the browser, that tests talk to: found, or skipped loudly; a pytest plugin.

`FOODEX_TEST_REQUIRE=postgresql,clickhouse,s3,chromium,...` turns a missing one into a failure.
"""

import asyncio
import http.client
import os
import secrets
import shutil
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import cache
from typing import Any, NoReturn
from urllib.parse import urlsplit

import asyncpg
import pytest
import sqlalchemy as sa

from foodex.adapters.objects.store import ObjectStore, open_objects
from foodex.adapters.warehouse.opening import open_warehouse
from foodex.adapters.warehouse.tables import TableWarehouse

_MISSING = "server not found: "
_CHROMIUMS = ("chromium", "chromium-browser", "google-chrome")


def postgresql_url() -> str:
    """The URL of a PostgreSQL whose user may make databases; skips where there is none."""
    url = os.environ.get(
        "FOODEX_TEST_POSTGRESQL_URL", "postgresql+asyncpg://postgres@127.0.0.1:5432/postgres"
    )
    parsed = sa.make_url(url)
    _open("postgresql", parsed.host, parsed.port or 5432, "FOODEX_TEST_POSTGRESQL_URL")
    return url


def clickhouse_url() -> str:
    """The URL of a ClickHouse whose user may make databases; skips where there is none."""
    for url in (
        os.environ.get("FOODEX_TEST_CLICKHOUSE_URL"),
        "clickhouse://default@127.0.0.1:8123/default",
        "clickhouse://default@127.0.0.1:18123/default",
    ):
        if url and _is_clickhouse(urlsplit(url).hostname, urlsplit(url).port or 8123):
            return url
    missing("clickhouse", "FOODEX_TEST_CLICKHOUSE_URL")


def s3() -> tuple[str, dict[str, str]]:
    """The URL of a bucket and the options that open it; skips where there is none."""
    options = {
        "endpoint": os.environ.get("AWS_ENDPOINT_URL", "http://127.0.0.1:17490"),
        "region": os.environ.get("AWS_REGION", "us-east-1"),
        "access_key_id": os.environ.get("AWS_ACCESS_KEY_ID", "foodex"),
        "secret_access_key": os.environ.get("AWS_SECRET_ACCESS_KEY", "foodex-secret-key"),
    }
    place = urlsplit(options["endpoint"])
    _open("s3", place.hostname, place.port or 443, "AWS_ENDPOINT_URL, FOODEX_TEST_OBJECTS_URL")
    return os.environ.get("FOODEX_TEST_OBJECTS_URL", "s3://foodex-test"), options


def redis_url() -> str:
    """The URL of a Redis; skips where there is none."""
    url = os.environ.get("FOODEX_TEST_REDIS_URL", "redis://127.0.0.1:6379/15")
    parsed = urlsplit(url)
    _open("redis", parsed.hostname, parsed.port or 6379, "FOODEX_TEST_REDIS_URL")
    return url


def rabbitmq_url() -> str:
    """The URL of a RabbitMQ; skips where there is none."""
    url = os.environ.get("FOODEX_TEST_RABBITMQ_URL", "amqp://guest:guest@127.0.0.1:5672/")
    parsed = urlsplit(url)
    _open("rabbitmq", parsed.hostname, parsed.port or 5672, "FOODEX_TEST_RABBITMQ_URL")
    return url


def chromium() -> str:
    """Where a Chromium is on this machine; skips where there is none."""
    wanted = os.environ.get("FOODEX_TEST_CHROMIUM")
    for name in (wanted,) if wanted else _CHROMIUMS:
        if path := shutil.which(name):
            return path
    missing("chromium", "FOODEX_TEST_CHROMIUM")


def missing(server: str, variables: str) -> NoReturn:
    """Skip a test that needs this server, or fail it where the server is required."""
    message = f"{_MISSING}{server} (set {variables})"
    if server in os.environ.get("FOODEX_TEST_REQUIRE", "").split(","):
        pytest.fail(message)
    pytest.skip(message)


def _open(server: str, host: str | None, port: int, variables: str) -> None:
    if not _answers(host, port):
        missing(server, variables)


@cache
def _is_clickhouse(host: str | None, port: int) -> bool:
    # Its port is one that people give to all kinds of things.
    connection = http.client.HTTPConnection(host or "127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/ping")
        return connection.getresponse().read(10) == b"Ok.\n"
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


@cache
def _answers(host: str | None, port: int) -> bool:
    try:
        socket.create_connection((host or "127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


@asynccontextmanager
async def postgresql_database() -> AsyncIterator[str]:
    """The URL of an empty PostgreSQL database, which is gone at the end of the block."""
    url = sa.make_url(postgresql_url())
    name = f"foodex_test_{secrets.token_hex(6)}"
    plain = url.set(drivername="postgresql").render_as_string(hide_password=False)
    await _administer(plain, f'CREATE DATABASE "{name}"')
    yield url.set(database=name).render_as_string(hide_password=False)
    await _administer(plain, f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
async def postgresql_database_url() -> AsyncIterator[str]:
    """The URL of an empty PostgreSQL database of the test's own."""
    async with postgresql_database() as url:
        yield url


async def _administer(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


@pytest.fixture(scope="session")
def chdb_warehouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TableWarehouse]:
    """The warehouse in this process: one, since a process can have no other; name tables apart."""
    path = tmp_path_factory.mktemp("warehouse") / "chdb"
    warehouse = open_warehouse(f"chdb://{path}")
    yield warehouse
    asyncio.run(warehouse.close())


@pytest.fixture
async def clickhouse_warehouse() -> AsyncIterator[TableWarehouse]:
    """A warehouse on a server, in a database of the test's own."""
    parsed = urlsplit(clickhouse_url())
    database = f"foodex_test_{secrets.token_hex(6)}"
    warehouse = open_warehouse(parsed._replace(path=f"/{database}").geturl())
    yield warehouse
    await asyncio.to_thread(warehouse.engine.run, f"DROP DATABASE IF EXISTS `{database}` SYNC")
    await warehouse.close()


@pytest.fixture
async def s3_objects() -> AsyncIterator[ObjectStore]:
    """Objects in a bucket, under a prefix of the test's own, which is emptied afterwards."""
    url, options = s3()
    objects = open_objects(f"{url.rstrip('/')}/{secrets.token_hex(6)}", options)
    yield objects
    page = await objects.list()
    for stored in page.objects:
        await objects.delete(stored.key)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """List the servers that were not found and how many tests that left out."""
    left_out: dict[str, int] = {}
    for report in terminalreporter.stats.get("skipped", ()):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        _, found, server = reason.partition(_MISSING)
        if found:
            left_out[server] = left_out.get(server, 0) + 1
    if left_out:
        terminalreporter.section("servers not found", yellow=True)
        for server, count in sorted(left_out.items()):
            terminalreporter.line(f"{server}: {count} tests left out")
