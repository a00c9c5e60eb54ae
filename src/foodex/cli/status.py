"""The command for the state of the whole system."""

import typer

from foodex.cli import output
from foodex.cli.options import AsJson, State, find_running, run, settings_for, system_for


def add_to(app: typer.Typer) -> None:
    """Put this command under `foodex`."""
    app.command("status")(status)


def status(state: State = None, as_json: AsJson = False) -> None:
    """Show every service, what stands behind it, what waits to be done and which models answer."""

    async def main() -> None:
        settings = settings_for(state)
        running = find_running(settings)
        async with system_for(settings) as system:
            found = await system.state.status()
        if as_json:
            output.emit(found)
            return
        console = output.out()
        well = "[green]all is well[/]" if found.healthy else "[bold red]something is wrong[/]"
        where = f"at {running.url}" if running else "not running; looked at from here"
        console.print(
            f"FoodEx {found.version}, stage {found.stage}, {where}: {well}", soft_wrap=True
        )
        output.table(
            ("service", "place", "version", "answers in, ms", "health"),
            [
                (one.name, one.place, one.version or "?", one.milliseconds, one.says)
                for one in found.services
            ],
        )
        output.table(
            ("behind", "kind", "where", "answers in, ms", "health"),
            [
                (one.seam, one.kind, one.url, one.milliseconds, one.says or "not asked")
                for one in found.adapters
            ],
        )
        if found.jobs is not None:
            jobs = found.jobs
            console.print(
                f"Background jobs: {jobs.waiting} waiting, {jobs.running} running, "
                f"{jobs.dead} dead, {jobs.queued} messages in the queue"
            )
        for model in found.models or ():
            mark = " (answers where none is named)" if model.default else ""
            console.print(
                f"In production: [bold]{model.model}:{model.version}[/], {model.algorithm} "
                f"on {model.dataset}{mark}"
            )
        if found.models == ():
            console.print("No model is in production yet")
        if not found.healthy:
            raise typer.Exit(1)

    run(main)
