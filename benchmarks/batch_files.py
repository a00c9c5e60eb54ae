"""A file of orders forecast as a job by a FoodEx that runs: rows a second, and memory.

    .venv/bin/foodex up &
    .venv/bin/python benchmarks/batch_files.py state --rows 1000000

Orders are those of the demonstration's data set, over and over. Memory is what the processes have
to themselves and their share of what they have together (PSS), sampled ten times a second.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.report import machine

MIB = 1 << 20
_LOOK_SECONDS = 0.25


def children(pid: int) -> Iterator[int]:
    """The process and all that it started."""
    yield pid
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield from children(int(child))
    except OSError:
        return


def memory_bytes(pid: int) -> int:
    """What the process and all that it started take."""
    total = 0
    for one in children(pid):
        try:
            lines = Path(f"/proc/{one}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) << 10 for line in lines if line.startswith("Pss:"))
    return total


class Memory(threading.Thread):
    """Watches the most that is taken."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._pid, self.rest, self.peak = pid, memory_bytes(pid), 0
        self.stop = threading.Event()

    def run(self) -> None:
        """Look four times a second; each look takes some milliseconds of the system's time."""
        while not self.stop.wait(_LOOK_SECONDS):
            self.peak = max(self.peak, memory_bytes(self._pid))


def main() -> None:
    """Send, ask, wait, and tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("state", type=Path)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--output", default="csv", choices=["csv", "ndjson", "parquet"])
    arguments = parser.parse_args()
    running = json.loads((arguments.state / "running.json").read_text())
    key = (arguments.state / "key").read_text().strip()

    def call(method: str, path: str, body: Any = None) -> Any:
        request = urllib.request.Request(
            f"{running['url']}/api/v1{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"authorization": f"Bearer {key}", "content-type": "application/json"},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=600) as answer:
            return json.loads(answer.read())

    newest = call("GET", "/storage/datasets/demo_city/rows?limit=1000")["rows"]
    hidden = {"row_id", "load_id", "delivery_minutes", "delivered_at", "accepted_at", "ready_at"}
    names = [name for name in newest[0] if name not in hidden | {"picked_up_at", "courier_id"}]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "orders.csv"
        lines = [",".join("" if r[n] is None else str(r[n]) for n in names) for r in newest]
        with path.open("w") as file:
            file.write(",".join(names) + "\n")
            for start in range(0, arguments.rows, len(lines)):
                file.writelines(f"{line}\n" for line in lines[: arguments.rows - start])
        size = path.stat().st_size
        sent = subprocess.run(
            [
                *("curl", "-sS", "-H", f"Authorization: Bearer {key}", "--data-binary"),
                *(f"@{path}", f"{running['url']}/api/v1/predictions/files?name=orders.csv"),
            ],
            capture_output=True,
            check=True,
        )
    memory = Memory(running["pid"])
    memory.start()
    began = time.perf_counter()
    wanted = {"file": json.loads(sent.stdout)["file"], "output": arguments.output}
    job = call("POST", "/predictions/batches", wanted)
    accepted = time.perf_counter()
    while job["state"] in ("waiting", "running"):
        job = call("GET", f"/jobs/{job['id']}?wait=20&seen={job['progress']}")
    ended = time.perf_counter()
    memory.stop.set()
    rows = job["result"]["rows"]
    print(machine())
    print(f"{rows:,} orders of {len(names)} columns, {size / MIB:.0f} MiB: {job['state']}")
    print(f"read and counted before it was accepted: {accepted - began:.1f} s")
    print(f"done in {ended - accepted:.1f} s: {rows / (ended - accepted):,.0f} rows a second")
    above = (memory.peak - memory.rest) / MIB
    print(f"memory: {memory.rest / MIB:.0f} MiB at rest, {above:.0f} MiB more at most")


if __name__ == "__main__":
    sys.exit(main())
