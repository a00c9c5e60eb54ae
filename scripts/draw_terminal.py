"""Draw commands and what they print as a picture of a terminal.

    .venv/bin/python scripts/draw_terminal.py docs/images/evaluate.svg "foodex models list" …

The commands really run (FOODEX_STATE_DIR chooses their state folder). The picture names no font
to fetch: whoever looks at it asks no other server for anything.
"""

import io
import os
import re
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

COLUMNS = 134


def draw(commands: list[str], *, title: str) -> str:
    """The commands, each with its output, as SVG."""
    bin_folder = Path(sys.executable).parent
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), highlight=False)
    for number, command in enumerate(commands):
        if number:
            console.print()
        console.print(Text.assemble(("$ ", "bold green"), (command, "bold")))
        ran = subprocess.run(
            ["/bin/sh", "-c", command],
            env=os.environ
            | {"PATH": f"{bin_folder}:{os.environ['PATH']}", "FORCE_COLOR": "1"}
            | {"TERM": "xterm-256color"},
            capture_output=True,
            text=True,
            check=True,
        )
        for line in ran.stdout.splitlines():
            text = Text.from_ansi(line)
            text.rstrip()
            console.print(text)
    svg = console.export_svg(title=title)
    return re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(draw(sys.argv[2:], title="FoodEx on simulated orders") + "\n")
