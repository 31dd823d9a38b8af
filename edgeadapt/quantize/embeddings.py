"""Tables of embeddings in 8 or 4 bits, with a scale for every row or block of it.

onnxruntime's own quantization gives a table one scale: whatever row is largest decides how coarse
all others are. In 8 bits a scale a row costs one part in 96 of a table of 384 columns. In 4 bits
every 32 values share one (ONNX Runtime's ``GatherBlockQuantized``). A table whose first rows are
taken, that of the positions, is small and becomes float16.
"""

import numpy as np
import onnx
from onnx import helper

from edgeadapt.graph.edit import Edited
from edgeadapt.quantize.blocks import packed_blocks

__all__ = ["quantize_embeddings"]

_LEVELS = 127
"""Of either sign."""
_FEWEST_ROWS = 16
"""A smaller table is not worth two more nodes."""
_BLOCK = 32
"""Values that share a scale in 4 bits."""


def quantize_embeddings(model: onnx.ModelProto, *, bits: int = 8) -> onnx.ModelProto:
    """Returns a copy that looks embeddings up in ``bits`` bits.

    What is sliced off a table is float16 there. The other initializers, tables that something else
    reads too, and in 4 bits those whose width is no multiple of 32, stay as they are.
    """
    edited = Edited(model)
    for node, found in edited.tables("Gather", "Slice"):
        if found.dtype != np.float32 or len(found) < _FEWEST_ROWS:
            continue
        table = np.asarray(found, np.float32)
        if node.op_type == "Slice":
            _halve(edited, node, table)
        elif bits == 8:
            _quantize(edited, node, table)
        elif table.shape[1] % _BLOCK == 0:
            _quantize_blocks(edited, node, table, bits)
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


def _quantize_blocks(edited: Edited, lookup: onnx.NodeProto, table: np.ndarray, bits: int) -> None:
    name = lookup.input[0]
    blocks = packed_blocks(table.T, bits=bits, block_size=_BLOCK)
    lookup.op_type, lookup.domain = "GatherBlockQuantized", "com.microsoft"
    lookup.input[0] = edited.add_constant(f"{name}_q{bits}", blocks.values.reshape(len(table), -1))
    lookup.input.append(edited.add_constant(f"{name}_q{bits}_scales", blocks.scales))
    del lookup.attribute[:]
    how = {"bits": bits, "block_size": _BLOCK, "gather_axis": 0, "quantize_axis": 1}
    lookup.attribute.extend(helper.make_attribute(k, v) for k, v in how.items())
    edited.use("com.microsoft")
