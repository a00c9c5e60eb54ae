"""Runs as background jobs: the service itself, and its client through the gateway's routes."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from fastapi import APIRouter
from pydantic import Field

from foodex.adapters.database.engine import open_database
from foodex.adapters.objects.store import open_objects
from foodex.adapters.queue.opening import open_queue
from foodex.core.access import KeyAccess, Principal, Role, acting_as
from foodex.core.clock import SystemClock
from foodex.core.errors import Conflict, FieldProblem, Forbidden, InvalidInput, NotFound
from foodex.core.http import create_app
from foodex.core.peer import Peer
from foodex.core.settings import HttpSettings, JobsSettings
from foodex.domain.jobs import JobRequest, JobState
from foodex.domain.reports import Figure, Unit
from foodex.domain.scenarios import Outcome, Run, RunFilter
from foodex.ports.jobs import JobContext, Jobs, Kind
from foodex.ports.scenarios import Scenarios
from foodex.services.gateway import scenario_routes
from foodex.services.gateway.scenario import Context, Parameters, Scenario
from foodex.services.gateway.scenario_client import ScenariosClient
from foodex.services.gateway.scenario_runs import ScenarioRuns, scenario_kinds
from foodex.services.gateway.scenario_steps import have_done
from foodex.services.jobs.service import JobsService
from tests.support.serving import serve

ADA = Principal("ada", frozenset({Role.CLIENT}))
BOB = Principal("bob", frozenset({Role.CLIENT}))
OLGA = Principal("olga", frozenset({Role.OPERATOR}))
ANNA = Principal("anna", frozenset({Role.ADMIN}))
KEY = "key-for-tests"


class Greeting(Parameters):
    name: str = Field("world", description="Whom.")
    version: int | None = Field(None, description="Which; without it, the newest.")


class Waiting(Parameters):
    until: str = Field(description="Until this file is there.")


NEWEST = [1]


async def greet(context: Context[Greeting]) -> Outcome:
    version = context.parameters.version or NEWEST[0]
    said = f"hello {context.parameters.name} from {version}"
    await context.job.put_file("report.html", f"<p>{said}</p>".encode())
    return Outcome(
        summary=(said,),
        figures=(Figure(name="Version", value=version, unit=Unit.COUNT),),
        exact={"version": version},
        facts={"said": said},
    )


async def wait(context: Context[Waiting]) -> Outcome:
    until = Path(context.parameters.until)
    while not await asyncio.to_thread(until.exists):
        context.job.report(0.25, "waiting")
        await asyncio.sleep(0.02)
    return Outcome(summary=("there",))


async def fail(context: Context[Greeting]) -> Outcome:
    if context.parameters.name == "bug":
        raise KeyError("a fault of ours")
    problem = FieldProblem("dataset", "has no rows")
    raise InvalidInput("There is nothing to work on", problems=[problem])


async def both(context: Context[Greeting]) -> Outcome:
    """Has another kind of job done twice."""
    first = await have_done(context, "echo", {"say": "a"}, part="1", to=0.5, what="one: ")
    second = await have_done(context, "echo", {"say": "b"}, part="2", from_=0.5)
    return Outcome(summary=(), facts={"first": first, "second": second})


async def echo(context: JobContext) -> dict[str, Any]:
    context.report(0.5, "echoing")
    return {"id": context.job.id, "kind": context.job.kind, **context.job.parameters}


def scenario(name: str, run: Any, parameters: type[Parameters] = Greeting, **more: Any) -> Any:
    return Scenario(name=name, title=name, purpose="P.", parameters=parameters, run=run, **more)


SCENARIOS = {
    one.name: one
    for one in (
        scenario("greet", greet, roles=frozenset(Role), report=True),
        scenario("wait", wait, Waiting, roles=frozenset(Role)),
        scenario("fail", fail),
        scenario("both", both),
        scenario("rule", greet, roles=frozenset({Role.ADMIN})),
    )
}


class _Ports:
    kinds = {"echo": Kind(name="echo", run=echo)}  # noqa: RUF012


@pytest.fixture
async def jobs(tmp_path: Path) -> AsyncIterator[Jobs]:
    database = open_database(f"sqlite+aiosqlite:///{tmp_path}/foodex.db")
    queue = open_queue(f"sqlite:///{tmp_path}/queue.db", SystemClock(), prefix="t")
    kinds = scenario_kinds(_Ports(), SCENARIOS)  # type: ignore[arg-type]
    service = JobsService(
        database=database,
        queue=queue,
        objects=open_objects(f"file://{tmp_path}/objects"),
        ledger=None,
        kinds={**kinds, **_Ports.kinds},
        settings=JobsSettings(work_folder=str(tmp_path / "work"), retry_seconds=0.05),
        clock=SystemClock(),
        secret="a secret",
        work=True,
    )
    async with service.running():
        yield service
    await queue.close()
    await database.close()


@pytest.fixture
async def url(jobs: Jobs) -> AsyncIterator[str]:
    runs = ScenarioRuns(jobs, SCENARIOS)
    routes = APIRouter(prefix="/api/v1")
    routes.include_router(scenario_routes.router(runs))
    routes.include_router(scenario_routes.reports_router(runs))
    app = create_app("gateway", router=routes, access=KeyAccess(KEY), settings=HttpSettings())
    async with serve(app) as url:
        yield url


@pytest.fixture(params=["service", "client"])
async def scenarios(
    request: pytest.FixtureRequest, jobs: Jobs, url: str
) -> AsyncIterator[Scenarios]:
    if request.param == "service":
        yield ScenarioRuns(jobs, SCENARIOS)
        return
    async with Peer(url, KEY) as peer:
        yield ScenariosClient(peer)


async def ended(scenarios: Scenarios, run: Run) -> Run:
    async with asyncio.timeout(20):
        while not run.ended:
            run = await scenarios.wait_for_run(run.id, seen=run.progress, timeout_seconds=5)
        # Seen through the worker's notice the row may be a moment behind.
        return await scenarios.run(run.id)


async def until(so: Callable[[Run], bool], scenarios: Scenarios, run: Run) -> Run:
    async with asyncio.timeout(20):
        while True:
            run = await scenarios.run(run.id)
            if so(run):
                return run
            await asyncio.sleep(0.02)


async def read(pieces: AsyncIterator[bytes]) -> bytes:
    return b"".join([piece async for piece in pieces])


async def test_everybody_is_shown_what_they_may_run(scenarios: Scenarios) -> None:
    shown = {}
    for principal in (ADA, OLGA, ANNA):
        with acting_as(principal):
            shown[principal.name] = [one.name for one in await scenarios.scenarios()]
    assert shown == {
        "ada": ["greet", "wait"],
        "olga": ["greet", "wait", "fail", "both"],
        "anna": ["greet", "wait", "fail", "both", "rule"],
    }
    with acting_as(OLGA):
        assert (await scenarios.scenario("greet")).parameters["properties"]["name"]
        with pytest.raises(Forbidden):
            await scenarios.scenario("rule")
        with pytest.raises(NotFound, match="did you mean 'greet'"):
            await scenarios.scenario("great")


async def test_a_run_tells_all_of_itself(scenarios: Scenarios) -> None:
    with acting_as(OLGA):
        begun = await scenarios.start("greet", {"name": "Ada"})
        run = await ended(scenarios, begun)
        assert (run.scenario, run.who, run.state) == ("greet", "olga", JobState.DONE)
        assert run.parameters == {"name": "Ada", "version": None}
        assert run.outcome is not None
        assert run.outcome.summary == ("hello Ada from 1",)
        assert run.outcome.figures == (Figure(name="Version", value=1, unit=Unit.COUNT),)
        assert run.outcome.facts == {"said": "hello Ada from 1"}
        assert run.seconds is not None
        assert run.seconds >= 0
        (file,) = run.files
        assert await read(scenarios.file(run.id, file.name)) == b"<p>hello Ada from 1</p>"
        assert (await scenarios.link(run.id, file.name)).path.startswith("/api/v1/jobs/linked/")
        with pytest.raises(NotFound):
            await read(scenarios.file(run.id, "nope.txt"))
        with pytest.raises(NotFound):
            await scenarios.link(run.id, "nope.txt")


async def test_wrong_parameters_and_no_right_begin_nothing(scenarios: Scenarios) -> None:
    with acting_as(OLGA):
        with pytest.raises(InvalidInput) as refused:
            await scenarios.start("greet", {"version": "soon", "nam": "x"})
        assert {problem.field for problem in refused.value.problems} == {"version", "nam"}
        with pytest.raises(Forbidden):
            await scenarios.start("rule", {})
        with pytest.raises(Forbidden):
            # Whether the parameters are right is nobody's business who may not run it.
            await scenarios.start("rule", {"version": "soon"})
        with pytest.raises(NotFound):
            await scenarios.start("nope", {})
    with acting_as(ADA), pytest.raises(Forbidden):
        await scenarios.start("fail", {})
    with acting_as(ANNA):
        assert (await scenarios.runs()).runs == ()


async def test_a_repeat_is_the_same_though_the_world_has_moved_on(scenarios: Scenarios) -> None:
    NEWEST[0] = 1
    with acting_as(OLGA):
        first = await ended(scenarios, await scenarios.start("greet", {"name": "Ada"}))
        NEWEST[0] = 2
        same = await ended(scenarios, await scenarios.repeat(first.id))
        anew = await ended(scenarios, await scenarios.repeat(first.id, anew=True))
        NEWEST[0] = 1
        assert same.outcome == first.outcome
        assert same.parameters == {"name": "Ada", "version": 1}
        assert anew.outcome is not None
        assert anew.outcome.summary == ("hello Ada from 2",)
        assert anew.parameters == first.parameters
    with acting_as(ANNA):
        admins = await ended(scenarios, await scenarios.start("rule", {}))
    with acting_as(OLGA), pytest.raises(Forbidden):
        await scenarios.repeat(admins.id)


async def test_the_same_key_gives_the_run_that_there_is(scenarios: Scenarios) -> None:
    with acting_as(OLGA):
        first = await scenarios.start("greet", {"name": "Ada"}, key="k")
        assert (await scenarios.start("greet", {"name": "Ada"}, key="k")).id == first.id
        with pytest.raises(Conflict):
            await scenarios.start("greet", {"name": "Bob"}, key="k")


async def test_history_by_scenario_state_and_who(scenarios: Scenarios) -> None:
    with acting_as(ADA):
        await ended(scenarios, await scenarios.start("greet", {}))
    with acting_as(OLGA):
        await ended(scenarios, await scenarios.start("greet", {}))
        await ended(scenarios, await scenarios.start("fail", {}))

        async def found(**wanted: Any) -> list[tuple[str, str]]:
            page = await scenarios.runs(RunFilter(**wanted))
            return [(run.who, run.scenario) for run in page.runs]

        assert await found() == [("olga", "fail"), ("olga", "greet"), ("ada", "greet")]
        assert await found(scenarios=("greet",)) == [("olga", "greet"), ("ada", "greet")]
        assert await found(states=(JobState.FAILED,)) == [("olga", "fail")]
        assert await found(who="ada") == [("ada", "greet")]
        with pytest.raises(NotFound):
            await found(scenarios=("nope",))
        page = await scenarios.runs(limit=2)
        rest = await scenarios.runs(before=page.next_before, limit=2)
        assert [run.who for run in (*page.runs, *rest.runs)] == ["olga", "olga", "ada"]
        assert rest.next_before is None
        assert [run.scenario for run in (await scenarios.reports()).runs] == ["greet", "greet"]


async def test_clients_see_their_own_runs_only(scenarios: Scenarios) -> None:
    with acting_as(ADA):
        hers = await ended(scenarios, await scenarios.start("greet", {}))
    with acting_as(BOB):
        assert (await scenarios.runs()).runs == ()
        for attempt in (
            scenarios.run(hers.id),
            scenarios.repeat(hers.id),
            scenarios.cancel(hers.id),
            read(scenarios.file(hers.id, "report.html")),
            scenarios.link(hers.id, "report.html"),
        ):
            with pytest.raises(NotFound):
                await attempt
    with acting_as(ADA):
        assert [run.id for run in (await scenarios.runs()).runs] == [hers.id]


async def test_a_run_is_cancelled(scenarios: Scenarios, tmp_path: Path) -> None:
    with acting_as(OLGA):
        begun = await scenarios.start("wait", {"until": str(tmp_path / "never")})
        running = await until(lambda run: run.progress > 0, scenarios, begun)
        assert (running.state, running.message) == (JobState.RUNNING, "waiting")
        assert (await scenarios.cancel(begun.id)).state is JobState.CANCELLED
        done = await ended(scenarios, await scenarios.start("greet", {}))
        with pytest.raises(Conflict):
            await scenarios.cancel(done.id)


async def test_a_run_that_fails_tells_why(scenarios: Scenarios) -> None:
    with acting_as(OLGA):
        run = await ended(scenarios, await scenarios.start("fail", {}))
        assert (run.state, run.error_type) == (JobState.FAILED, "invalid-input")
        assert run.error == "There is nothing to work on"
        assert run.problems == (FieldProblem("dataset", "has no rows"),)
        dead = await ended(scenarios, await scenarios.start("fail", {"name": "bug"}))
        assert (dead.state, dead.error_type) == (JobState.DEAD, "internal")
        assert "KeyError" not in (dead.error or "")


async def test_what_is_done_within_a_run_has_a_reference_of_its_own(scenarios: Scenarios) -> None:
    with acting_as(OLGA):
        run = await ended(scenarios, await scenarios.start("both", {}))
        assert run.outcome is not None
        first, second = run.outcome.facts["first"], run.outcome.facts["second"]
        assert first == {"id": f"{run.id}-1", "kind": "echo", "say": "a"}
        assert second == {"id": f"{run.id}-2", "kind": "echo", "say": "b"}


async def test_another_kind_of_job_is_no_run(scenarios: Scenarios, jobs: Jobs) -> None:
    with acting_as(OLGA):
        job = await jobs.accept(JobRequest(kind="echo"))
        for attempt in (
            scenarios.run(job.id),
            scenarios.repeat(job.id),
            scenarios.cancel(job.id),
            read(scenarios.file(job.id, "x")),
        ):
            with pytest.raises(NotFound, match="no run"):
                await attempt
        assert (await scenarios.runs()).runs == ()


async def test_a_page_is_shown_under_a_policy_that_forbids_all(jobs: Jobs, url: str) -> None:
    runs = ScenarioRuns(jobs, SCENARIOS)
    with acting_as(OLGA):
        run = await ended(runs, await runs.start("greet", {}))
    async with aiohttp.ClientSession(headers={"authorization": f"Bearer {KEY}"}) as http:
        place = f"{url}/api/v1/scenarios/runs/{run.id}/files/report.html"
        async with http.get(place, params={"inline": "true"}) as shown, http.get(place) as kept:
            assert shown.content_type == kept.content_type == "text/html"
            assert shown.headers["content-disposition"].startswith("inline")
            assert kept.headers["content-disposition"].startswith("attachment")
            policy = shown.headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "sandbox" in policy
            assert shown.headers.getall("content-security-policy") == [policy]
