"""A whole FoodEx as users start it: `foodex up` in a process of its own, spoken to over HTTP."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

from tests.support.command_line import ROOT
from tests.support.lives import Nursery, Process

AnyProcess: TypeAlias = "subprocess.Popen[bytes] | Process"

_START_SECONDS: Final = 120.0


@dataclass(frozen=True, slots=True)
class Told:
    """An HTTP answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


class Foodex:
    """A FoodEx that answers at an address, and the key of the system itself."""

    def __init__(self, url: str, key: str) -> None:
        self.url, self.key = url, key

    def __call__(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Told:
        """Ask; bytes are sent as they are, other bodies as JSON; `key=""` sends none."""
        given = dict(headers or {})
        key = self.key if key is None else key
        if key:
            given["authorization"] = f"Bearer {key}"
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            given.setdefault("content-type", "application/json")
        request = urllib.request.Request(self.url + path, data=body, headers=given, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return Told(answer.status, answer.headers, answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return Told(error.code, error.headers, error.read())

    def ok(self, method: str, path: str, body: Any = None, *, key: str | None = None) -> Any:
        """Ask under /api/v1 and expect success; the answer's JSON, or None where it has none."""
        told = self(method, "/api/v1" + path, body, key=key)
        assert 200 <= told.status < 300, (told.status, told.body[:2000])
        return told.json if told.body else None

    def load(self, name: str, content: bytes, *, mapping: str, dataset: str) -> Any:
        """Upload a file and begin to load it."""
        source = self.ok("POST", f"/collector/uploads?name={name}", content)
        wish = {"source": source, "mapping": mapping, "dataset": dataset}
        return self.ok("POST", "/collector/loads", wish)

    def follow(self, path: str, until: Callable[[Any], bool], seconds: float = 60) -> Any:
        """Wait on a load's or a job's own progress until it is as wanted."""
        ends = time.monotonic() + seconds
        found = self.ok("GET", path)
        while not until(found):
            assert time.monotonic() < ends, found
            found = self.ok("GET", f"{path}?wait=5&seen={found['progress']}")
        return found

    def ended(self, path: str, seconds: float = 60) -> Any:
        """A load or a job when it has ended."""
        return self.follow(path, lambda f: f["state"] not in ("waiting", "running"), seconds)


class Up(Foodex):
    """A `foodex up` that answers."""

    def __init__(self, process: AnyProcess, state: Path, log: Path) -> None:
        self.process, self.state, self.log = process, state, log
        note = json.loads((state / "running.json").read_bytes())
        super().__init__(str(note["url"]), (state / "key").read_text().strip())

    def kill(self) -> None:
        """As a power failure would: no goodbye."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(20)


@contextmanager
def up(
    state: Path,
    *words: str,
    env: Mapping[str, str] | None = None,
    until: Callable[[], bool] | None = None,
    lives: Nursery | None = None,
) -> Iterator[Up]:
    """Start FoodEx on a free port; it is stopped, and gone, at the end of the block.

    The block begins when it answers, or as soon as `until` is true: what it does while it starts
    may be over before it answers. It is one of the `lives`, which begin sooner, or is started as
    users start it.
    """
    log = state.with_name(state.name + ".log")
    with _begun(words, state, log, env or {}, lives) as process:
        try:
            _until_it_answers(process, state, log, until or (lambda: False))
            yield Up(process, state, log)
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                raise


@contextmanager
def _begun(
    words: tuple[str, ...],
    state: Path,
    log: Path,
    env: Mapping[str, str],
    lives: Nursery | None,
) -> Iterator[AnyProcess]:
    if lives is not None:
        yield Process(lives, lives.start("up", *words, state=state, log=log, env=env))
        return
    environment = {k: v for k, v in os.environ.items() if not k.startswith("FOODEX_")}
    with (
        log.open("ab") as output,
        subprocess.Popen(
            [sys.executable, "-m", "foodex.cli", "up", "--port", "0", *words],
            cwd=ROOT,
            env=environment | {"FOODEX_STATE_DIR": str(state)} | dict(env),
            stdout=output,
            stderr=output,
        ) as process,
    ):
        yield process


def _until_it_answers(
    process: AnyProcess, state: Path, log: Path, until: Callable[[], bool]
) -> None:
    # A killed one leaves its note behind; ours bears our own number.
    note, ends = state / "running.json", time.monotonic() + _START_SECONDS
    while True:
        assert process.poll() is None, log.read_text()[-4000:]
        assert time.monotonic() < ends, log.read_text()[-4000:]
        if until() or (note.exists() and json.loads(note.read_bytes())["pid"] == process.pid):
            return
        time.sleep(0.02)
