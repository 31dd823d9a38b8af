"""Quantize embedding tables to 8 or 4 bits, with a scale per row or block.

onnxruntime's own quantization uses one scale per table, so that the row with the largest value
determines the precision of all others. With 8 bits there is one scale per row here, which adds 1/96
to the size of a table of 384 columns. With 4 bits every 32 values share a scale (ONNX Runtime's
``GatherBlockQuantized``). The table of positions, of which the first rows are sliced, is small and
becomes float16.
"""

import numpy as np
import onnx
from onnx import helper

from edgeadapt.graph.edit import Edited
from edgeadapt.quantize.blocks import packed_blocks

__all__ = ["quantize_embeddings"]

_LEVELS = 127
"""Largest quantized value; the range is symmetric."""
_FEWEST_ROWS = 16
"""Smaller tables are not quantized: they would save less than the additional nodes cost."""
_BLOCK = 32
"""Number of values that share a scale with 4 bits."""


def quantize_embeddings(model: onnx.ModelProto, *, bits: int = 8) -> onnx.ModelProto:
    """Returns a copy whose embedding tables have ``bits`` bits per value.

    Tables that are sliced become float16. Unchanged are tables that other nodes read as well, and,
    with 4 bits, those whose width is not a multiple of 32.
    """
    edited = Edited(model)
    for node, constant in edited.tables("Gather", "Slice"):
        if constant.dtype != np.float32 or len(constant) < _FEWEST_ROWS:
            continue
        table = np.asarray(constant, np.float32)
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
