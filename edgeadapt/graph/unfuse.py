"""Split fused attention (``graph/attention.py``) into separate operators again.

A bundle holds the fused graph, but some quantization schemes support only separate products with
weights, and engines other than ONNX Runtime do not support the fused node.
"""

import numpy as np
import onnx
from onnx import TensorProto, helper

from edgeadapt.errors import ExportError
from edgeadapt.graph.edit import Edited
from edgeadapt.graph.fused import FusedAttention

__all__ = ["unfuse_attention"]


def unfuse_attention(model: onnx.ModelProto) -> onnx.ModelProto:
    """Returns a copy in which each ``Attention`` node is replaced by products, sums and a softmax.

    Query, key and value are computed by one product, with weights ``(width, 3 · heads · size)``.

    Raises:
        ExportError: A node has unsupported inputs or settings.
    """
    edited = Edited(model)
    added: dict[tuple[str, float], str] = {}  # all layers share one mask
    for node in [node for node in edited.graph.node if node.op_type == "Attention"]:
        attention = FusedAttention.of(edited, node)
        if attention is None:
            raise ExportError(
                f"The attention {node.name!r} cannot be split: expected constant weights and "
                "biases, and at most a mask besides them.",
                hint="Choose a scheme that supports fused attention: --scheme dynamic-int8.",
            )
        mask = None
        if attention.mask is not None:
            key = (attention.mask, attention.mask_value)
            if key not in added:
                added[key] = _added(edited, *key, f"{attention.mask}_added_{len(added)}")
            mask = added[key]
        edited.remove(node)
        _add_products(edited, attention, mask, _scope(node), node.output[0])
    return edited.finished()


def _scope(node: onnx.NodeProto) -> str:
    """Returns the prefix of the names of a module's nodes."""
    return str(node.output[0].rpartition("/")[0] or node.name)


def _added(edited: Edited, mask: str, value: float, name: str) -> str:
    """Adds the mask in the form that is added to scores, ``(batch, 1, 1, seq)``.

    It is 0 for tokens and ``value`` for padding.
    """
    numbers = {"read": 0.0, "padding": value}
    read, padding = (
        edited.add_constant(f"{name}_{suffix}", np.array(number, np.float32))
        for suffix, number in numbers.items()
    )
    axes = edited.add_constant(f"{name}_axes", np.array([1, 2], np.int64))
    chosen = edited.add("Cast", [mask], f"{name}_bool", to=TensorProto.BOOL)
    by_score = edited.add("Unsqueeze", [chosen, axes], f"{name}_by_score")
    return edited.add("Where", [by_score, read, padding], name)


def _add_products(
    edited: Edited, attention: FusedAttention, mask: str | None, scope: str, output: str
) -> None:
    """Adds the operators of one attention; ``output`` has the shape ``(batch, seq, inner)``."""
    heads, inner = attention.heads, attention.inner

    def constant(name: str, value: np.ndarray) -> str:
        return edited.add_constant(f"{scope}/{name}", value)

    def add(operator: str, name: str, *inputs: str, **attributes: object) -> str:
        return edited.add(operator, inputs, f"{scope}/{name}", **attributes)

    projection = f"{scope}/query_key_value"
    weights = constant("query_key_value.weight", attention.weights)
    edited.graph.node.append(
        # Named like an exported dense layer, because reports and ``keep`` show this name.
        helper.make_node(
            "MatMul", [attention.source, weights], [f"{projection}/product"], f"{projection}/MatMul"
        )
    )
    biases = constant("query_key_value.bias", attention.biases)
    together = add("Add", "query_key_value/sum", f"{projection}/product", biases)
    parts = [f"{scope}/{name}" for name in ("query", "key", "value")]
    sizes = constant("sizes", np.array([inner] * 3, np.int64))
    edited.graph.node.append(
        helper.make_node("Split", [together, sizes], parts, f"{scope}/Split", axis=-1)
    )
    by_head = constant("by_head", np.array([0, 0, heads, inner // heads], np.int64))
    scale = constant("scale", np.array(attention.scale, np.float32))
    scaled = add("Mul", "query_scaled", parts[0], scale)
    query, key, value = (
        add("Transpose", f"{name}_by_head", add("Reshape", f"{name}_heads", part, by_head), perm=to)
        for name, part, to in (
            ("query", scaled, [0, 2, 1, 3]),
            ("key", parts[1], [0, 2, 3, 1]),
            ("value", parts[2], [0, 2, 1, 3]),
        )
    )
    scores = add("MatMul", "scores", query, key)  # (batch, heads, seq, seq)
    if mask is not None:
        scores = add("Add", "scores_masked", scores, mask)
    means = add("MatMul", "means", add("Softmax", "shares", scores, axis=-1), value)
    across = add("Transpose", "means_by_position", means, perm=[0, 2, 1, 3])
    edited.add("Reshape", [across, constant("together", np.array([0, 0, inner]))], output)
