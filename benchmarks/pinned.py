"""Servers on one core and their callers on another, each run in processes of its own."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

HOST: Final = "127.0.0.1"
SERVER_CORE, CLIENT_CORE = "0", "1"
ROOT: Final = Path(__file__).parent.parent
_ONE_THREAD: Final = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"
)


@dataclass(frozen=True, slots=True)
class Request:
    """One request to a server: `POST path` with headers and a JSON body."""

    path: str
    body: str
    headers: Mapping[str, str]

    def send(self, port: int) -> Any:
        """Send it once; the answer's JSON. Raises `OSError` for no answer or a bad status."""
        request = urllib.request.Request(
            f"http://{HOST}:{port}{self.path}",
            data=self.body.encode(),
            headers={"content-type": "application/json", **self.headers},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read())


@dataclass(frozen=True, slots=True)
class Figures:
    """What one run of load measured."""

    per_second: float
    p50_ms: float
    p99_ms: float
    errors: int
    client_busy: float


def free_port() -> int:
    """A port where nothing listens, not even a server that would share it."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
    return port


def check_nobody_listens(port: int, *, seconds: float = 0.0) -> None:
    """Raise `RuntimeError` if something still answers there after so long.

    A left-over server that shares the port (SO_REUSEPORT) would silently take its part of a run.
    """
    until = time.perf_counter() + seconds
    while True:
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex((HOST, port)):
                return
        if time.perf_counter() >= until:
            raise RuntimeError(f"Something listens on port {port} already")
        time.sleep(0.1)


@contextmanager
def server(
    command: Sequence[str],
    *,
    port: int,
    ready: Request,
    environment: Mapping[str, str] | None = None,
    folder: Path = ROOT,
    seconds: float = 120,
    core: str = SERVER_CORE,
) -> Iterator[int]:
    """Run a server on its core until the block ends; gives its process id once it answers."""
    check_nobody_listens(port)
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            ("taskset", "-c", core, *command),
            cwd=folder,
            env={**os.environ, **_ONE_THREAD, **(environment or {})},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            _until_it_answers(process, ready, port, time.perf_counter() + seconds, log)
            yield process.pid
        finally:
            # Model servers leave children behind: the whole session that was started here ends.
            _end(process)
            check_nobody_listens(port, seconds=10)


def _until_it_answers(
    process: "subprocess.Popen[bytes]", ready: Request, port: int, until: float, log: Any
) -> None:
    said: object = ""
    while process.poll() is None and time.perf_counter() < until:
        try:
            ready.send(port)
        except urllib.error.HTTPError as error:
            said = f"{error.code} {error.read()[:500]!r}"
        except OSError as error:
            said = error
        else:
            return
        time.sleep(0.2)
    log.seek(0)
    tail = log.read().decode(errors="replace")[-3000:]
    raise RuntimeError(f"{' '.join(process.args)} did not answer ({said}):\n{tail}")  # type: ignore[arg-type]


def _end(process: "subprocess.Popen[bytes]") -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(15)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(15)


def load(port: int, requests: Sequence[Request], *, connections: int, seconds: float) -> Figures:
    """Put a server under load from the other core."""
    spec = {
        "host": HOST,
        "port": port,
        "path": requests[0].path,
        "requests": [{"headers": dict(one.headers), "body": one.body} for one in requests],
        "connections": connections,
        "warm_seconds": min(2.0, seconds / 2),
        "seconds": seconds,
    }
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(spec, file)
        file.flush()
        command = ("taskset", "-c", CLIENT_CORE, sys.executable, "-m", "benchmarks.load", file.name)
        done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=120)
    told = json.loads(done.stdout)
    if told["errors"]:
        print(f"  {told['errors']} errors: {told['statuses']} {told['first_wrong'][:300]}")
    names = ("per_second", "p50_ms", "p99_ms", "errors", "client_busy")
    return Figures(*(told[name] for name in names))


def tree(pid: int) -> dict[int, list[str]]:
    """A process and all that it started: the fields of `/proc/PID/stat` behind the name."""
    found: dict[int, list[str]] = {}
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            found[int(folder.name)] = fields
            children.setdefault(int(fields[1]), []).append(int(folder.name))
    waiting, inside = [pid], []
    while waiting:
        one = waiting.pop()
        inside.append(one)
        waiting += children.get(one, ())
    return {one: found[one] for one in inside if one in found}


def memory_mib(pid: int) -> float:
    """What a process and all that it started hold now (resident set)."""
    pages = sum(int(fields[21]) for fields in tree(pid).values())
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


class Others:
    """How much of the server's core others took meanwhile: a share from 0 to 1.

    On a machine that others use too, this tells whether a figure says anything.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._began, self._at_first = time.perf_counter(), self._ticks()

    def share(self) -> float:
        """Since this was made."""
        seconds = time.perf_counter() - self._began
        return max(0.0, (self._ticks() - self._at_first) / os.sysconf("SC_CLK_TCK") / seconds)

    def _ticks(self) -> int:
        line = next(
            line
            for line in Path("/proc/stat").read_text().splitlines()
            if line.startswith(f"cpu{SERVER_CORE} ")
        )
        user, nice, system, _, _, irq, soft, stolen = map(int, line.split()[1:9])
        own = sum(int(fields[11]) + int(fields[12]) for fields in tree(self._pid).values())
        return user + nice + system + irq + soft + stolen - own
