"""Heavy work in a process of its own: started, listened to, and ended whatever happens."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import structlog

from foodex.core.errors import FoodexError, InternalError, family
from foodex.ports.work import Work
from foodex.services.jobs.wire import ORDER_FILE, RESULT_FILE, Answer, Order, Progress, Tell

log = structlog.get_logger("foodex.jobs")


class ProcessDied(InternalError):
    """The job's process was ended from outside."""


async def run_work(
    work: Work,
    arguments: Mapping[str, Any],
    folder: Path,
    *,
    tell: Tell,
    nice: int,
    log_bytes: int,
) -> dict[str, Any]:
    """Call a module's function in a process of its own, with a folder to work in.

    What it writes to its standard error goes to our log, at most `log_bytes` of it. The process
    is gone when this returns, is cancelled or fails.

    Raises:
        FoodexError: as the process met it, of the same class.
        ProcessDied: the process ended without an answer.
    """
    if "." in work.__qualname__ or work.__module__ == "__main__":
        raise TypeError(f"{work!r} is not a function of a module that can be imported")
    order = Order(work.__module__, work.__qualname__, dict(arguments), nice)
    await asyncio.to_thread(_prepare, folder, msgspec.json.encode(order))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "foodex.services.jobs.child", str(folder)),
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
        # A terminal's Ctrl-C is for us; we end the process, and what it started, in our own time.
        start_new_session=True,
    )
    try:
        await asyncio.gather(_listen(process, tell), _keep_log(process, folder.name, log_bytes))
        code = await process.wait()
    finally:
        await _end(process)
    return await asyncio.to_thread(_read_answer, folder, code)


def _prepare(folder: Path, order: bytes) -> None:
    (folder / RESULT_FILE).unlink(missing_ok=True)
    (folder / ORDER_FILE).write_bytes(order)


async def _listen(process: Process, tell: Tell) -> None:
    assert process.stdout is not None
    async for line in process.stdout:
        told = msgspec.json.decode(line, type=Progress)
        tell(told.progress, told.message)


async def _keep_log(process: Process, name: str, log_bytes: int) -> None:
    assert process.stderr is not None
    kept = 0
    while piece := await process.stderr.read(1 << 14):
        room = log_bytes - kept
        if room <= 0:
            continue
        kept += len(piece)
        text = piece[:room].decode(errors="replace").rstrip()
        log.info("job says", job=name, text=text + (" [cut]" if kept >= log_bytes else ""))


async def _end(process: Process) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    if process.stdin is not None:
        process.stdin.close()
    await asyncio.shield(process.wait())


def _read_answer(folder: Path, code: int) -> dict[str, Any]:
    try:
        found = msgspec.json.decode((folder / RESULT_FILE).read_bytes(), type=Answer)
    except (FileNotFoundError, msgspec.DecodeError):
        how = f"by {signal.Signals(-code).name}" if code < 0 else f"with status {code}"
        hint = "; it may have run out of memory" if code == -signal.SIGKILL else ""
        raise ProcessDied(f"The job's process was ended {how}{hint}") from None
    if found.failure is not None:
        kind: type[FoodexError] = family().get(found.failure.type, InternalError)
        raise kind(found.failure.message, problems=found.failure.problems)
    assert found.result is not None
    return found.result
