"""Models run in this process by ONNX Runtime, answering as they were trained, to the last bit.

A session of one thread adds a model's trees in their order; a session of several does not, and
its last bits differ. So a session never has more than one thread here: a large batch is cut into
blocks of rows that run beside one another instead.
"""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from foodex.core.errors import FieldProblem, InvalidInput, NotFound

Floats = npt.NDArray[np.float64]

_BLOCK_ROWS: Final = 4096
_ERRORS_ONLY: Final = 3


class OnnxPredictor:
    """One ONNX model of one input, float64 (n, f), and one output, float64 (n, k)."""

    def __init__(self, model: bytes | Path, threads: int = 1) -> None:
        """Load `model`; batches above a few thousand rows use up to `threads` threads.

        Raises NotFound when there is no such file, InvalidInput when it is not such a model.
        """
        if isinstance(model, Path) and not model.is_file():
            raise NotFound(f"There is no model at {model}")
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = _ERRORS_ONLY
        # The arena keeps what the largest batch ever needed; rows are few and small.
        options.enable_cpu_mem_arena = False
        source = str(model) if isinstance(model, Path) else model
        try:
            self._session = ort.InferenceSession(
                source, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # ONNX Runtime's own share no other base
            raise InvalidInput(f"The model cannot be loaded: {error}") from error
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        if [value.type for value in (*inputs, *outputs)] != ["tensor(double)"] * 2:
            raise InvalidInput("The model is not one of float64 rows to float64 minutes")
        self._threads = threads
        self._input = inputs[0].name
        self._outputs = [outputs[0].name]
        self.features = int(inputs[0].shape[1])
        self.targets = int(outputs[0].shape[1])

    def predict(self, rows: Floats) -> Floats:
        """Minutes of shape (n, k) for `rows` of shape (n, f); NaN is missing."""
        if rows.ndim != 2 or rows.shape[1] != self.features:
            problem = FieldProblem("rows", f"have shape {rows.shape}, not (n, {self.features})")
            raise InvalidInput("The rows do not fit the model", problems=[problem])
        if len(rows) <= _BLOCK_ROWS:
            return self._run(rows)
        # As many blocks of like size as keep all threads busy to the end.
        rounds = -(-len(rows) // (_BLOCK_ROWS * self._threads))
        size = -(-len(rows) // (rounds * self._threads))
        blocks = [rows[start : start + size] for start in range(0, len(rows), size)]
        if self._threads == 1:
            return np.concatenate([self._run(block) for block in blocks])
        with ThreadPoolExecutor(self._threads) as pool:
            return np.concatenate(list(pool.map(self._run, blocks)))

    def _run(self, rows: Floats) -> Floats:
        contiguous = np.ascontiguousarray(rows, dtype=np.float64)
        answers: list[Any] = self._session.run(self._outputs, {self._input: contiguous})
        minutes: Floats = answers[0]
        return minutes
