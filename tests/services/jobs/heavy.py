"""Heavy work for tests, which runs in a process of its own."""

import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from foodex.core.errors import FieldProblem, InvalidInput
from foodex.ports.work import Task


def work(task: Task) -> Mapping[str, Any]:
    """Does in a process of its own what it is told."""
    how = task.arguments.get("how", "count")
    note(task.arguments, str(os.getpid()))
    if how == "input":
        raise InvalidInput("No good", problems=[FieldProblem("rows", "are few", 7)])
    if how == "bug":
        raise ZeroDivisionError
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "exit":
        os._exit(4)
    if how == "sleep":
        time.sleep(60)
    total = 0
    for step in range(4):
        total += sum(range(task.arguments.get("size", 1000)))
        task.report((step + 1) / 4, f"step {step + 1}")
    print("noise that is nobody's progress")  # noqa: T201
    (task.folder / "made.txt").write_text("made")
    return {"total": total, "pid": os.getpid()}


def note(parameters: Mapping[str, Any], what: str) -> None:
    """Append a line to the file that the parameters name, if they do."""
    if "note" in parameters:
        with Path(parameters["note"]).open("a") as file:
            file.write(what + "\n")
