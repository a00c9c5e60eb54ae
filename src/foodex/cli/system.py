"""Commands for the system: up, serve, config, city."""

import io
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from foodex.cli import output
from foodex.cli.options import AsJson, State, find_running, settings_for
from foodex.core import memory
from foodex.core.errors import Conflict, InvalidInput

config_app = typer.Typer(help="Settings.", no_args_is_help=True)
city_app = typer.Typer(help="The simulated city.", no_args_is_help=True)

Port = Annotated[int | None, typer.Option("--port", "-p", help="Port; 0 takes a free one.")]
Host = Annotated[str | None, typer.Option("--host", help="Address to listen on.")]


def add_to(app: typer.Typer) -> None:
    """Put these commands under `foodex`."""
    app.command("up")(up)
    app.command("serve")(serve)
    app.add_typer(config_app, name="config")
    app.add_typer(city_app, name="city")


def _http(host: str | None, port: int | None) -> dict[str, Any]:
    given = {"host": host, "port": port}
    return {name: value for name, value in given.items() if value is not None}


def up(
    host: Host = None,
    port: Port = None,
    demo: Annotated[
        bool, typer.Option(help="On an empty system, simulate a city to show something.")
    ] = True,
    state: State = None,
) -> None:
    """Run the whole of FoodEx in this process."""
    settings = settings_for(state, http=_http(host, port))
    if (running := find_running(settings)) is not None:
        raise Conflict(
            f"FoodEx runs with this state folder already: {running.url} (process {running.pid})"
        )

    memory.spare()
    # Late, here and below: the whole of FoodEx takes seconds to import, a word about it does not.
    from foodex.cli.serving import run_up

    run_up(settings, demo=demo)


def serve(
    name: Annotated[
        str, typer.Argument(help="storage, collector, ml, accounts, jobs, worker or gateway.")
    ],
    host: Host = None,
    port: Port = None,
    state: State = None,
) -> None:
    """Run one service; the settings say where it finds the others."""
    settings = settings_for(state, http=_http(host, port))

    memory.spare()
    from foodex.cli.serving import run_service

    run_service(name, settings)


@config_app.command("show")
def show(state: State = None, as_json: AsJson = False) -> None:
    """Show every setting as it is in force; secrets are masked."""
    from foodex.core.settings import masked

    tree = masked(settings_for(state))
    if as_json:
        output.emit(tree)
        return
    rows: list[tuple[str, str]] = []

    def walk(path: str, value: Any) -> None:
        if isinstance(value, dict) and value:
            for name, inner in value.items():
                walk(f"{path}.{name}" if path else name, inner)
        else:
            rows.append((path, "" if value in ({}, "") else str(value)))

    walk("", tree)
    output.table(("setting", "value"), rows)


@config_app.command("signing-keys")
def signing_keys(
    file: Annotated[Path, typer.Argument(help="The file, as `accounts.signing_keys` names it.")],
) -> None:
    """Make the file of keys that sign access tokens, or put a new key first in it.

    Tokens of the last keys stay good. Processes sign with the new one from their next start on.
    """
    from foodex.services.accounts.tokens import load_or_create_signing_keys, rotate_signing_keys

    known = file.exists()
    keys = rotate_signing_keys(file) if known else load_or_create_signing_keys(file)
    done = "A new key signs, the last ones still verify" if known else "Made"
    output.out().print(f"[green]✓[/] {done}: {file} ({len(keys.public())} keys)")


@city_app.command("history")
def history(
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            help="The file to write: .csv as a company's export, .parquet as delivery records.",
        ),
    ],
    days: Annotated[int, typer.Option(min=1, max=3650, help="Days of history.")] = 28,
    orders_per_day: Annotated[
        int, typer.Option(min=1, max=100_000, help="Mean orders a day.")
    ] = 700,
    seed: Annotated[int, typer.Option(help="The same seed, the same city.")] = 7,
    until: Annotated[
        str | None, typer.Option(help="The day the history ends before (YYYY-MM-DD); today.")
    ] = None,
    state: State = None,
    as_json: AsJson = False,
) -> None:
    """Simulate weeks of deliveries in a city (Helsinki's streets) and write them to a file."""
    from foodex.city import export_as_company_csv, simulate_history

    if out.suffix not in (".csv", ".parquet"):
        raise InvalidInput(f"{out} must end in .csv or .parquet")
    if not out.absolute().parent.is_dir():
        raise InvalidInput(f"There is no folder {out.parent} to write {out.name} into")
    try:
        end = (
            datetime.fromisoformat(until).replace(tzinfo=UTC)
            if until
            else datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        )
    except ValueError:
        raise InvalidInput(f"--until {until} is no date, e.g. 2026-09-01") from None
    frame = simulate_history(
        seed=seed, start=end - timedelta(days=days), days=days, orders_per_day=orders_per_day
    )
    if out.suffix == ".csv":
        output.write(out, export_as_company_csv(frame))
    else:
        written = io.BytesIO()
        frame.write_parquet(written)
        output.write(out, written.getvalue())
    if as_json:
        output.emit({"file": str(out), "orders": frame.height, "simulated": True})
    else:
        output.out().print(f"[green]✓[/] {frame.height:,} simulated orders in {out}")
