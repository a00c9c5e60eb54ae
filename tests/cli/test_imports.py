"""A word about FoodEx must not cost the import of all of it."""

import subprocess
import sys

HEAVY = ("polars", "pyarrow", "fastapi", "sqlalchemy", "aiohttp", "numpy", "foodex.bootstrap")


def test_the_command_line_alone_is_light() -> None:
    code = f"import sys, foodex.cli.main; print([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"
