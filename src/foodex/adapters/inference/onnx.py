"""`onnx://`: models run in this process by ONNX Runtime."""

from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from foodex.core.errors import FieldProblem, InvalidInput
from foodex.eta.runtime import OnnxPredictor
from foodex.ports.inference import Predictor


class OnnxInference:
    """Loads models into this process; batches use up to `threads` threads."""

    def __init__(self, threads: int = 1) -> None:
        self._threads = threads

    @classmethod
    def from_url(cls, url: str) -> "OnnxInference":
        """From `onnx://` or `onnx://?threads=4`. Raises InvalidInput for anything else."""
        parts = urlsplit(url)
        asked = parse_qs(parts.query, keep_blank_values=True)
        threads = asked.pop("threads", ["1"])[-1]
        if parts.scheme != "onnx" or parts.netloc or parts.path.strip("/") or asked:
            problem = FieldProblem("inference", f"'{url}' is not `onnx://` or `onnx://?threads=N`")
            raise InvalidInput("The inference address cannot be used", problems=[problem])
        if not threads.isdecimal() or int(threads) < 1:
            problem = FieldProblem(
                "inference", f"threads is '{threads}', not a whole number above 0"
            )
            raise InvalidInput("The inference address cannot be used", problems=[problem])
        return cls(int(threads))

    def load(self, model: bytes | Path) -> Predictor:
        """A predictor for the model; see `OnnxPredictor` for the errors."""
        return OnnxPredictor(model, self._threads)
