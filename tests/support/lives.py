"""Many lives of FoodEx, one after another or side by side, each begun in a second.

Importing FoodEx takes most of the time that it needs to start. A process that has imported it, and
done nothing else, forks whenever a life is wanted; the child runs `foodex` with the words given, as
in a shell. Run as a module, this file is that process.
"""

import json
import os
import resource
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

from tests.support.command_line import ROOT

LEAN: Final = {
    "FOODEX_ACCOUNTS__ARGON2_MEMORY_KIB": "8",
    "FOODEX_ACCOUNTS__ARGON2_PASSES": "1",
    "FOODEX_CITY__DEMONSTRATION": "false",
    "FOODEX_LIMITS__KEY_PER_MINUTE": "0",
    "FOODEX_LIMITS__ADDRESS_PER_MINUTE": "0",
    "FOODEX_LOG__LEVEL": "warning",
}
_START_SECONDS: Final = 120.0


class Life:
    """A running `foodex up`."""

    def __init__(self, nursery: "Nursery", pid: int, state: Path, log: Path) -> None:
        self._nursery, self.pid, self.state, self.log = nursery, pid, state, log
        self.port = 0

    def wait(self) -> "Life":
        """Return when it answers."""
        note, ends = self.state / "running.json", time.monotonic() + _START_SECONDS
        while True:
            assert self._nursery.ended(self.pid) is None, self.log.read_text()[-4000:]
            assert time.monotonic() < ends, self.log.read_text()[-4000:]
            # A killed one leaves its note behind; ours bears our own number.
            if note.exists() and (told := json.loads(note.read_bytes()))["pid"] == self.pid:
                self.port = int(told["url"].rpartition(":")[2])
                return self
            time.sleep(0.01)

    @property
    def key(self) -> str:
        """The system's own key."""
        return (self.state / "key").read_text().strip()

    def kill(self) -> None:
        """As a power failure would: no goodbye."""
        self._nursery.signal(self.pid, signal.SIGKILL)

    def stop(self) -> int:
        """End it as its owner does; its exit code."""
        return self._nursery.signal(self.pid, signal.SIGTERM)

    def file_limit(self, size_bytes: int | None) -> None:
        """No file of it may grow beyond this from now on; None lifts the limit."""
        size = resource.RLIM_INFINITY if size_bytes is None else size_bytes
        resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


class Process:
    """A life as `subprocess` would show it; `send_signal` returns when it is over."""

    def __init__(self, nursery: "Nursery", pid: int) -> None:
        self._nursery, self.pid = nursery, pid

    def poll(self) -> int | None:
        """Its exit code, if it has ended."""
        return self._nursery.ended(self.pid)

    def send_signal(self, number: int) -> None:
        """End it."""
        self._nursery.signal(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """As a power failure would."""
        self.send_signal(signal.SIGKILL)

    def wait(self, _: float) -> int:
        """Its exit code, after a signal."""
        return self._nursery.signal(self.pid, signal.SIGTERM)


class Nursery:
    """Begins lives."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def begin(self, state: Path, env: Mapping[str, str] | None = None) -> Life:
        """Start `foodex up` on this state folder; it need not answer yet."""
        log = state.with_name(state.name + ".log")
        return Life(self, self.start("up", "--no-demo", state=state, log=log, env=env), state, log)

    def start(
        self,
        *words: str,
        state: Path,
        log: Path,
        port: int = 0,
        env: Mapping[str, str] | None = None,
    ) -> int:
        """Start a command that serves; the number of its process."""
        place = {**LEAN, "FOODEX_STATE_DIR": str(state), **(env or {})}
        pid: int = self._ask("begin", [*words, "--port", str(port)], place, str(log))
        return pid

    def run(self, *words: str, state: Path, env: Mapping[str, str] | None = None) -> int:
        """Run one command to its end; its exit code."""
        log = state.with_name(state.name + ".commands.log")
        place = {**LEAN, "FOODEX_STATE_DIR": str(state), **(env or {})}
        return self._ask("wait", self._ask("begin", list(words), place, str(log)))

    def ended(self, pid: int) -> int | None:
        """The exit code of a life that is over (a signal's is negative), else None."""
        code: int | None = self._ask("ended", pid)
        return code

    def signal(self, pid: int, number: int) -> int:
        """Send a signal and wait for the end; the exit code."""
        return self._ask("signal", pid, int(number))

    def _ask(self, *wish: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(wish) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


@contextmanager
def nursery() -> Iterator[Nursery]:
    """Within the block lives can be begun; at its end those that are left are killed."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("FOODEX_")}
    with subprocess.Popen(
        [sys.executable, "-m", "tests.support.lives"],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield Nursery(process)
        assert process.stdin is not None
        process.stdin.close()
        process.wait(20)


class _Parent:
    """Forks and reaps; a life that has ended keeps its number until it was asked about."""

    def __init__(self, answers: IO[str]) -> None:
        self.answers = answers
        self.codes: dict[int, int | None] = {}

    def begin(self, words: list[str], env: Mapping[str, str], log: str) -> int:
        pid = os.fork()
        if pid == 0:
            self.answers.close()
            _live(words, env, log)
        self.codes[pid] = None
        return pid

    def ended(self, pid: int) -> int | None:
        return self._reap(pid, os.WNOHANG)

    def wait(self, pid: int) -> int | None:
        return self._reap(pid, 0)

    def signal(self, pid: int, number: int) -> int | None:
        if self.ended(pid) is None:
            os.kill(pid, number)
        return self._reap(pid, 0)

    def kill_all(self) -> None:
        for pid in self.codes:
            self.signal(pid, signal.SIGKILL)

    def _reap(self, pid: int, options: int) -> int | None:
        if self.codes[pid] is None:
            found, status = os.waitpid(pid, options)
            if found:
                self.codes[pid] = os.waitstatus_to_exitcode(status)
        return self.codes[pid]


def _live(words: list[str], env: Mapping[str, str], log: str) -> None:
    from foodex.cli.main import main

    code = 1
    try:
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        for stream in (1, 2):
            os.dup2(output, stream)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.environ.update(env)
        sys.argv = ["foodex", *words]
        main()
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(bool(ended.code))
    except BaseException:  # noqa: BLE001
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        # Not the parent's business at its own exit.
        os._exit(code)


def _serve() -> None:
    # What `foodex up` imports when it is called.
    import foodex.cli.serving

    assert foodex.cli.serving
    parent = _Parent(os.fdopen(os.dup(1), "w"))
    os.dup2(2, 1)
    calls: dict[str, Callable[..., Any]] = {
        "begin": parent.begin,
        "ended": parent.ended,
        "wait": parent.wait,
        "signal": parent.signal,
    }
    try:
        # Not by iterating, which reads ahead: a child would inherit what is to come.
        while line := sys.stdin.readline():
            name, *rest = json.loads(line)
            print(json.dumps(calls[name](*rest)), file=parent.answers, flush=True)
    finally:
        parent.kill_all()


if __name__ == "__main__":
    _serve()
