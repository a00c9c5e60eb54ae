"""How a benchmark tells what it measured."""

import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One measured figure beside what it must reach and what it aims at."""

    what: str
    measured: str
    must: str = ""
    aim: str = ""
    reached: bool | None = None
    note: str = ""


def machine() -> str:
    """The machine in one line."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    model = platform.processor() or platform.machine()
    try:
        with Path("/proc/cpuinfo").open() as file:
            model = next(line for line in file if "model name" in line).partition(":")[2].strip()
    except (OSError, StopIteration):
        pass
    python = ".".join(map(str, sys.version_info[:3]))
    return f"{os.cpu_count()} cores of {model}, {memory:.0f} GiB, Python {python}"


def show(title: str, rows: Sequence[Row]) -> None:
    """Print rows as a table."""
    table = Table(title=title, title_justify="left", box=None, header_style="bold cyan")
    for name in ("what", "measured", "must", "aim", "", "note"):
        table.add_column(name)
    for row in rows:
        mark = {True: "[green]✓[/]", False: "[red]✗[/]", None: ""}[row.reached]
        table.add_row(row.what, row.measured, row.must, row.aim, mark, row.note)
    Console(width=160).print(table)


def markdown(title: str, rows: Sequence[Row]) -> str:
    """Rows as a table for the documentation, with the day and the machine."""
    lines = [
        f"## {title}\n",
        f"{datetime.now(UTC):%Y-%m-%d}, {machine()}.\n",
        "| what | measured | must | aim | | note |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        mark = {True: "✓", False: "✗", None: ""}[row.reached]
        cells = (row.what, row.measured, row.must, row.aim, mark, row.note)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
