"""Commands for background jobs: what there is to do, one job, and doing them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from foodex.cli import output
from foodex.cli.options import AsJson, State, run, settings_for, system_for
from foodex.core import memory
from foodex.core.errors import InternalError, InvalidInput, family
from foodex.domain.jobs import Job, JobFilter, JobRequest, JobsPage, JobState
from foodex.domain.loads import Format

if TYPE_CHECKING:
    from foodex.bootstrap import System

jobs_app = typer.Typer(help="Background jobs.", no_args_is_help=True)

JobId = Annotated[str, typer.Argument(help="The job, as `foodex jobs list` names it.")]
Limit = Annotated[int, typer.Option(min=1, max=1000, help="Most jobs.")]
_WAIT_SECONDS = 5.0


def add_to(app: typer.Typer) -> None:
    """Put these commands under `foodex`."""
    app.command("worker")(worker)
    app.add_typer(jobs_app, name="jobs")


def worker(
    host: Annotated[str | None, typer.Option("--host", help="Address to listen on.")] = None,
    port: Annotated[
        int, typer.Option("--port", "-p", help="Port for health and metrics; 0 takes a free one.")
    ] = 0,
    at_once: Annotated[
        int | None, typer.Option(min=1, help="Jobs done side by side; else as jobs.at_once says.")
    ] = None,
    state: State = None,
) -> None:
    """Do background jobs; any number of workers may share a queue on RabbitMQ."""
    http = {"port": port} | ({} if host is None else {"host": host})
    jobs = {} if at_once is None else {"at_once": at_once}
    settings = settings_for(state, http=http, jobs=jobs)

    memory.spare()
    # Late: the whole of FoodEx takes seconds to import.
    from foodex.cli.serving import run_service

    run_service("worker", settings)


@jobs_app.command("list")
def list_jobs(
    in_state: Annotated[
        list[JobState] | None, typer.Option("--in", help="In this state only; repeatable.")
    ] = None,
    kind: Annotated[
        list[str] | None, typer.Option("--kind", help="Of this kind only; repeatable.")
    ] = None,
    limit: Limit = 20,
    state: State = None,
    as_json: AsJson = False,
) -> None:
    """List jobs, newest first."""

    async def main() -> JobsPage:
        wanted = JobFilter(states=tuple(in_state or ()), kinds=tuple(kind or ()))
        async with system_for(settings_for(state)) as system:
            return await system.jobs.jobs(wanted, limit=limit)

    _list(run(main), "No jobs", as_json=as_json)


@jobs_app.command("show")
def show(
    job_id: JobId,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Show how it moves, until it has ended.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The folder to save its files in.")
    ] = None,
    state: State = None,
    as_json: AsJson = False,
) -> None:
    """Show a job, and save the files it left."""

    async def main() -> Job:
        async with system_for(settings_for(state), work=follow) as system:
            job = await system.jobs.job(job_id)
            if follow:
                job = await to_the_end(system, job)
            if out is not None:
                await save_files(system, job, out)
            return job

    tell(run(main), as_json=as_json)


@jobs_app.command("cancel")
def cancel(job_id: JobId, state: State = None, as_json: AsJson = False) -> None:
    """Stop a job that has not ended; what it set aside is given back."""

    async def main() -> Job:
        async with system_for(settings_for(state)) as system:
            return await system.jobs.cancel_job(job_id)

    tell(run(main), as_json=as_json)


@jobs_app.command("dead")
def dead(limit: Limit = 20, state: State = None, as_json: AsJson = False) -> None:
    """List the jobs that were tried as often as they may be."""

    async def main() -> JobsPage:
        async with system_for(settings_for(state)) as system:
            return await system.jobs.dead_letters(limit=limit)

    _list(run(main), "No job is dead", as_json=as_json)


@jobs_app.command("replay")
def replay(job_id: JobId, state: State = None, as_json: AsJson = False) -> None:
    """Have a dead job tried anew."""

    async def main() -> Job:
        async with system_for(settings_for(state)) as system:
            return await system.jobs.replay(job_id)

    tell(run(main), as_json=as_json)


def predict_file(
    file: Path,
    *,
    mapping: str | None,
    model: str | None,
    format_: Format,
    out: Path | None,
    state: Path | None,
    as_json: bool,
) -> None:
    """Have a file of orders forecast as a job, and save the answer."""
    # A mapping in a file is sent as it is written; else it is a name.
    written = mapping and Path(mapping).is_file()
    parameters = {
        "mapping": Path(mapping).read_text() if mapping and written else mapping,
        "model": model,
        "output": format_.value,
    }

    async def main() -> Job:
        async with system_for(settings_for(state), work=True) as system:
            sent = await system.files.put(file.name, _pieces(file))
            request = JobRequest(kind="predict_file", parameters=parameters | {"file": sent.file})
            job = await to_the_end(system, await system.jobs.accept(request))
            await save_files(system, job, out or Path.cwd())
            return job

    tell(run(main), as_json=as_json)


async def to_the_end(system: "System", job: Job) -> Job:
    """The job when it has ended, with a bar until then; the error that ended it is raised."""
    ended = await output.follow(
        job.kind,
        job,
        lambda seen: system.jobs.wait_for_job(
            seen.id, seen=seen.progress, timeout_seconds=_WAIT_SECONDS
        ),
        lambda seen: (seen.progress, seen.message, seen.ended),
    )
    if ended.state in (JobState.FAILED, JobState.DEAD):
        kind = family().get(ended.error_type or "", InternalError)
        raise kind(ended.error or "", problems=ended.problems)
    return ended


async def save_files(system: "System", job: Job, folder: Path) -> None:
    """Save the files that a job left."""
    if job.files and not await asyncio.to_thread(folder.is_dir):
        raise InvalidInput(f"There is no folder {folder} to save the files in")
    for file in job.files:
        path = folder / file.name
        temporary = path.with_name(path.name + ".part")
        try:
            with temporary.open("wb") as target:
                async with aclosing(system.jobs.file(job.id, file.name)) as pieces:  # type: ignore[type-var]
                    async for piece in pieces:
                        await asyncio.to_thread(target.write, piece)
            temporary.replace(path)
        except OSError as error:
            raise InvalidInput(f"{path} cannot be written: {error.strerror}") from None


def tell(job: Job, *, as_json: bool) -> None:
    """Print a job."""
    if as_json:
        output.emit(job)
        return
    console = output.out()
    mark = {
        JobState.DONE: "[green]✓[/] ",
        JobState.FAILED: "[red]✗[/] ",
        JobState.DEAD: "[red]✗[/] ",
    }
    console.print(f"{mark.get(job.state, '')}[bold]{job.kind}[/] {job.id}: {job.state.value}")
    told = [
        ("asked for by", job.who),
        ("at", job.created_at),
        ("progress", f"{job.progress:.0%} {job.message}"),
        ("attempts", job.attempts),
        ("result", "" if job.result is None else _short(job.result)),
        ("files", ", ".join(f"{file.name} ({file.size_bytes:,} bytes)" for file in job.files)),
        ("paid", _paid(job)),
        ("error", job.error or ""),
    ]
    output.table(("", ""), [row for row in told if row[1] not in ("", None)])


def _short(result: object) -> str:
    assert hasattr(result, "items")
    return ", ".join(
        f"{name} {value}" for name, value in result.items() if not isinstance(value, dict | list)
    )


def _paid(job: Job) -> str:
    if job.price is None:
        return ""
    most = job.price.quantity
    settled = "" if job.settled else ", not settled yet"
    each = f"{job.price.unit_minor} minor {job.price.currency}"
    return f"{job.units_done:,} of {most:,}, {each} each{settled}"


def _list(page: JobsPage, nothing: str, *, as_json: bool) -> None:
    if as_json:
        output.emit(page)
    elif not page.jobs:
        output.out().print(nothing)
    else:
        output.table(
            ("job", "kind", "state", "progress, %", "who", "when", "attempts", "error"),
            [
                (
                    one.id,
                    one.kind,
                    one.state.value,
                    round(one.progress * 100),
                    one.who,
                    one.created_at,
                    one.attempts,
                    one.error,
                )
                for one in page.jobs
            ],
        )


async def _pieces(path: Path) -> AsyncIterator[bytes]:
    try:
        file = await asyncio.to_thread(path.open, "rb")
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}") from None
    with file:
        while piece := await asyncio.to_thread(file.read, 1 << 20):
            yield piece
