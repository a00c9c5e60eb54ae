"""What the gateway does with scenarios: tells of them, runs them, and keeps their history."""

from collections.abc import AsyncIterator, Mapping
from typing import Any, Protocol

from foodex.domain.jobs import FileLink
from foodex.domain.scenarios import EVERY_RUN, Run, RunFilter, RunsPage, ScenarioDescription


class Scenarios(Protocol):
    """The things people want done. Who acts is in the context; a client sees their own runs."""

    async def scenarios(self) -> tuple[ScenarioDescription, ...]:
        """Those that whoever acts may run, by name."""
        ...

    async def scenario(self, name: str) -> ScenarioDescription:
        """One of them; `NotFound`, with close names, and `Forbidden` for one of other roles."""
        ...

    async def start(
        self, name: str, parameters: Mapping[str, Any], *, key: str | None = None
    ) -> Run:
        """Begin a run; the same `key` from the same caller gives the run that there is.

        Raises `InvalidInput` naming every wrong parameter, `Forbidden`, and `PaymentRequired`
        where the account does not cover its price.
        """
        ...

    async def runs(
        self, filter_: RunFilter = EVERY_RUN, *, before: str | None = None, limit: int = 100
    ) -> RunsPage:
        """One page of the history, newest first."""
        ...

    async def reports(self, *, before: str | None = None, limit: int = 100) -> RunsPage:
        """One page of the reports that are done, newest first."""
        ...

    async def run(self, run_id: str) -> Run:
        """One run, as far as it is; `NotFound`."""
        ...

    async def wait_for_run(self, run_id: str, *, seen: float, timeout_seconds: float) -> Run:
        """The run once its progress has passed `seen` or it ended, at most after the timeout."""
        ...

    async def repeat(self, run_id: str, *, anew: bool = False, key: str | None = None) -> Run:
        """Run it again: exactly as it was made, or `anew` with what was asked for then."""
        ...

    async def cancel(self, run_id: str) -> Run:
        """Stop an unfinished run; `Conflict` if it has ended."""
        ...

    def file(self, run_id: str, name: str) -> AsyncIterator[bytes]:
        """A file of a run that is done, in pieces; `NotFound`."""
        ...

    async def link(self, run_id: str, name: str) -> FileLink:
        """A link to a file of a run that is done; it needs no sign-in and expires."""
        ...
