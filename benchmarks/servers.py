"""The servers that some benchmarks want, found as the tests find theirs."""

import asyncio
import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import asyncpg
import sqlalchemy as sa


def postgresql_url() -> str | None:
    """The URL of a PostgreSQL whose user may make databases; None where none answers."""
    usual = "postgresql+asyncpg://postgres@127.0.0.1:5432/postgres"
    return _answering(os.environ.get("FOODEX_TEST_POSTGRESQL_URL", usual), 5432)


def rabbitmq_url() -> str | None:
    """The URL of a RabbitMQ; None where none answers."""
    usual = "amqp://guest:guest@127.0.0.1:5672/"
    return _answering(os.environ.get("FOODEX_TEST_RABBITMQ_URL", usual), 5672)


@contextmanager
def postgresql_database() -> Iterator[str | None]:
    """The URL of an empty PostgreSQL database, gone afterwards; None where there is no server."""
    server = postgresql_url()
    if server is None:
        yield None
        return
    url = sa.make_url(server)
    plain = url.set(drivername="postgresql").render_as_string(hide_password=False)
    name = f"foodex_benchmark_{secrets.token_hex(4)}"
    asyncio.run(_administer(plain, f'CREATE DATABASE "{name}"'))
    try:
        yield url.set(database=name).render_as_string(hide_password=False)
    finally:
        asyncio.run(_administer(plain, f'DROP DATABASE "{name}" WITH (FORCE)'))


def _answering(url: str, usual_port: int) -> str | None:
    place = urlsplit(url)
    try:
        host = place.hostname or "127.0.0.1"
        socket.create_connection((host, place.port or usual_port), timeout=1).close()
    except OSError:
        return None
    return url


async def _administer(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
