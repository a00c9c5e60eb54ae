"""Scenarios as another process sees them."""

from collections.abc import AsyncIterator, Mapping
from typing import Any, Final
from urllib.parse import quote

from foodex.core.peer import Peer
from foodex.domain.jobs import FileLink
from foodex.domain.scenarios import EVERY_RUN, Run, RunFilter, RunsPage, ScenarioDescription

_HERE: Final = "/api/v1/scenarios"


class ScenariosClient:
    """Implements `ports.scenarios.Scenarios` over HTTP."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer

    async def scenarios(self) -> tuple[ScenarioDescription, ...]:
        """Those that whoever acts may run, by name."""
        return await self._peer.call("GET", _HERE, type=tuple[ScenarioDescription, ...])

    async def scenario(self, name: str) -> ScenarioDescription:
        """One of them."""
        return await self._peer.call("GET", _path(name), type=ScenarioDescription)

    async def start(
        self, name: str, parameters: Mapping[str, Any], *, key: str | None = None
    ) -> Run:
        """Begin a run."""
        return await self._peer.call(
            "POST", _path(name, "runs"), type=Run, json=dict(parameters), headers=_keyed(key)
        )

    async def runs(
        self, filter_: RunFilter = EVERY_RUN, *, before: str | None = None, limit: int = 100
    ) -> RunsPage:
        """One page of the history, newest first."""
        params = {
            "scenario": filter_.scenarios,
            "state": [state.value for state in filter_.states],
            "who": filter_.who,
            "before": before,
            "limit": limit,
        }
        return await self._peer.call("GET", _path("runs"), type=RunsPage, params=params)

    async def reports(self, *, before: str | None = None, limit: int = 100) -> RunsPage:
        """One page of the reports that are done, newest first."""
        params = {"before": before, "limit": limit}
        return await self._peer.call("GET", "/api/v1/reports", type=RunsPage, params=params)

    async def run(self, run_id: str) -> Run:
        """One run, as far as it is."""
        return await self._peer.call("GET", _path("runs", run_id), type=Run)

    async def wait_for_run(self, run_id: str, *, seen: float, timeout_seconds: float) -> Run:
        """The run once its progress has passed `seen` or it ended, at most after the timeout."""
        # Below the peer's own patience, and below what the route allows.
        params = {"wait": min(timeout_seconds, 30.0), "seen": seen}
        return await self._peer.call("GET", _path("runs", run_id), type=Run, params=params)

    async def repeat(self, run_id: str, *, anew: bool = False, key: str | None = None) -> Run:
        """Run it again."""
        return await self._peer.call(
            "POST",
            _path("runs", run_id, "repeat"),
            type=Run,
            params={"anew": anew},
            headers=_keyed(key),
        )

    async def cancel(self, run_id: str) -> Run:
        """Stop an unfinished run."""
        return await self._peer.call("POST", _path("runs", run_id, "cancel"), type=Run)

    async def file(self, run_id: str, name: str) -> AsyncIterator[bytes]:
        """A file of a run that is done, in pieces."""
        async for piece in self._peer.stream("GET", _path("runs", run_id, "files", name)):
            yield piece

    async def link(self, run_id: str, name: str) -> FileLink:
        """A link to a file of a run that is done."""
        path = _path("runs", run_id, "files", name, "link")
        return await self._peer.call("POST", path, type=FileLink)


def _keyed(key: str | None) -> dict[str, str]:
    return {} if key is None else {"idempotency-key": key}


def _path(*parts: str) -> str:
    return "/".join([_HERE, *(quote(part, safe="") for part in parts)])
