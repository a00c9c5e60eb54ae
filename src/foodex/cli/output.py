"""What commands print: tables and words for people, JSON for machines."""

import sys
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from foodex.core.errors import FoodexError, InvalidInput
from foodex.core.problems import problem_document

T = TypeVar("T")


def out() -> Console:
    """Standard output, for results."""
    # A pipe or a file has no width to fold lines at.
    return Console(highlight=False, width=None if sys.stdout.isatty() else 240)


def err() -> Console:
    """Standard error, for progress and complaints."""
    return Console(stderr=True, highlight=False)


def emit(value: Any) -> None:
    """Print a value as JSON; times in ISO 8601, dataclasses as objects."""
    text = msgspec.json.encode(value, enc_hook=str)
    sys.stdout.write(msgspec.json.format(text, indent=2).decode() + "\n")


def write(path: Path, content: bytes) -> None:
    """Write a file whole or not at all; `InvalidInput` where it cannot be."""
    temporary = path.with_name(path.name + ".part")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError as error:
        raise InvalidInput(f"{path} cannot be written: {error.strerror}") from None


def complain(error: FoodexError, *, as_json: bool = False) -> None:
    """Say what went wrong in one readable paragraph."""
    if as_json:
        text = msgspec.json.encode(problem_document(error), enc_hook=str)
        sys.stderr.write(msgspec.json.format(text, indent=2).decode() + "\n")
        return
    console = err()
    console.print(f"[bold red]{error.title}:[/] ", end="")
    console.print(error.message, markup=False)
    for problem in error.problems[:20]:
        console.print("  • ", end="")
        console.print(str(problem), markup=False)
    if len(error.problems) > 20:
        console.print(f"  … and {len(error.problems) - 20} more")


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, title: str = "") -> None:
    """Print an aligned table; numbers stand to the right."""
    shown = Table(title=title or None, title_justify="left", box=None, header_style="bold cyan")
    body = [list(row) for row in rows]
    for index, name in enumerate(columns):
        numeric = bool(body) and all(
            isinstance(row[index], (int, float)) or row[index] is None for row in body
        )
        shown.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in body:
        shown.add_row(*(_text(cell) for cell in row))
    out().print(shown)


def _text(cell: Any) -> str:
    match cell:
        case None:
            return "[dim]–[/]"
        case bool():
            return "yes" if cell else "no"
        case float():
            return f"{cell:,.2f}"
        case int():
            return f"{cell:,}"
        case datetime():
            return f"{cell:%Y-%m-%d %H:%M}"
        case _:
            return str(cell).replace("[", r"\[")


@contextmanager
def progress(what: str) -> Iterator[Callable[[float, str], None]]:
    """A progress bar on a terminal; elsewhere a line for every quarter. Calls take a share 0-1."""
    console = err()
    if not console.is_terminal:
        said = -1

        def tell(share: float, message: str) -> None:
            nonlocal said
            quarter = int(share * 4)
            if quarter > said:
                said = quarter
                console.print(f"{what}: {share:.0%} {message}".rstrip(), markup=False)

        yield tell
        return
    with Progress(
        TextColumn("[bold]{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("[dim]{task.fields[message]}"),
        console=console,
    ) as bar:
        task = bar.add_task(what, total=1.0, message="")
        yield lambda share, message: bar.update(task, completed=share, message=message)


async def follow(
    what: str,
    started: T,
    wait: Callable[[T], Awaitable[T]],
    state: Callable[[T], tuple[float, str, bool]],
) -> T:
    """Show how something that runs elsewhere moves, until it has ended.

    `state` gives its progress from 0 to 1, a word about it, and whether it has ended.
    """
    with progress(what) as tell:
        while True:
            share, message, ended = state(started)
            tell(share, message)
            if ended:
                return started
            started = await wait(started)
