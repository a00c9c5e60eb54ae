"""The process of a job's heavy work: `python -m foodex.services.jobs.child FOLDER`.

Reads its order in the folder, tells its progress as JSON lines on standard output, and leaves an
answer. It talks to no database. When its standard input closes its parent is gone, and so is it.
"""

import importlib
import logging
import os
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from foodex.core import memory
from foodex.core.errors import FoodexError, InternalError
from foodex.services.jobs.wire import (
    ORDER_FILE,
    RESULT_FILE,
    Answer,
    Failure,
    Order,
    Progress,
    Tell,
)


class ChildTask:
    """Implements `ports.work.Task`."""

    def __init__(self, arguments: Mapping[str, Any], folder: Path, tell: Tell) -> None:
        self.arguments, self.folder, self._tell = arguments, folder, tell

    def report(self, progress: float, message: str) -> None:
        """Say how far the work is, from 0 to 1."""
        self._tell(progress, message)


def main() -> int:
    """Do the work of the folder named on the command line; 0 if it left an answer."""
    folder = Path(sys.argv[1])
    memory.spare()
    tell = _take_over_output()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        order = msgspec.json.decode((folder / ORDER_FILE).read_bytes(), type=Order)
        os.nice(order.nice)
        work = getattr(importlib.import_module(order.module), order.function)
        found = work(ChildTask(order.arguments, folder, tell))
        encoded = msgspec.json.encode(Answer(result=dict(found)))
    except FoodexError as error:
        encoded = _failed(error)
    except Exception:
        logging.getLogger("foodex.jobs").exception("the work failed")
        encoded = _failed(InternalError("A fault of ours ended the work; the log has its cause"))
    unfinished = folder / (RESULT_FILE + ".part")
    unfinished.write_bytes(encoded)
    unfinished.rename(folder / RESULT_FILE)
    return 0


def _failed(error: FoodexError) -> bytes:
    return msgspec.json.encode(Answer(failure=Failure(error.type, error.message, error.problems)))


def _take_over_output() -> Tell:
    # Libraries print to standard output as they please; that goes to the log, and a private copy
    # of the descriptor carries the progress.
    progress = os.dup(1)
    os.dup2(2, 1)

    def tell(share: float, what: str) -> None:
        line = msgspec.json.encode(Progress(share, what[:200])) + b"\n"
        os.write(progress, line)

    return tell


def _end_with_parent() -> None:
    while os.read(0, 1):
        pass
    os._exit(3)


if __name__ == "__main__":
    sys.exit(main())
