"""Measure what the documentation claims.

make bench                       everything, printed
make bench ARGS="latency"        one part
make bench ARGS="--write"        everything, and docs/benchmarks.md written anew
make bench ARGS="serving --write"  one part, and its section of that page written anew

Parts: accuracy, latency, bulk, startup, serving, jobs, dashboard.
"""

import importlib
import sys
from pathlib import Path
from typing import Final

from benchmarks.report import machine, markdown, show

PARTS: Final = ("accuracy", "latency", "bulk", "startup", "serving", "jobs", "dashboard")
PAGE: Final = Path(__file__).parent.parent / "docs" / "benchmarks.md"
HEAD: Final = """\
# Benchmarks

What was measured by `make bench ARGS=--write`, each part in one run. Times on shared machines swing
by half between runs: the ratios are steadier than the figures. A mark says whether what must be
reached was reached; what was not is work still to be done.

"""


def main(arguments: list[str]) -> None:
    write = "--write" in arguments
    names = [name for name in arguments if not name.startswith("--")] or list(PARTS)
    print(machine())
    sections = _sections(PAGE.read_text()) if write and set(names) != set(PARTS) else {}
    for name in names:
        part = importlib.import_module(f"benchmarks.{name}")
        rows = part.measure()
        show(part.TITLE, rows)
        sections[part.TITLE] = markdown(part.TITLE, rows)
    if write:
        PAGE.write_text(HEAD + "\n".join(sections.values()))
        print(f"written: {PAGE}")


def _sections(page: str) -> dict[str, str]:
    """The sections of a page that was written before, by title."""
    parts = page.split("\n## ")[1:]
    return {part.partition("\n")[0]: f"## {part.rstrip()}\n" for part in parts}


if __name__ == "__main__":
    main(sys.argv[1:])
