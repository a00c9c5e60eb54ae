"""A file of orders scored in one call: `python -m benchmarks.jobs_in_process KIT ORDERS`.

Says the seconds it took; KIT is an unpacked kit's folder.
"""

import os
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from foodex.ports.orders import ReadRule
from foodex.services.collector.orders import read_orders
from foodex.services.ml.scoring import load_kit


def score(kit: Path, orders: Path) -> float:
    """Seconds in which a kit answers the orders of a file, read as the job reads them."""
    scoring = load_kit(kit, os.cpu_count() or 1)
    rule = ReadRule(extras=scoring.extras, latest=datetime.now(UTC) + timedelta(days=1))
    pieces = [piece.orders.drop("row") for piece in read_orders(orders, rule)]
    frame = pl.concat(pieces).rechunk()
    # The first call also makes what later ones find made.
    scoring.score(frame.head(10_000))
    began = time.perf_counter()
    scoring.score(frame)
    return time.perf_counter() - began


if __name__ == "__main__":
    print(score(Path(sys.argv[1]), Path(sys.argv[2])))
