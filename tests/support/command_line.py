"""The command line as its users meet it, in one process of its own that stays.

Starting Python costs seconds and a process can open one warehouse folder only, so the commands of
many tests run one after another in a helper process, each with its own output, and this process
keeps its own warehouse. Run as a module, this file is that helper.
"""

import json
import os
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

ROOT: Final = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command left: its exit code and what it wrote; memory is the helper's peak so far."""

    code: int
    out: str
    err: str
    peak_memory_kib: int

    @property
    def json(self) -> Any:
        """Standard output as JSON."""
        return json.loads(self.out)


class CommandLine:
    """Runs `foodex` commands; `folder` is where they run."""

    def __init__(self, process: "subprocess.Popen[bytes]", folder: Path) -> None:
        self._process, self._folder = process, folder

    def __call__(
        self, *words: object, state: Path | None = None, env: Mapping[str, str] | None = None
    ) -> Answer:
        """Run one command; `state` becomes FOODEX_STATE_DIR."""
        environment = dict(env or {})
        if state is not None:
            environment["FOODEX_STATE_DIR"] = str(state)
        wish = {"words": [str(w) for w in words], "env": environment, "folder": str(self._folder)}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(wish).encode() + b"\n")
        self._process.stdin.flush()
        return msgspec.json.decode(self._process.stdout.readline(), type=Answer)


@contextmanager
def command_line(folder: Path) -> Iterator[CommandLine]:
    """A helper process whose commands run in the folder."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("FOODEX_")}
    environment["COLUMNS"] = "200"
    with subprocess.Popen(
        [sys.executable, "-m", "tests.support.command_line"],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        yield CommandLine(process, folder)
        assert process.stdin is not None
        process.stdin.close()
        process.wait(20)


def _run(words: list[str]) -> int:
    from foodex.cli.main import main

    sys.argv = ["foodex", *words]
    try:
        main()
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(bool(ended.code))
    except BaseException:  # noqa: BLE001
        traceback.print_exc()
        return 1
    return 0


def _serve() -> None:
    import resource

    answers = os.fdopen(os.dup(1), "w")
    usual = dict(os.environ)
    for line in sys.stdin:
        wish = json.loads(line)
        os.chdir(wish["folder"])
        os.environ.clear()
        os.environ.update(usual | wish["env"])
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            os.dup2(out.fileno(), 1)
            os.dup2(err.fileno(), 2)
            code = _run(wish["words"])
            for stream in (sys.stdout, sys.stderr):
                with suppress(ValueError):
                    stream.flush()
            texts = []
            for file in (out, err):
                file.seek(0)
                texts.append(file.read().decode())
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        answer = {"code": code, "out": texts[0], "err": texts[1], "peak_memory_kib": memory}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    _serve()
