"""Real trainings in real processes, and what happens when somebody kills them."""

import asyncio
import os
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from foodex.core.errors import InvalidInput
from foodex.core.settings import MlSettings
from foodex.domain.models import EvaluationRequest, JobState, TrainingRequest
from foodex.services.ml import processes
from foodex.services.ml.processes import ProcessDied, run_job_process
from tests.services.ml.conftest import ORDER, START, Started, ended, trained, until
from tests.services.ml.double import StorageInMemory

SPLIT = START + timedelta(days=4)


async def test_train_then_evaluate(start: Started, settings: MlSettings) -> None:
    async with start() as service:
        shares = []
        request = TrainingRequest(
            dataset="orders", model="eta", until=SPLIT, without=("spice",), seed=3
        )
        job = await service.start_training(request)
        while job.state in (JobState.WAITING, JobState.RUNNING):
            job = await service.wait_for_job(job.id, seen=job.progress, timeout_seconds=60)
            shares.append(job.progress)
        assert job.state is JobState.DONE, job.error
        assert shares == sorted(shares)
        assert len(set(shares)) > 3
        version = await service.version("eta")
        assert version.summary["options"]["without"] == ["spice"]
        assert version.summary["time_zone"] == "Europe/Helsinki"
        assert version.summary["packages"]["lightgbm"]
        assert version.summary["peak_memory_bytes"] > 1 << 20
        told = await service.forecast({k: v for k, v in ORDER.items() if k != "spice"})
        assert not told.degraded
        judged = await ended(
            service,
            await service.start_evaluation(EvaluationRequest(model="eta", dataset="orders")),
        )
        assert judged.state is JobState.DONE, judged.error
        assert judged.result
        assert judged.result["since"] == SPLIT.isoformat()
        assert judged.result["version"] == 1
        assert 0 < judged.result["n"] < 400
        assert judged.result["mae_minutes"] < judged.result["baselines"]["median"]["mae_minutes"]
        assert not (Path(settings.work_folder) / "jobs" / job.id).exists()


async def test_a_model_of_a_split_is_judged_on_the_rest(start: Started) -> None:
    async with start() as service:
        await trained(service, split_column="part", algorithm="linear_regression")
        request = EvaluationRequest(model="eta", dataset="orders")
        judged = await ended(service, await service.start_evaluation(request))
        assert judged.result, judged.error
        assert judged.result["n"] == 100


async def test_what_was_learned_by_heart_is_not_judged(start: Started) -> None:
    async with start() as service:
        await trained(service, algorithm="linear_regression")
        request = EvaluationRequest(model="eta", dataset="orders")
        judged = await ended(service, await service.start_evaluation(request))
    assert judged.state is JobState.FAILED
    assert "train `until` a time first" in (judged.error or "")


async def test_an_error_in_the_process_is_told_without_its_traceback(start: Started) -> None:
    async with start() as service:
        request = TrainingRequest(dataset="orders", model="eta", until=START + timedelta(hours=3))
        job = await ended(service, await service.start_training(request))
    assert job.state is JobState.FAILED
    assert job.error == "At least 50 are needed\n  dataset: has 8 delivered orders to learn from"


async def child_of(job_id: str) -> int:
    """The number of the job's process, once it works."""

    async def is_there() -> bool:
        return bool(processes_of(job_id))

    await until(is_there, 30)
    return processes_of(job_id)[0]


def processes_of(job_id: str) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        try:
            command = (entry / "cmdline").read_bytes() if entry.name.isdigit() else b""
        except OSError:
            continue
        if b"foodex.services.ml.job" in command and job_id.encode() in command:
            found.append(int(entry.name))
    return found


def is_alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2][:3]
    except OSError:
        return False


async def test_a_killed_training_begins_again_once(start: Started) -> None:
    async with start() as service:
        job = await service.start_training(TrainingRequest(dataset="orders", model="eta"))
        os.kill(await child_of(job.id), signal.SIGKILL)
        job = await ended(service, job)
        assert job.state is JobState.DONE, job.error
        assert [v.version for v in await service.versions("eta")] == [1]


