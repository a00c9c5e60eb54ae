"""A job's own process: started, listened to, and ended whatever happens."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import structlog

from foodex.core.errors import FieldProblem, FoodexError, InternalError, InvalidInput, family

log = structlog.get_logger("foodex.ml")

REQUEST_FILE: Final = "request.json"
RESULT_FILE: Final = "result.json"
DATA_FILE: Final = "data.arrow"
MODEL_FOLDER: Final = "model"

Tell = Callable[[float, str], None]
"""Told the share done, 0 to 1, and what is being done."""

_THREAD_VARIABLES: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS")


class ProcessDied(InternalError):
    """The job's process was ended from outside."""


class _Told(msgspec.Struct):
    progress: float
    message: str


class _Failure(msgspec.Struct):
    type: str
    message: str
    problems: tuple[FieldProblem, ...] = ()


class _Result(msgspec.Struct):
    result: dict[str, Any] | None = None
    failure: _Failure | None = None


def write_request(folder: Path, request: Mapping[str, Any]) -> None:
    """Leave the request where the process looks for it."""
    (folder / REQUEST_FILE).write_bytes(msgspec.json.encode(request))


async def run_job_process(
    folder: Path, *, tell: Tell, threads: int, log_bytes: int, timeout_seconds: float
) -> dict[str, Any]:
    """Run the job of a folder that holds its request and data; returns its result.

    What the process writes to its standard error goes to our log, at most `log_bytes` of it.
    The process is gone when this returns, is cancelled or fails.

    Raises:
        FoodexError: as the process met it, of the same class.
        ProcessDied: the process ended without a result.
    """
    (folder / RESULT_FILE).unlink(missing_ok=True)
    environment = dict(os.environ)
    if threads:
        environment |= dict.fromkeys(_THREAD_VARIABLES, str(threads))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "foodex.services.ml.job", str(folder)),
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
        env=environment,
        # A terminal's Ctrl-C is for us; we end the process in our own time.
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(timeout_seconds):
            await asyncio.gather(_listen(process, tell), _keep_log(process, folder.name, log_bytes))
            code = await process.wait()
    except TimeoutError:
        raise InvalidInput(f"The job took longer than the {timeout_seconds:g} s allowed") from None
    finally:
        await _end(process)
    return _read_result(folder, code)


async def _listen(process: Process, tell: Tell) -> None:
    assert process.stdout is not None
    async for line in process.stdout:
        told = msgspec.json.decode(line, type=_Told)
        tell(min(max(told.progress, 0.0), 1.0), told.message[:200])


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
    if process.returncode is None:
        process.kill()
    if process.stdin is not None:
        process.stdin.close()
    await asyncio.shield(process.wait())


def _read_result(folder: Path, code: int) -> dict[str, Any]:
    try:
        found = msgspec.json.decode((folder / RESULT_FILE).read_bytes(), type=_Result)
    except (FileNotFoundError, msgspec.DecodeError):
        how = f"with status {code}"
        if code < 0:
            how = f"by {signal.Signals(-code).name}"
        hint = "; it may have run out of memory" if code == -signal.SIGKILL else ""
        raise ProcessDied(f"The job's process was ended {how}{hint}") from None
    if found.failure is not None:
        kind: type[FoodexError] = family().get(found.failure.type, InternalError)
        raise kind(found.failure.message, problems=found.failure.problems)
    assert found.result is not None
    return found.result
