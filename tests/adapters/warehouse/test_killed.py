"""A load that is killed anywhere leaves nothing half, and its next run ends with every row once."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from tests.adapters.warehouse.loading import BATCH, BATCHES, TABLE

_COUNT = """
import asyncio, sys
from foodex.adapters.warehouse.opening import open_warehouse
async def main():
    warehouse = open_warehouse("chdb://" + sys.argv[1])
    try:
        ids = [i async for b in warehouse.scan(sys.argv[2], ["row_id"]) for i in b[0].to_pylist()]
    except Exception as error:
        if type(error).__name__ != "NotFound":
            raise
        ids = []
    print(len(ids), len(set(ids)))
    await warehouse.close()
asyncio.run(main())
"""


async def _python(*arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, *arguments, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )


async def _seen(path: Path) -> tuple[int, int]:
    process = await _python("-c", _COUNT, str(path), TABLE)
    out, _ = await process.communicate()
    assert process.returncode == 0
    rows, different = out.split()
    return int(rows), int(different)


async def _killed_after(path: Path, load_id: int, steps: int, wait_ms: int) -> bool:
    process = await _python("-m", "tests.adapters.warehouse.loading", str(path), str(load_id))
    assert process.stdout
    finished = False
    for _ in range(steps):
        said = await process.stdout.readline()
        if said in (b"done\n", b""):
            finished = True
            break
    if not finished:
        await asyncio.sleep(wait_ms / 1000)
        os.kill(process.pid, signal.SIGKILL)
    await process.communicate()
    return finished


# The milliseconds put the kill inside the step: before, in and after its writing.
@pytest.mark.parametrize("wait_ms", [0, 4])
async def test_kill_9_at_every_step(tmp_path: Path, wait_ms: int) -> None:
    path = tmp_path / "chdb"
    everything = BATCH * BATCHES
    for steps in range(1, BATCHES + 3):
        await _killed_after(path, 7, steps, wait_ms)
    assert await _seen(path) in [(0, 0), (everything, everything)]
    process = await _python("-m", "tests.adapters.warehouse.loading", str(path), "7")
    assert (await process.communicate())[0].endswith(b"done\n")
    assert await _seen(path) == (everything, everything)


async def test_one_process_at_a_time(tmp_path: Path) -> None:
    holder = await _python(
        "-c",
        "import sys\nfrom foodex.adapters.warehouse.opening import open_warehouse\n"
        "w = open_warehouse('chdb://' + sys.argv[1])\nprint('held', flush=True)\ninput()",
        str(tmp_path / "chdb"),
    )
    assert holder.stdout
    assert await holder.stdout.readline() == b"held\n"
    code = (
        "import sys\nfrom foodex.adapters.warehouse.opening import open_warehouse\n"
        "from foodex.core.errors import Unavailable\n"
        "try: open_warehouse('chdb://' + sys.argv[1])\n"
        "except Unavailable as error: print(error)"
    )
    second = await _python("-c", code, str(tmp_path / "chdb"))
    said, _ = await second.communicate()
    assert f"is in use by process {holder.pid} since".encode() in said
    holder.kill()
    await holder.communicate()
    third = await _python("-c", code, str(tmp_path / "chdb"))
    assert (await third.communicate())[0] == b""
