"""Taking attention apart again, where it was fused into one node (``graph/attention.py``).

Schemes that quantize nothing but products with weights want these as products of their own, and
engines other than ONNX Runtime know no such node. A bundle's graph is the fused one.
"""

import numpy as np
import onnx
from onnx import TensorProto, helper

from edgeadapt.errors import ExportError
from edgeadapt.graph.edit import Edited
from edgeadapt.graph.fused import FusedAttention

__all__ = ["unfuse_attention"]


def unfuse_attention(model: onnx.ModelProto) -> onnx.ModelProto:
    """Returns a copy in which each ``Attention`` node is products, sums and a softmax.

    Query, key and value come from one product, of weights ``(width, 3 · heads · size)``: it reads
    one tensor, and its output channels are those of the three.

    Raises:
        ExportError: A node has inputs or settings that are not understood.
    """
    edited = Edited(model)
    added: dict[tuple[str, float], str] = {}  # layers share their mask
    for node in [node for node in edited.graph.node if node.op_type == "Attention"]:
        attention = FusedAttention.of(edited, node)
        if attention is None:
            raise ExportError(
                f"The attention {node.name!r} cannot be taken apart: expected weights and biases "
                "that are constant, and at most a mask beside them.",
                hint="Choose a scheme that takes attention as one node: --scheme dynamic-int8.",
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
    """The module that an exporter made the node of, as names of its nodes begin."""
    return str(node.output[0].rpartition("/")[0] or node.name)


def _added(edited: Edited, mask: str, value: float, name: str) -> str:
    """What is added to the scores, ``(batch, 1, 1, seq)``: 0, or ``value`` for padding."""
    numbers = {"read": 0.0, "padding": value}
    read, padding = (
        edited.add_constant(f"{name}_{each}", np.array(number, np.float32))
        for each, number in numbers.items()
    )
    axes = edited.add_constant(f"{name}_axes", np.array([1, 2], np.int64))
    chosen = edited.add("Cast", [mask], f"{name}_bool", to=TensorProto.BOOL)
    by_score = edited.add("Unsqueeze", [chosen, axes], f"{name}_by_score")
    return edited.add("Where", [by_score, read, padding], name)


def _add_products(
    edited: Edited, attention: FusedAttention, mask: str | None, scope: str, output: str
) -> None:
    """Adds what an attention computes, from its source to ``output``, ``(batch, seq, inner)``."""
    heads, inner = attention.heads, attention.inner

    def constant(name: str, value: np.ndarray) -> str:
        return edited.add_constant(f"{scope}/{name}", value)

    def add(operator: str, name: str, *inputs: str, **attributes: object) -> str:
        return edited.add(operator, inputs, f"{scope}/{name}", **attributes)

    projection = f"{scope}/query_key_value"
    weights = constant("query_key_value.weight", attention.weights)
    edited.graph.node.append(
        # Named as an exporter names a dense layer's: reports and ``keep`` show it.
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
