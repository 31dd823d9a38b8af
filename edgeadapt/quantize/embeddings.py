"""Tables of embeddings in int8, with a scale for every row.

onnxruntime's own quantization gives a table one scale: whatever row is largest decides how coarse
all others are. A scale a row costs one part in 96 of a table of 384 columns. A table whose first
rows are taken, that of the positions, is small and becomes float16.
"""

import numpy as np
import onnx

from edgeadapt.graph.edit import Edited

__all__ = ["quantize_embeddings"]

_LEVELS = 127
"""Of either sign."""
_FEWEST_ROWS = 16
"""A smaller table is not worth two more nodes."""


def quantize_embeddings(model: onnx.ModelProto) -> onnx.ModelProto:
    """Returns a copy that looks embeddings up as int8 and multiplies each by its row's scale.

    What is sliced off a table is float16 there.

    The other initializers, and tables that something else reads too, stay as they are.
    """
    edited = Edited(model)
    for node in [node for node in edited.graph.node if node.op_type in ("Gather", "Slice")]:
        name = node.input[0]
        axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 0)
        if axis or edited.rank(name) != 2 or len(edited.readers(name)) != 1:
            continue
        table = edited.constant(name)
        if table is None or table.dtype != np.float32 or len(table) < _FEWEST_ROWS:
            continue
        if node.op_type == "Gather":
            _quantize(edited, node, np.asarray(table, np.float32))
        else:
            _halve(edited, node, np.asarray(table, np.float32))
    return edited.finished()


def _halve(edited: Edited, node: onnx.NodeProto, table: np.ndarray) -> None:
    output = node.output[0]
    node.input[0] = edited.add_constant(f"{node.input[0]}_half", table.astype(np.float16))
    node.output[0] = f"{output}_half"
    edited.add("Cast", [node.output[0]], output, to=onnx.TensorProto.FLOAT)


def _quantize(edited: Edited, lookup: onnx.NodeProto, table: np.ndarray) -> None:
    name, indices, output = lookup.input[0], lookup.input[1], lookup.output[0]
    largest = np.abs(table).max(axis=1, keepdims=True)
    scales = np.where(largest > 0, largest / _LEVELS, 1).astype(np.float32)
    rows = edited.add_constant(f"{name}_rows", np.rint(table / scales).astype(np.int8))
    steps = edited.add_constant(f"{name}_row_scales", scales)
    edited.remove(lookup)
    picked = edited.add("Gather", [rows, indices], f"{output}_row")
    sizes = edited.add("Gather", [steps, indices], f"{output}_row_scale")
    values = edited.add("Cast", [picked], f"{output}_row_levels", to=onnx.TensorProto.FLOAT)
    edited.add("Mul", [values, sizes], output)
