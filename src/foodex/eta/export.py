"""Trained models as ONNX, equal to what was trained. For training processes only.

Every exported graph takes `rows`, float64 of shape (n, f), and gives `minutes`, float64 of shape
(n, k). The same model always gives the same bytes. Trees are equal to the last bit as long as
they are added in their order, which ONNX Runtime does in a session of one thread (`runtime`).
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from foodex.core.errors import FieldProblem, InvalidInput
from foodex.eta.trees import ZERO, Ensemble, forest_ensemble, lightgbm_ensemble

if TYPE_CHECKING:
    from lightgbm import Booster
    from sklearn.ensemble import RandomForestRegressor

Floats = npt.NDArray[np.float64]

INPUT: Final = "rows"
OUTPUT: Final = "minutes"
_OPSETS: Final = (("", 21), ("ai.onnx.ml", 5))
_IR_VERSION: Final = 10
_SUM, _NO_TRANSFORM = 1, 0
_AT_MOST, _MEMBER = 0, 6


def export_trees(boosters: "Sequence[Booster]") -> onnx.ModelProto:
    """LightGBM regression models as one graph, a column of minutes for each.

    Equal to `booster.predict` to the last bit for every row, missing values included; columns
    with categorical splits must hold whole codes. Each model keeps a TreeEnsemble of its own:
    one for all is as exact, and slower on batches. Raises InvalidInput for models that are not
    a plain sum of constant leaves, or that do not share their features.
    """
    return _tree_model([lightgbm_ensemble(booster) for booster in boosters])


def export_forest(*forests: "RandomForestRegressor") -> onnx.ModelProto:
    """Fitted scikit-learn forests as one graph, a column of minutes (the mean tree) for each.

    Equal to the last bit to `forest.predict` with `n_jobs=1`; with more jobs scikit-learn adds
    its trees in whatever order they finish.
    """
    return _tree_model([forest_ensemble(forest) for forest in forests])


def export_linear(
    coefficients: npt.ArrayLike,
    intercepts: npt.ArrayLike,
    fill_values: npt.ArrayLike,
    means: npt.ArrayLike | None = None,
    scales: npt.ArrayLike | None = None,
) -> onnx.ModelProto:
    """Linear models `(filled - means) / scales @ coefficients.T + intercepts` as one graph.

    `coefficients` is (k, f), `intercepts` (k,), the others (f,); `fill_values` stand in for
    missing values. Means and scales are folded into the weights, so answers agree with the
    formula to rounding, not to the last bit. Raises InvalidInput for shapes that do not fit and
    for numbers that are not finite.
    """
    weights = np.atleast_2d(np.asarray(coefficients, dtype=np.float64))
    targets, width = weights.shape
    fill = _vector("fill_values", fill_values, width)
    offsets = _vector("intercepts", intercepts, targets)
    if scales is not None:
        divisors = _vector("scales", scales, width)
        if (divisors == 0).any():
            raise _refusal("scales", "has a zero")
        weights = weights / divisors
    if means is not None:
        offsets = offsets - weights @ _vector("means", means, width)
    if not np.isfinite(weights).all():
        raise _refusal("coefficients", "are not all finite numbers")
    nodes = [
        helper.make_node("IsNaN", [INPUT], ["missing"]),
        helper.make_node("Where", ["missing", "fill_values", INPUT], ["filled"]),
        helper.make_node("Gemm", ["filled", "weights", "intercepts"], [OUTPUT], transB=1),
    ]
    constants = [
        numpy_helper.from_array(fill, "fill_values"),
        numpy_helper.from_array(np.ascontiguousarray(weights), "weights"),
        numpy_helper.from_array(offsets, "intercepts"),
    ]
    return _model(width, targets, nodes, constants)


def side_by_side(models: Sequence[onnx.ModelProto]) -> onnx.ModelProto:
    """One graph that gives the columns of several exported graphs, in their order."""
    nodes, constants, parts, targets = [], [], [], 0
    for number, model in enumerate(models):
        prefix = f"part_{number}/"
        part = onnx.compose.add_prefix(model, prefix, rename_inputs=False)
        nodes += part.graph.node
        constants += part.graph.initializer
        parts.append(prefix + OUTPUT)
        targets += _columns(model.graph.output[0])
    widths = {_columns(model.graph.input[0]) for model in models}
    if len(widths) != 1:
        raise _refusal("features", f"are not as many for every model: {sorted(widths)}")
    nodes.append(helper.make_node("Concat", parts, [OUTPUT], axis=1))
    return _model(widths.pop(), targets, nodes, constants)


def to_bytes(model: onnx.ModelProto) -> bytes:
    """The model as it is stored: the same bytes for the same model."""
    return bytes(model.SerializeToString(deterministic=True))


def _tree_model(ensembles: Sequence[Ensemble]) -> onnx.ModelProto:
    widths = {ensemble.width for ensemble in ensembles}
    if len(widths) != 1:
        raise _refusal("features", f"are not as many for every model: {sorted(widths)}")
    nodes: list[NodeProto] = []
    constants: list[TensorProto] = []
    parts = []
    for number, ensemble in enumerate(ensembles):
        part = f"minutes_{number}" if len(ensembles) > 1 else OUTPUT
        source = INPUT
        if ensemble.zero_missing:
            source = f"holed_{number}"
            added = _without_zeros(ensemble, source)
            nodes += added[0]
            constants += added[1]
        if ensemble.divisor == 1:
            nodes.append(_tree_node(ensemble, source, part))
        else:
            sums, count = f"sums_{number}", f"trees_{number}"
            nodes.append(_tree_node(ensemble, source, sums))
            nodes.append(helper.make_node("Div", [sums, count], [part]))
            constants.append(numpy_helper.from_array(np.array(float(ensemble.divisor)), count))
        parts.append(part)
    if len(parts) > 1:
        nodes.append(helper.make_node("Concat", parts, [OUTPUT], axis=1))
    return _model(widths.pop(), len(ensembles), nodes, constants)


def _without_zeros(ensemble: Ensemble, output: str) -> tuple[list[NodeProto], list[TensorProto]]:
    """The rows with a hole for every zero that LightGBM reads as missing."""
    reach = np.full(ensemble.width, -1.0)
    reach[list(ensemble.zero_missing)] = ZERO
    nodes = [
        helper.make_node("Abs", [INPUT], [f"{output}/size"]),
        helper.make_node("LessOrEqual", [f"{output}/size", f"{output}/reach"], [f"{output}/zero"]),
        helper.make_node("Where", [f"{output}/zero", f"{output}/hole", INPUT], [output]),
    ]
    constants = [
        numpy_helper.from_array(reach, f"{output}/reach"),
        numpy_helper.from_array(np.array(np.nan), f"{output}/hole"),
    ]
    return nodes, constants


def _tree_node(ensemble: Ensemble, source: str, output: str) -> NodeProto:
    """A TreeEnsemble (ai.onnx.ml 5) that adds up the trees in their order, in float64."""
    trees = ensemble.trees
    # A tree that is one leaf is told as a root whose two branches are that leaf.
    sizes = np.array([max(len(tree.features), 1) for tree in trees])
    roots = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    first_leaves = np.concatenate([[0], np.cumsum([len(tree.leaves) for tree in trees])[:-1]])
    members = [
        value
        for tree in trees
        for _, values in sorted(tree.members.items())
        for value in (*values, np.nan)
    ]
    attributes: dict[str, Any] = {
        "nodes_splits": _tensor([_or_root(tree.splits, 0.0) for tree in trees]),
        "nodes_modes": _tensor(
            [_modes(size, tree.members) for size, tree in zip(sizes, trees, strict=True)]
        ),
        "leaf_weights": _tensor([tree.leaves for tree in trees]),
        "leaf_targetids": [0] * sum(len(tree.leaves) for tree in trees),
        "nodes_featureids": _integers([_or_root(tree.features, 0) for tree in trees]),
        "nodes_missing_value_tracks_true": _integers(
            [_or_root(tree.missing_left, 0) for tree in trees]
        ),
    }
    for side in ("true", "false"):
        children = [_or_root(tree.left if side == "true" else tree.right, -1) for tree in trees]
        attributes[f"nodes_{side}leafs"] = _integers([child < 0 for child in children])
        attributes[f"nodes_{side}nodeids"] = _integers(
            [
                np.where(child < 0, ~child + leaf, child + root)
                for child, root, leaf in zip(children, roots, first_leaves, strict=True)
            ]
        )
    if members:
        attributes["membership_values"] = _tensor([np.array(members, dtype=np.float64)])
    return helper.make_node(
        "TreeEnsemble",
        [source],
        [output],
        domain="ai.onnx.ml",
        n_targets=1,
        aggregate_function=_SUM,
        post_transform=_NO_TRANSFORM,
        tree_roots=roots.tolist(),
        **attributes,
    )


def _or_root(values: npt.NDArray[Any], otherwise: float) -> npt.NDArray[Any]:
    return values if len(values) else np.array([otherwise]).astype(values.dtype)


def _modes(size: int, members: dict[int, tuple[int, ...]]) -> npt.NDArray[np.uint8]:
    modes = np.full(size, _AT_MOST, dtype=np.uint8)
    modes[list(members)] = _MEMBER
    return modes


def _tensor(parts: Sequence[npt.NDArray[Any]]) -> TensorProto:
    return numpy_helper.from_array(np.concatenate(parts))


def _integers(parts: Sequence[npt.NDArray[Any]]) -> list[int]:
    whole: list[int] = np.concatenate(parts).astype(np.int64).tolist()
    return whole


def _columns(value: onnx.ValueInfoProto) -> int:
    return int(value.type.tensor_type.shape.dim[1].dim_value)


def _model(
    width: int, targets: int, nodes: Sequence[NodeProto], constants: Sequence[TensorProto]
) -> onnx.ModelProto:
    model = helper.make_model(
        helper.make_graph(
            nodes,
            "minutes",
            [helper.make_tensor_value_info(INPUT, TensorProto.DOUBLE, ["n", width])],
            [helper.make_tensor_value_info(OUTPUT, TensorProto.DOUBLE, ["n", targets])],
            initializer=constants,
        ),
        opset_imports=[helper.make_opsetid(domain, version) for domain, version in _OPSETS],
        ir_version=_IR_VERSION,
        producer_name="foodex",
    )
    onnx.checker.check_model(model)
    return model


def _vector(name: str, values: npt.ArrayLike, length: int) -> Floats:
    vector = np.array(values, dtype=np.float64).reshape(-1)
    if len(vector) != length:
        raise _refusal(name, f"has {len(vector)} values where {length} are needed")
    if not np.isfinite(vector).all():
        raise _refusal(name, "are not all finite numbers")
    return vector


def _refusal(name: str, why: str) -> InvalidInput:
    return InvalidInput("The model cannot be exported", problems=[FieldProblem(name, why)])