async def test_a_training_killed_again_and_again_fails(start: Started) -> None:
    async with start() as service:
        job = await service.start_training(TrainingRequest(dataset="orders", model="eta"))
        first = await child_of(job.id)
        os.kill(first, signal.SIGKILL)

        async def is_gone() -> bool:
            return not is_alive(first)

        await until(is_gone)
        os.kill(await child_of(job.id), signal.SIGKILL)
        job = await ended(service, job)
        assert job.state is JobState.FAILED
        assert job.error == (
            "The job's process was ended by SIGKILL; it may have run out of memory"
        )
        assert await service.models() == ()


async def test_cancelling_ends_the_process(
    start: Started, storage: StorageInMemory, settings: MlSettings
) -> None:
    async with start() as service:
        job = await service.start_training(TrainingRequest(dataset="orders", model="eta"))
        pid = await child_of(job.id)
        job = await service.cancel_job(job.id)
        assert job.state is JobState.CANCELLED
        assert not is_alive(pid)
        assert storage.objects == {}
        assert not (Path(settings.work_folder) / "jobs" / job.id).exists()
        assert await service.models() == ()


async def test_a_job_that_takes_too_long_is_ended(start: Started, settings: MlSettings) -> None:
    short = settings.model_copy(update={"job_seconds": 0.2})
    async with start(settings=short) as service:
        job = await service.start_training(TrainingRequest(dataset="orders", model="eta"))
        job = await ended(service, job)
    assert job.state is JobState.FAILED
    assert job.error == "The job took longer than the 0.2 s allowed"


PARENT = """
import asyncio, sys
from pathlib import Path
from foodex.adapters.database.engine import open_database
from foodex.core.settings import MlSettings
from foodex.domain.models import TrainingRequest
from foodex.services.ml.service import MlService
from tests.services.ml.conftest import history
from tests.services.ml.double import StorageInMemory

async def main(folder):
    service = MlService(
        database=open_database(f"sqlite+aiosqlite:///{folder}/foodex.db"),
        storage=StorageInMemory(orders=history()),
        settings=MlSettings(work_folder=f"{folder}/work", job_threads=1),
    )
    async with service.running():
        job = await service.start_training(TrainingRequest(dataset="orders", model="eta"))
        print(job.id, flush=True)
        await asyncio.sleep(60)

asyncio.run(main(sys.argv[1]))
"""


async def test_a_killed_parent_leaves_no_orphan_and_the_job_is_done_once(
    start: Started, tmp_path: Path
) -> None:
    parent = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-c", PARENT, str(tmp_path)),
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[3],
    )
    assert parent.stdout
    job_id = ""
    while len(job_id) != 19:
        line = await asyncio.wait_for(parent.stdout.readline(), 30)
        assert line, "the parent ended"
        job_id = line.decode().strip()
    child = await child_of(job_id)
    parent.kill()
    await parent.wait()

    async def is_gone() -> bool:
        return not is_alive(child)

    await until(is_gone)
    async with start() as service:
        job = await ended(service, await service.job(job_id))
        assert job.state is JobState.DONE, job.error
        assert [v.version for v in await service.versions("eta")] == [1]
        assert len(await service.production_log()) == 1


async def test_a_process_ends_when_its_parent_is_gone(tmp_path: Path) -> None:
    # Nobody ever writes into it, so the process waits for its request for ever.
    os.mkfifo(tmp_path / processes.REQUEST_FILE)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "foodex.services.ml.job", str(tmp_path)),
        stdin=subprocess.PIPE,
    )
    assert process.stdin
    process.stdin.close()
    assert await asyncio.wait_for(process.wait(), 60) == 3


async def test_a_folder_without_a_request_is_a_dead_job(tmp_path: Path) -> None:
    told: list[Any] = []
    with pytest.raises(Exception, match="A fault of ours") as caught:
        await run_job_process(
            tmp_path,
            tell=lambda share, what: told.append(share),
            threads=1,
            log_bytes=100,
            timeout_seconds=60,
        )
    assert not isinstance(caught.value, ProcessDied)


def test_a_result_is_read_as_what_it_tells(tmp_path: Path) -> None:
    (tmp_path / processes.RESULT_FILE).write_text(
        '{"failure": {"type": "invalid-input", "message": "No.", '
        '"problems": [{"field": "until", "message": "is late", "row": null}]}}'
    )
    with pytest.raises(InvalidInput) as caught:
        processes._read_result(tmp_path, 0)
    assert str(caught.value) == "No.\n  until: is late"
    with pytest.raises(ProcessDied, match="ended with status 3"):
        processes._read_result(tmp_path / "nothing", 3)
