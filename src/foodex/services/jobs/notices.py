"""What those in one process tell each other at once, without asking the database."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Told:
    """How far a job is that is done in this process."""

    progress: float
    message: str
    seconds_left: float | None


class Notices:
    """Shared by the service and the worker of one process."""

    def __init__(self) -> None:
        self.told: dict[str, Told] = {}
        self._stops: dict[str, Callable[[], None]] = {}
        self._changed = asyncio.Event()

    @property
    def changed(self) -> asyncio.Event:
        """Set as soon as something changes; ask for it before looking."""
        return self._changed

    def change(self) -> None:
        """Wake those who wait for a change."""
        self._changed.set()
        self._changed = asyncio.Event()

    def begin(self, job_id: str, stop: Callable[[], None]) -> None:
        """Say that a job is done here, and how to stop it."""
        self._stops[job_id] = stop

    def end(self, job_id: str) -> None:
        """Say that a job is done here no more."""
        self._stops.pop(job_id, None)
        self.told.pop(job_id, None)
        self.change()

    def tell(self, job_id: str, told: Told) -> None:
        """Say how far a job is."""
        self.told[job_id] = told
        self.change()

    def stop(self, job_id: str) -> None:
        """Stop a job if it is done here."""
        if stop := self._stops.get(job_id):
            stop()
