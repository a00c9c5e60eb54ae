"""The append-only log of finished loads: one JSON object a line, each load once."""

import os
from pathlib import Path

import msgspec

from foodex.domain.loads import Load
from foodex.services.collector.repository import log_line


class LogFile:
    """Appends loads; blocking, to be called off the loop."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def append(self, load: Load) -> None:
        """Add a finished load, on disk when this returns."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        line = msgspec.json.encode(log_line(load)) + b"\n"
        with self._path.open("ab+") as file:
            # A line cut off by a power failure must not swallow the next one.
            if file.tell():
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":
                    line = b"\n" + line
            file.write(line)
            file.flush()
            os.fsync(file.fileno())

    def append_missing(self, loads: tuple[Load, ...]) -> None:
        """Add those of the loads that are not there yet: a stop came between load and log."""
        if not loads:
            return
        there = set()
        if self._path.exists():
            with self._path.open("rb") as file:
                for line in file:
                    try:
                        there.add(msgspec.json.decode(line).get("id"))
                    except (msgspec.DecodeError, AttributeError):
                        continue
        for load in loads:
            if load.id not in there:
                self.append(load)
