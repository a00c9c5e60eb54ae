"""Heavy work of a job, done in a process of its own; apart, so that the process starts fast."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol


class Task(Protocol):
    """What heavy work is given."""

    @property
    def arguments(self) -> Mapping[str, Any]:
        """What was handed over: plain values of JSON."""
        ...

    @property
    def folder(self) -> Path:
        """A folder that the work shares with the job that started it, and with nobody else."""
        ...

    def report(self, progress: float, message: str) -> None:
        """Say how far the work is, from 0 to 1."""
        ...


Work = Callable[[Task], Mapping[str, Any]]
"""A function of a module, called in a process of its own; returns plain values of JSON.

The process imports that module, so a light one starts sooner.
"""
