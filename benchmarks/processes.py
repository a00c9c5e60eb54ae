"""Run FoodEx as its users do, in processes of its own."""

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOODEX = (sys.executable, "-m", "foodex.cli")


@dataclass(frozen=True, slots=True)
class Ended:
    """A command that has ended: its output, its seconds and the most memory it held."""

    output: str
    seconds: float
    peak_mib: float

    def json(self) -> Any:
        return json.loads(self.output)


def foodex(*arguments: str, state: Path) -> Ended:
    """Run one command to its end; raises with what it complained of."""
    return run(*FOODEX, *arguments, "--state", str(state))


def run(*command: str) -> Ended:
    """Run a program to its end; raises with what it complained of."""
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stderr
        output = process.stdout.read()
        complaint = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - began
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{complaint.decode()[-2000:]}")
    return Ended(output.decode(), seconds, usage.ru_maxrss / 1024)


@dataclass(frozen=True, slots=True)
class Up:
    """A FoodEx that runs."""

    url: str
    key: str
    pid: int
    seconds_to_ready: float

    def memory_mib(self) -> float:
        """What the process holds now (resident set)."""
        with Path(f"/proc/{self.pid}/status").open() as file:
            line = next(line for line in file if line.startswith("VmRSS"))
        return int(line.split()[1]) / 1024


@contextmanager
def up(state: Path, *arguments: str, environment: Mapping[str, str] | None = None) -> Iterator[Up]:
    """Run `foodex up` on a free port and stop it at the end of the block."""
    began = time.perf_counter()
    command = (*FOODEX, "up", "--port", "0", "--state", str(state), *arguments)
    with subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, **(environment or {})},
    ) as process:
        try:
            url = _wait_until_ready(process, state, began + 300)
            seconds = time.perf_counter() - began
            yield Up(url, (state / "key").read_text().strip(), process.pid, seconds)
        finally:
            process.terminate()
            process.wait(30)


def _wait_until_ready(process: "subprocess.Popen[bytes]", state: Path, until: float) -> str:
    while time.perf_counter() < until:
        if process.poll() is not None:
            assert process.stderr
            raise RuntimeError(f"foodex up ended:\n{process.stderr.read().decode()[-2000:]}")
        try:
            running = json.loads((state / "running.json").read_text())
            if running["pid"] == process.pid:
                url = str(running["url"])
                with urllib.request.urlopen(url + "/health/ready", timeout=5) as answer:
                    if answer.status == 200:
                        return url
        except (OSError, ValueError, urllib.error.URLError):
            pass
        time.sleep(0.02)
    raise RuntimeError("foodex up did not become ready")


class Asker:
    """Asks a running FoodEx under `/api/v1` and expects success."""

    def __init__(self, url: str, key: str) -> None:
        self.url, self.key = url + "/api/v1", key

    def __call__(self, method: str, path: str, body: Any = None) -> Any:
        """The answer's JSON; `body` is sent as JSON, bytes as they are."""
        return json.loads(self.content(method, path, body) or b"null")

    def content(self, method: str, path: str, body: Any = None) -> bytes:
        """The answer as it came."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"authorization": f"Bearer {self.key}", "content-type": "application/json"}
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                content: bytes = answer.read()
                return content
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"{method} {path}: {error.code} {error.read()!r}") from error

    def until_done(self, path: str, number: object) -> Any:
        """Wait until a load or a job is done, and give it; `RuntimeError` where it failed."""
        until = time.perf_counter() + 300
        while time.perf_counter() < until:
            found = self("GET", f"{path}/{number}?wait=5&seen=1")
            if found["state"] == "done":
                return found
            if found["state"] not in ("waiting", "running"):
                raise RuntimeError(f"{path}/{number}: {found}")
        raise RuntimeError(f"{path}/{number} took too long")
