"""A model in this process: what it takes, what it refuses."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from foodex.core.errors import InvalidInput, NotFound
from foodex.eta.export import export_linear, to_bytes
from foodex.eta.runtime import OnnxPredictor

MODEL = to_bytes(export_linear([[1.0, 2.0], [0.0, 1.0]], [0.5, -0.5], [0.0, 0.0]))


def test_a_model_is_loaded_from_bytes_and_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(MODEL)
    for source in (MODEL, path):
        predictor = OnnxPredictor(source)
        assert (predictor.features, predictor.targets) == (2, 2)
        assert predictor.predict(np.array([[1.0, 2.0]])).tolist() == [[5.5, 1.5]]


def test_rows_of_any_layout_give_the_same_answer() -> None:
    predictor = OnnxPredictor(MODEL)
    rows = np.arange(40.0).reshape(20, 2)
    want = predictor.predict(rows)
    assert np.array_equal(predictor.predict(np.asfortranarray(rows)), want)
    assert np.array_equal(predictor.predict(rows[::2]), want[::2])
    assert predictor.predict(rows[:0]).shape == (0, 2)


@pytest.mark.parametrize("threads", [1, 3])
def test_large_batches_are_cut_and_joined_in_order(threads: int) -> None:
    rows = np.random.default_rng(0).normal(size=(20_001, 2))
    got = OnnxPredictor(MODEL, threads).predict(rows)
    assert got == pytest.approx(rows @ [[1.0, 0.0], [2.0, 1.0]] + [0.5, -0.5])


def test_one_predictor_serves_many_threads() -> None:
    predictor = OnnxPredictor(MODEL)
    rows = [np.full((1, 2), float(value)) for value in range(200)]
    with ThreadPoolExecutor(4) as pool:
        got = list(pool.map(predictor.predict, rows))
    assert [minutes[0, 1] for minutes in got] == [value - 0.5 for value in range(200)]


@pytest.mark.parametrize("shape", [(2,), (1, 3), (1, 1, 2)])
def test_rows_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InvalidInput, match="rows"):
        OnnxPredictor(MODEL).predict(np.zeros(shape))


@pytest.mark.parametrize("content", [b"", b"not a model", MODEL[: len(MODEL) // 2]])
def test_what_is_no_model_is_refused(content: bytes) -> None:
    with pytest.raises(InvalidInput, match="cannot be loaded"):
        OnnxPredictor(content)


def test_a_file_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        OnnxPredictor(tmp_path / "none.onnx")


def test_a_model_of_other_types_is_refused() -> None:
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 2]) for name in "xy"]
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])], "g", value[:1], value[1:]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    onnx.checker.check_model(model)
    with pytest.raises(InvalidInput, match="float64"):
        OnnxPredictor(to_bytes(model))
