"""A file of orders forecast as a job by a FoodEx that runs: rows a second, and memory.

Orders are those of the demonstration's data set, over and over. By turns with the job, the
same model scores the same orders in a process of its own that has them all in memory.
"""

import csv
import io
import itertools
import os
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from types import TracebackType
from typing import Any, Final, Self

from benchmarks.pinned import tree
from benchmarks.processes import Asker, run, up
from benchmarks.report import Row

ROWS: Final = int(os.environ.get("FOODEX_BENCH_ROWS", "1000000"))
FEWER: Final = ROWS // 4
TURNS: Final = 3
OUTPUT: Final = "csv"
REST_SECONDS: Final = 5.0
LOOK_SECONDS: Final = 0.25
_MIB: Final = 1 << 20
_KNOWN_LATER: Final = {
    *("row_id", "load_id", "accepted_at", "ready_at", "picked_up_at", "courier_id"),
    *("delivered_at", "delivery_minutes"),
}
"""Columns of a data set that an order which is not yet delivered does not have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A job that has ended: until and since its acceptance, memory at rest before it and above."""

    check_seconds: float
    seconds: float
    rest_mib: float
    above_mib: float


def measure_files() -> list[Row]:
    """Forecast the files, by turns with scoring in process, so that a busy moment meets both."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # What is logged is not read: it must not fill the pipe.
        with up(folder / "state", environment={"FOODEX_LOG__LEVEL": "warning"}) as running:
            ask = Asker(running.url, running.key)
            _unpack(ask.content("GET", "/ml/kit"), folder / "kit")
            known = ask("GET", "/storage/datasets/demo_city/rows?limit=1000")["rows"]
            orders, fewer = folder / "orders.csv", folder / "fewer.csv"
            _write(orders, known, ROWS)
            _write(fewer, known, FEWER)
            sent_fewer, sent = _sent(ask, fewer), _sent(ask, orders)
            small = [_job(ask, running.pid, sent_fewer, FEWER) for _ in range(TURNS)]
            turns = []
            for _ in range(TURNS):
                alone = _in_process(folder / "kit", orders)
                turns.append((_job(ask, running.pid, sent, ROWS), alone))
            size = orders.stat().st_size
    return _rows(turns, small, size)


def _rows(turns: Sequence[tuple[Done, float]], small: Sequence[Done], size: int) -> list[Row]:
    seconds = median(done.seconds for done, _ in turns)
    checked = median(done.check_seconds for done, _ in turns)
    alone = median(seconds for _, seconds in turns)
    share = alone / seconds
    above = max(done.above_mib for done, _ in turns)
    rests = [done.rest_mib for done in (*small, *(done for done, _ in turns))]
    return [
        Row(
            what=f"a file of {ROWS:,} orders as a job (CSV)",
            measured=f"{ROWS / seconds:,.0f} rows a second, {share:.0%} of scoring in process",
            must="≥ 50 %",
            reached=share >= 0.5,
            note=f"{size / _MIB:.0f} MiB in {seconds:.1f} s from acceptance to its end; "
            f"{checked:.1f} s before it to count and price the rows; "
            f"in process {ROWS / alone:,.0f}; medians of {TURNS} turns",
        ),
        Row(
            what="memory above rest while it is done",
            measured=f"{above:.0f} MiB",
            must="≤ 300 MiB",
            reached=above <= 300,
            note=f"{max(done.above_mib for done in small):.0f} MiB for {FEWER:,} orders; the most "
            f"of {TURNS} turns, all processes (PSS); at rest {rests[0]:.0f} MiB before the first "
            f"of these jobs, {rests[-1]:.0f} MiB before the last",
        ),
    ]


def _job(ask: Asker, pid: int, file: str, rows: int) -> Done:
    time.sleep(REST_SECONDS)  # what came before has been given back
    rest = memory_bytes(pid)
    with Memory(pid) as memory:
        began = time.perf_counter()
        job = ask("POST", "/predictions/batches", {"file": file, "output": OUTPUT})
        accepted = time.perf_counter()
        result = ask.until_done("/jobs", job["id"])["result"]
        ended = time.perf_counter()
    if result["forecast"] != rows:
        raise RuntimeError(f"not all of {rows} orders were forecast: {result}")
    return Done(
        check_seconds=accepted - began,
        seconds=ended - accepted,
        rest_mib=rest / _MIB,
        above_mib=(memory.most - rest) / _MIB,
    )


def _in_process(kit: Path, orders: Path) -> float:
    # In a process that is gone when the job is begun, and with nothing imported here: libraries
    # that others have loaded too would count only in part as FoodEx's memory.
    module = "benchmarks.jobs_in_process"
    return float(run(sys.executable, "-m", module, str(kit), str(orders)).output)


def _unpack(kit: bytes, folder: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(kit)) as tar:
        tar.extractall(folder, filter="data")


def _write(path: Path, known: Sequence[Mapping[str, Any]], rows: int) -> None:
    names = [name for name in known[0] if name not in _KNOWN_LATER]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, names, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(itertools.islice(itertools.cycle(known), rows))


def _sent(ask: Asker, path: Path) -> str:
    told = ask("POST", f"/predictions/files?name={path.name}", path.read_bytes())
    return str(told["file"])


def memory_bytes(pid: int) -> int:
    """What a process and all that it started take, with their share of what they have together."""
    total = 0
    for one in tree(pid):
        # It may end while it is looked at.
        with suppress(OSError):
            lines = Path(f"/proc/{one}/smaps_rollup").read_text().splitlines()
            total += sum(int(line.split()[1]) << 10 for line in lines if line.startswith("Pss:"))
    return total


class Memory:
    """Watches the most that a process and all it started take, four times a second."""

    def __init__(self, pid: int) -> None:
        self._pid, self.most = pid, 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _look(self) -> None:
        # Each look takes some milliseconds of the system's time.
        while not self._stop.wait(LOOK_SECONDS):
            self.most = max(self.most, memory_bytes(self._pid))
