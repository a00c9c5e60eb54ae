"""The command `foodex`."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

import foodex
from foodex.cli import accounts, costs, data, jobs, models, output, scenarios, status, system
from foodex.core.errors import FoodexError

app = typer.Typer(
    name="foodex",
    help="How long will every order take, and what should the customer be told?",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"foodex {foodex.__version__}")
        raise typer.Exit


@app.callback()
def common(
    state: Annotated[
        Path | None, typer.Option("--state", help="The state folder (or FOODEX_STATE_DIR).")
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="The version.")
    ] = False,
) -> None:
    """How long will every order take, and what should the customer be told?"""
    if state is not None:
        # Every command reads it from there, and so do the processes they start.
        os.environ["FOODEX_STATE_DIR"] = str(state)


system.add_to(app)
data.add_to(app)
models.add_to(app)
costs.add_to(app)
accounts.add_to(app)
jobs.add_to(app)
scenarios.add_to(app)
status.add_to(app)


def main() -> None:
    """Run the command line; wrong input ends with exit code 2, a fault elsewhere with 1."""
    try:
        app()
    except FoodexError as error:
        output.complain(error, as_json="--json" in sys.argv)
        sys.exit(2 if error.status < 500 else 1)
    except BrokenPipeError:
        # The reader of our output has gone (`| head`); there is nobody to complain to.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
