"""The seam to whatever runs a model: rows in, minutes out."""

from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


class Predictor(Protocol):
    """One loaded model; safe to call from several threads at once."""

    def predict(self, rows: Floats) -> Floats:
        """Minutes of shape (n, k) for `rows` of shape (n, f), both float64; NaN is missing.

        Raises InvalidInput for rows of another shape than the model's.
        """
        ...


class Inference(Protocol):
    """A backend that turns a stored ONNX model into a predictor."""

    def load(self, model: bytes | Path) -> Predictor:
        """A predictor for the model. Raises InvalidInput when it cannot be read as one."""
        ...
