"""The process of one training or evaluation: `python -m foodex.services.ml.job FOLDER`.

Reads `request.json` and `data.arrow` in the folder, tells its progress as JSON lines on standard
output, and leaves `result.json` (and, for a training, the folder `model`). It talks to no
database and no warehouse. When its standard input closes its parent is gone, and so is it.
"""

import importlib.metadata
import logging
import os
import platform
import resource
import sys
import threading
import time
from pathlib import Path
from typing import Any, Final

import msgspec
import polars as pl

from foodex.core.errors import FieldProblem, FoodexError, InternalError, InvalidInput
from foodex.eta.evaluation import evaluate
from foodex.eta.model import Model
from foodex.eta.state import LiveState
from foodex.eta.training import train
from foodex.services.ml.processes import (
    DATA_FILE,
    MODEL_FOLDER,
    REQUEST_FILE,
    RESULT_FILE,
    Tell,
)
from foodex.services.ml.tasks import Evaluation, Task, Training

PACKAGES: Final = ("foodex", "lightgbm", "scikit-learn", "numpy", "polars", "onnx", "onnxruntime")


def main() -> int:
    """Do the job of the folder named on the command line; 0 if it left a result."""
    folder = Path(sys.argv[1])
    tell = _take_over_output()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        request = msgspec.json.decode((folder / REQUEST_FILE).read_bytes(), type=Task)
        os.nice(request.nice)
        answer: dict[str, Any] = {"result": _do(request, folder, tell)}
    except FoodexError as error:
        answer = {"failure": _told(error)}
    except Exception:
        logging.getLogger("foodex.ml").exception("the job failed")
        answer = {
            "failure": _told(
                InternalError(f"A fault of ours ended the job; see the log of {folder.name}")
            )
        }
    unfinished = folder / (RESULT_FILE + ".part")
    unfinished.write_bytes(msgspec.json.encode(answer))
    unfinished.rename(folder / RESULT_FILE)
    return 0


def _told(error: FoodexError) -> dict[str, Any]:
    return {"type": error.type, "message": error.message, "problems": error.problems}


def _take_over_output() -> Tell:
    # Libraries print to standard output as they please; that goes to the log, and a private copy
    # of the descriptor carries the progress.
    progress = os.dup(1)
    os.dup2(2, 1)

    def tell(share: float, what: str) -> None:
        os.write(progress, msgspec.json.encode({"progress": share, "message": what}) + b"\n")

    return tell


def _end_with_parent() -> None:
    while os.read(0, 1):
        pass
    os._exit(3)


def _do(request: Task, folder: Path, tell: Tell) -> dict[str, Any]:
    started = time.perf_counter()
    frame = pl.read_ipc(folder / DATA_FILE)
    if request.training is not None:
        found = _train(request.training, frame, folder, tell)
    else:
        assert request.evaluation is not None
        found = _evaluate(request.evaluation, frame, tell)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    unit = 1 if platform.system() == "Darwin" else 1024
    return found | {
        "seconds": round(time.perf_counter() - started, 3),
        "peak_memory_bytes": peak * unit,
    }


def _train(request: Training, frame: pl.DataFrame, folder: Path, tell: Tell) -> dict[str, Any]:
    model = train(frame, request.options, tell, policy=request.policy)
    model.save(folder / MODEL_FOLDER)
    return {
        "summary": model.summary.to_json(),
        "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
    }


class _Following:
    """A model as the evaluation wants it: with the fitted orders as its past."""

    def __init__(self, model: Model, state: LiveState | None) -> None:
        self._model, self._state = model, state

    def forecast_frame(self, frame: pl.DataFrame) -> pl.DataFrame:
        return self._model.forecast_frame(frame, self._state)


def _evaluate(request: Evaluation, frame: pl.DataFrame, tell: Tell) -> dict[str, Any]:
    tell(0.05, "loading the model")
    model = Model.load(Path(request.model_folder))
    frame = frame.filter(_delivered(frame))
    past = state = None
    since = request.since
    split = request.split_column
    if since is None and split is not None:
        if split not in frame.columns:
            problem = FieldProblem("dataset", f"has no column '{split}' to tell what was fitted")
            raise InvalidInput("The evaluation cannot start", problems=[problem])
        fitted = pl.col(split).cast(pl.String).eq_missing("train")
        past, frame = frame.filter(fitted), frame.filter(~fitted)
        state = model.state_of(past) if len(past) else None
    tell(0.2, "forecasting")
    found = evaluate(
        _Following(model, state),
        frame,
        since,
        time_zone=model.summary.time_zone,
        past=past,
        policy=request.policy,
        until=request.until,
        zones=request.zones,
        change=request.change,
    )
    tell(1.0, "done")
    return {"evaluation": found.to_json()}


def _delivered(frame: pl.DataFrame) -> pl.Expr:
    known = [n for n in ("delivery_minutes", "delivered_at") if n in frame.columns]
    if not known:
        problem = FieldProblem("dataset", "says of no order how long it took")
        raise InvalidInput("The evaluation cannot start", problems=[problem])
    return pl.any_horizontal([pl.col(name).is_not_null() for name in known])


if __name__ == "__main__":
    sys.exit(main())
