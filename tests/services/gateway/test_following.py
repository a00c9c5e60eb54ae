"""What jobs began in other services and nobody follows any more is ended there."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from foodex.core.errors import Conflict, NotFound, Unavailable
from foodex.domain.jobs import Job, JobState
from foodex.domain.loads import LoadState
from foodex.services.gateway.kinds.following import following_kinds
from foodex.services.gateway.scenario import Ports
from foodex.services.gateway.scenario_runs import scenario_kinds

NOW = datetime(2026, 3, 6, 12, tzinfo=UTC)
LOAD = {"source": "shop", "mapping": "city", "dataset": "orders"}


class Elsewhere:
    """The ml service and the collector: what goes on there by reference, and what was ended."""

    def __init__(self, *running: str) -> None:
        self.running, self.ended = set(running), list[Any]()

    async def cancel_job(self, job_id: str) -> None:
        if job_id == "ended":
            raise Conflict
        if job_id == "away":
            raise Unavailable
        if job_id not in self.running:
            raise NotFound
        self.ended.append(job_id)

    async def start_load(self, source: str, **rest: Any) -> Any:
        going = rest["reference"] in self.running
        return SimpleNamespace(id=7, state=LoadState.RUNNING if going else LoadState.DONE)

    async def cancel_load(self, load_id: int) -> None:
        self.ended.append(load_id)


def cancelled(kind: str, id_: str = "job", **parameters: Any) -> Job:
    return Job(
        id=id_,
        kind=kind,
        parameters=parameters,
        state=JobState.CANCELLED,
        priority=5,
        attempts=1,
        max_attempts=5,
        timeout_seconds=60.0,
        progress=0.3,
        message="cancelled",
        who="anna",
        created_at=NOW,
        due_at=NOW,
    )


async def stop(there: Any, job: Job) -> list[Any]:
    ports = Ports(
        ml=there, collector=there, storage=there, accounts=there, clock=there, settings=there
    )
    kinds = {**following_kinds(there, there), **scenario_kinds(ports)}
    ending = kinds[job.kind].stop_elsewhere
    assert ending is not None
    await ending(job)
    found: list[Any] = there.ended
    return found


@pytest.mark.parametrize("kind", ["train", "evaluate", "scenario-train-model"])
async def test_what_goes_on_is_ended_and_what_has_ended_is_left(kind: str) -> None:
    assert await stop(Elsewhere("job", "another"), cancelled(kind)) == ["job"]
    assert await stop(Elsewhere(), cancelled(kind)) == []
    assert await stop(Elsewhere(), cancelled(kind, "ended")) == []
    with pytest.raises(Unavailable):
        await stop(Elsewhere(), cancelled(kind, "away"))


async def test_all_parts_of_a_run_are_ended() -> None:
    there = Elsewhere("job-1", "job-2", "job-8")
    found = await stop(there, cancelled("scenario-compare-models"))
    assert found == ["job-1", "job-2", "job-8"]


async def test_a_load_is_ended_if_it_goes_on() -> None:
    assert await stop(Elsewhere("job"), cancelled("load", **LOAD)) == [7]
    assert await stop(Elsewhere(), cancelled("load", **LOAD)) == []
