"""Compute only the first position of the last layer, where the classifier reads no other.

Such a classifier needs only the first position's query, residual sum and FFN. The keys and values
of the other positions need not be computed either: with one query, the scores ``q · (W_k x_t)`` are
``(W_kᵀ q) · x_t``, and the weighted mean of values is ``W_v`` times the weighted mean of ``x_t``.
The key's bias adds the same number to every score, which softmax cancels.
"""

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto

from edgeadapt.graph.edit import Edited
from edgeadapt.graph.fused import FusedAttention, attribute

__all__ = ["first_position_only"]

_ROW_WISE = {
    "Add", "Sum", "Sub", "Mul", "Div", "Pow", "Sqrt", "Erf", "Tanh", "Sigmoid", "Relu", "Gelu",
    "FastGelu", "BiasGelu", "LayerNormalization", "Identity",
}  # fmt: skip
"""Operators that compute each position independently, if their constants are vectors or scalars."""


def first_position_only(model: onnx.ModelProto) -> onnx.ModelProto:
    """Returns a copy that computes only the first position of its last layer.

    A model that reads other positions too is copied unchanged. Attention is reduced only if it is
    one node (``graph/attention.py``); the operations after it are reduced in any case.
    """
    edited = Edited(model)
    pick = _first_position(edited)
    if pick is None:
        return edited.finished()
    narrow = _narrowed(edited, pick)
    outside = {
        tensor: None
        for node in narrow
        for tensor in node.input
        if tensor and edited.rank(tensor) is None and edited.producer(tensor) not in narrow
    }
    first = edited.add_constant("first_position", np.array([0], dtype=np.int64))
    for tensor in outside or [pick.input[0]]:
        readers = [node for node in edited.readers(tensor) if node in narrow] or [pick]
        alone = _reads_alone(edited, tensor, readers)
        narrowed = _narrow(edited, tensor, first, alone=alone)
        edited.redirect(tensor, narrowed, readers)
    return edited.finished()


def _first_position(edited: Edited) -> onnx.NodeProto | None:
    """Returns the ``Gather`` of the first position, if no other node reads the hidden states."""
    picks = [
        node
        for node in edited.graph.node
        if node.op_type == "Gather"
        and attribute(node, "axis") == 1
        and edited.rank(node.input[0]) is None
        and _is_zero(edited.constant(node.input[1]))
    ]
    if len(picks) != 1 or not _reads_alone(edited, picks[0].input[0], picks):
        return None
    return picks[0]


def _narrowed(edited: Edited, pick: onnx.NodeProto) -> list[onnx.NodeProto]:
    """Returns the row-wise nodes of whose output only the first position is read."""
    narrow: list[onnx.NodeProto] = []
    for node in reversed(edited.graph.node):
        alone = _reads_alone(edited, node.output[0], [*narrow, pick])
        if alone and _is_row_wise(edited, node):
            narrow.append(node)
    return narrow


def _reads_alone(edited: Edited, tensor: str, nodes: list[onnx.NodeProto]) -> bool:
    """Returns whether these nodes are the only readers of a tensor."""
    readers = edited.readers(tensor)
    only_these = all(reader in nodes for reader in readers)
    return bool(readers) and only_these and not edited.is_output(tensor)


def _is_row_wise(edited: Edited, node: onnx.NodeProto) -> bool:
    """Returns whether a node computes each position independently."""
    ranks = [edited.rank(tensor) for tensor in node.input]
    if node.op_type == "MatMul":
        return ranks[1] == 2
    return node.op_type in _ROW_WISE and all(rank is None or rank <= 1 for rank in ranks)


def _narrow(edited: Edited, tensor: str, first: str, *, alone: bool) -> str:
    """Adds the first position of a tensor, shape ``(batch, 1, width)``, and returns its name."""
    producer = edited.producer(tensor)
    if alone and producer is not None:
        attention = FusedAttention.of(edited, producer)
        if attention is not None:
            return _of_first(attention, edited, first, f"{tensor}_first")
    return edited.add("Gather", [tensor, first], f"{tensor}_first", axis=1)


def _of_first(attention: FusedAttention, edited: Edited, first: str, name: str) -> str:
    """Adds attention for the first position, ``(batch, 1, width)``; returns its output's name.

    Heads are rows of a matrix, not a dimension of the weights: quantization needs weights that are
    matrices.
    """
    query_weight, key_weight, value_weight = np.split(attention.weights, 3, axis=1)
    query_bias, _, value_bias = np.split(attention.biases, 3)
    heads, scale = attention.heads, attention.scale
    blocks = np.repeat(np.eye(heads, dtype=np.float32), attention.inner // heads, axis=1)

    def constant(suffix: str, value: NDArray[np.generic]) -> str:
        return edited.add_constant(f"{name}_{suffix}", value)

    def add(operator: str, suffix: str, *inputs: str, **attributes: object) -> str:
        return edited.add(operator, inputs, f"{name}_{suffix}", **attributes)

    by_head = constant("heads", blocks)
    query = add("Gather", "input", attention.source, first, axis=1)
    query = add("MatMul", "product", query, constant("query_weight", query_weight * scale))
    query = add("Add", "query", query, constant("query_bias", query_bias * scale))
    query = add("Mul", "query_by_head", query, by_head)  # (batch, heads, inner), as values
    keys = add("MatMul", "keys", query, constant("key_weight", key_weight.T))
    scores = add(
        "MatMul", "scores", keys, add("Transpose", "across", attention.source, perm=[0, 2, 1])
    )
    if attention.mask is not None:
        scores = add("Add", "masked", scores, _added(attention.mask, edited, name))
    weights = add("Softmax", "weights", scores, axis=-1)
    means = add("MatMul", "means", weights, attention.source)  # (batch, heads, width)
    values = add("MatMul", "values", means, constant("value_weight", value_weight))
    values = add("Mul", "values_by_head", values, by_head)
    axis = constant("heads_axis", np.array([1], dtype=np.int64))
    context = add("ReduceSum", "context", values, axis, keepdims=1)
    return add("Add", "attended", context, constant("value_bias", value_bias))


def _added(mask: str, edited: Edited, name: str) -> str:
    """Adds the mask in the form that is added to scores, ``(batch, 1, seq)``: 0 or -1e9."""
    numbers = edited.add("Cast", [mask], f"{name}_mask", to=TensorProto.FLOAT)
    one = edited.add_constant(f"{name}_one", np.array(1, dtype=np.float32))
    least = edited.add_constant(f"{name}_least", np.array(1e9, dtype=np.float32))
    axis = edited.add_constant(f"{name}_axis", np.array([1], dtype=np.int64))
    numbers = edited.add("Sub", [numbers, one], f"{name}_mask_below")
    numbers = edited.add("Mul", [numbers, least], f"{name}_mask_added")
    return edited.add("Unsqueeze", [numbers, axis], f"{name}_mask_by_head")


def _is_zero(value: NDArray[np.generic] | None) -> bool:
    return value is not None and value.ndim == 0 and value == 0
