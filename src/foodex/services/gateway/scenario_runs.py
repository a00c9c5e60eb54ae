"""Scenarios over background jobs: a run is a job, so its history, files and retries are there."""

import difflib
from collections.abc import AsyncIterator, Mapping
from typing import Any

import msgspec

from foodex.core.access import check_roles, current_principal
from foodex.core.errors import NotFound
from foodex.domain.jobs import FileLink, Job, JobFilter, JobRequest, JobState
from foodex.domain.scenarios import (
    EVERY_RUN,
    Outcome,
    Run,
    RunFilter,
    RunsPage,
    ScenarioDescription,
)
from foodex.ports.jobs import Jobs, Kind
from foodex.services.gateway.scenario import PREFIX, Ports, Scenario
from foodex.services.gateway.scenarios import found_scenarios


def scenario_kinds(
    ports: Ports, scenarios: Mapping[str, Scenario[Any]] | None = None
) -> Mapping[str, Kind]:
    """The kinds of background job that run the scenarios, by name."""
    known = found_scenarios() if scenarios is None else scenarios
    return {scenario.kind: scenario.as_kind(ports) for scenario in known.values()}


class ScenarioRuns:
    """Implements `ports.scenarios.Scenarios` over the jobs."""

    def __init__(self, jobs: Jobs, scenarios: Mapping[str, Scenario[Any]] | None = None) -> None:
        self._jobs = jobs
        self._scenarios = found_scenarios() if scenarios is None else scenarios

    async def scenarios(self) -> tuple[ScenarioDescription, ...]:
        """Those that whoever acts may run, by name."""
        roles = current_principal().roles
        return tuple(s.describe() for s in self._scenarios.values() if s.roles & roles)

    async def scenario(self, name: str) -> ScenarioDescription:
        """One of them."""
        found = self._find(name)
        check_roles(found.roles)
        return found.describe()

    async def start(
        self, name: str, parameters: Mapping[str, Any], *, key: str | None = None
    ) -> Run:
        """Begin a run."""
        scenario = self._find(name)
        check_roles(scenario.roles)
        scenario.read(parameters)
        request = JobRequest(kind=scenario.kind, parameters=parameters, key=key)
        return self._run(await self._jobs.accept(request))

    async def runs(
        self, filter_: RunFilter = EVERY_RUN, *, before: str | None = None, limit: int = 100
    ) -> RunsPage:
        """One page of the history, newest first."""
        chosen = [self._find(name) for name in filter_.scenarios] or self._scenarios.values()
        wanted = JobFilter(
            states=filter_.states,
            kinds=tuple(scenario.kind for scenario in chosen),
            who=filter_.who,
        )
        return await self._page(wanted, before, limit)

    async def reports(self, *, before: str | None = None, limit: int = 100) -> RunsPage:
        """One page of the reports that are done, newest first."""
        reports = tuple(s.kind for s in self._scenarios.values() if s.report)
        return await self._page(JobFilter(states=(JobState.DONE,), kinds=reports), before, limit)

    async def run(self, run_id: str) -> Run:
        """One run, as far as it is."""
        return self._run(await self._jobs.job(run_id))

    async def wait_for_run(self, run_id: str, *, seen: float, timeout_seconds: float) -> Run:
        """The run once its progress has passed `seen` or it ended, at most after the timeout."""
        job = await self._jobs.wait_for_job(run_id, seen=seen, timeout_seconds=timeout_seconds)
        return self._run(job)

    async def repeat(self, run_id: str, *, anew: bool = False, key: str | None = None) -> Run:
        """Run it again: exactly as it was made, or `anew` with what was asked for then."""
        before = await self.run(run_id)
        exact = before.outcome.exact if before.outcome else {}
        parameters = before.parameters if anew else {**before.parameters, **exact}
        return await self.start(before.scenario, parameters, key=key)

    async def cancel(self, run_id: str) -> Run:
        """Stop an unfinished run."""
        await self.run(run_id)
        return self._run(await self._jobs.cancel_job(run_id))

    async def file(self, run_id: str, name: str) -> AsyncIterator[bytes]:
        """A file of a run that is done, in pieces."""
        await self.run(run_id)
        async for piece in self._jobs.file(run_id, name):
            yield piece

    async def link(self, run_id: str, name: str) -> FileLink:
        """A link to a file of a run that is done."""
        await self.run(run_id)
        return await self._jobs.link(run_id, name)

    def _find(self, name: str) -> Scenario[Any]:
        if (found := self._scenarios.get(name)) is not None:
            return found
        near = difflib.get_close_matches(name, self._scenarios, 1)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        raise NotFound(f"There is no scenario '{name}'{hint}")

    async def _page(self, wanted: JobFilter, before: str | None, limit: int) -> RunsPage:
        page = await self._jobs.jobs(wanted, before=before, limit=limit)
        return RunsPage(runs=tuple(map(self._run, page.jobs)), next_before=page.next_before)

    def _run(self, job: Job) -> Run:
        name = job.kind.removeprefix(PREFIX)
        if name == job.kind or name not in self._scenarios:
            raise NotFound(f"There is no run '{job.id}' of a scenario")
        return Run(
            id=job.id,
            scenario=name,
            title=self._scenarios[name].title,
            state=job.state,
            progress=job.progress,
            message=job.message,
            who=job.who,
            parameters=job.parameters,
            created_at=job.created_at,
            started_at=job.started_at,
            finished_at=job.finished_at,
            seconds=_seconds(job),
            seconds_left=job.seconds_left,
            outcome=None if job.result is None else msgspec.convert(job.result, Outcome),
            files=job.files,
            error=job.error,
            error_type=job.error_type,
            problems=job.problems,
            paid_minor=None if job.price is None else job.price.unit_minor * job.units_done,
            currency=None if job.price is None else job.price.currency,
        )


def _seconds(job: Job) -> float | None:
    if job.started_at is None or job.finished_at is None:
        return None
    return round((job.finished_at - job.started_at).total_seconds(), 3)
