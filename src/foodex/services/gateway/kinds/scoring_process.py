"""Where the process that forecasts a file begins, before any library is loaded."""

import os
from collections.abc import Mapping
from typing import Any, Final

from foodex.ports.work import Task

REFUSED_FILE: Final = "rejected.csv"


def predict_rows(task: Task) -> Mapping[str, Any]:
    """Forecast the orders of a file; see `scoring.score_file`."""
    # Reading, forecasting and writing share the cores already; more threads only take turns.
    os.environ.setdefault("POLARS_MAX_THREADS", "1")
    from foodex.services.gateway.kinds.scoring import score_file

    return score_file(task)
