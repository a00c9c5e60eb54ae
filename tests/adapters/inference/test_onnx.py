"""The in-process backend, chosen by its address."""

import numpy as np
import pytest

from foodex.adapters.inference.onnx import OnnxInference
from foodex.core.errors import InvalidInput
from foodex.eta.export import export_linear, to_bytes
from foodex.ports.inference import Inference


@pytest.mark.parametrize("url", ["onnx://", "onnx:///", "onnx://?threads=2"])
def test_a_model_answers(url: str) -> None:
    backend: Inference = OnnxInference.from_url(url)
    predictor = backend.load(to_bytes(export_linear([[2.0]], [1.0], [0.0])))
    assert predictor.predict(np.array([[3.0], [np.nan]])).tolist() == [[7.0], [1.0]]


@pytest.mark.parametrize(
    "url",
    ["triton://host", "onnx://host", "onnx://?threads=0", "onnx://?threads=x", "onnx://?thread=2"],
)
def test_other_addresses_are_refused(url: str) -> None:
    with pytest.raises(InvalidInput, match="inference"):
        OnnxInference.from_url(url)
