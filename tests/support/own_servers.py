"""Servers that a test starts for itself, so that it can kill them and start them again.

What is missing on the machine is skipped and listed at the end of the run. Where the programs are
there, a server that does not start is a failure.
"""

import asyncio
import os
import pwd
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import aio_pika
import asyncpg
import pytest

_START_SECONDS: Final = 90.0


class OwnServer:
    """A server as a process of the test's own."""

    def __init__(
        self,
        command: tuple[str, ...],
        *,
        url: str,
        log: Path,
        answers: Callable[[str], Awaitable[bool]],
        user: str | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self._command, self._user, self._env = command, user, env
        self._answers, self._log = answers, log
        self.url = url
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it; it answers on return."""
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                user=self._user,
                env=self._env,
                cwd=self._log.parent,
                start_new_session=True,
            )
        ends = time.monotonic() + _START_SECONDS
        while not await self._answers(self.url):
            assert self._process.returncode is None, self._log.read_text()[-4000:]
            assert time.monotonic() < ends, self._log.read_text()[-4000:]
            await asyncio.sleep(0.05)

    async def stop(self, number: int = signal.SIGTERM) -> None:
        """Send a signal and return when it is gone; with its group, where it is killed."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.returncode is None:
            if number == signal.SIGKILL:
                os.killpg(process.pid, number)
            else:
                process.send_signal(number)
        await asyncio.wait_for(process.wait(), 60)


@asynccontextmanager
async def own_postgresql() -> AsyncIterator[OwnServer]:
    """A PostgreSQL with an empty database; `url` is FoodEx's."""
    programs = _postgresql_programs()
    user = _unprivileged()
    with _folder(user) as folder:
        data, port = folder / "data", _free_port()
        made = await asyncio.create_subprocess_exec(
            *(str(programs / "initdb"), "--pgdata", str(data), "--username", "postgres"),
            *("--auth", "trust", "--no-sync", "--encoding", "UTF8", "--no-locale"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            user=user,
            cwd=folder,
        )
        said, _ = await made.communicate()
        assert made.returncode == 0, said.decode()
        server = OwnServer(
            (
                *(str(programs / "postgres"), "-D", str(data), "-p", str(port)),
                *("-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={folder}"),
            ),
            url=f"postgresql+asyncpg://postgres@127.0.0.1:{port}/postgres",
            log=folder / "log",
            answers=_postgresql_answers,
            user=user,
        )
        try:
            await server.start()
            yield server
        finally:
            await server.stop(signal.SIGQUIT)


@asynccontextmanager
async def own_rabbitmq() -> AsyncIterator[OwnServer]:
    """A RabbitMQ node with nothing in it, and a port mapper of Erlang's beside it."""
    program = _rabbitmq_program()
    with _folder(None) as folder:
        port, distribution, mapper = _free_port(), _free_port(), _free_port()
        (folder / "plugins").write_text("[].")
        env = {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "LANG": "C.UTF-8",
            "HOME": str(folder),
            "ERL_EPMD_PORT": str(mapper),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": f"foodex-test-{port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(port),
            "RABBITMQ_DIST_PORT": str(distribution),
            "RABBITMQ_MNESIA_BASE": str(folder / "data"),
            "RABBITMQ_LOG_BASE": str(folder / "logs"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            "RABBITMQ_CONFIG_FILE": str(folder / "no"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(folder / "no.config"),
            "RABBITMQ_CONF_ENV_FILE": str(folder / "no.env"),
        }
        # One of our own: the node would start one that outlives it.
        mapping = await asyncio.create_subprocess_exec(
            *("epmd", "-port", str(mapper), "-address", "127.0.0.1"),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            env=env,
        )
        server = OwnServer(
            (program,),
            url=f"amqp://guest:guest@127.0.0.1:{port}/",
            log=folder / "log",
            answers=_rabbitmq_answers,
            env=env,
        )
        try:
            await server.start()
            yield server
        finally:
            await server.stop(signal.SIGKILL)
            mapping.kill()
            await mapping.wait()


def _postgresql_programs() -> Path:
    found = shutil.which("initdb")
    # Debian keeps them apart, by version.
    folders = [Path(found).resolve().parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    for folder in folders:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    pytest.skip("server not found: PostgreSQL to start and stop (programs initdb and postgres)")


def _rabbitmq_program() -> str:
    # Not the one of a package in PATH, which changes to the user of the system's own node.
    for found in (Path("/usr/lib/rabbitmq/bin/rabbitmq-server"), shutil.which("rabbitmq-server")):
        if found and Path(found).exists() and shutil.which("epmd"):
            return str(found)
    pytest.skip("server not found: RabbitMQ to start and stop (programs rabbitmq-server and epmd)")


def _unprivileged() -> str | None:
    """Whom to run PostgreSQL as, which refuses to run as root; None is who runs this."""
    if os.getuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in ("postgres", "nobody") if name in names)


class _folder(tempfile.TemporaryDirectory[str]):
    """A folder that belongs to a user; not below pytest's, into which only its own user may go."""

    def __init__(self, user: str | None) -> None:
        super().__init__(prefix="foodex-test-", ignore_cleanup_errors=True)
        if user is not None:
            shutil.chown(self.name, user)

    def __enter__(self) -> Path:  # type: ignore[override]
        return Path(super().__enter__())


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
    return port


async def _postgresql_answers(url: str) -> bool:
    try:
        connection = await asyncpg.connect(url.replace("+asyncpg", ""), timeout=5)
    except (OSError, asyncpg.PostgresError, TimeoutError):
        return False
    await connection.close()
    return True


async def _rabbitmq_answers(url: str) -> bool:
    try:
        connection = await aio_pika.connect(url, timeout=5)
    except (OSError, aio_pika.exceptions.AMQPError, TimeoutError):
        return False
    await connection.close()
    return True
