"""Weight-only quantization to 8 or 4 bits, with one scale per block of weights.

Activations stay float32, or are quantized block by block within the operator (``int8_compute``).
It is more accurate and slower than dynamic int8, and with 4 bits half as large.

The operator is ONNX Runtime's ``MatMulNBits``. Weights have the shape (columns, blocks, bytes) and
are unsigned with the zero point 2^(bits - 1); 4-bit weights are packed in pairs, the first in the
lower half of a byte.
"""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from edgeadapt.graph.edit import Edited
from edgeadapt.quantize.products import without_gemm

__all__ = ["Blocks", "packed_blocks", "quantize_blocks"]

_CONTRIB = "com.microsoft"
_INT8_COMPUTE = 4
"""``accuracy_level`` of ``MatMulNBits`` for int8 products."""
_SHRINKS = np.linspace(1, 0.7, 13, dtype=np.float32)
"""Factors tried on the scale of a block: clipping the largest weight can have a smaller error than
rounding all weights more coarsely."""


@dataclass(frozen=True)
class Blocks:
    """One matrix, quantized in blocks."""

    values: NDArray[np.uint8]
    """Shape ``(columns, blocks, block_size · bits / 8)``."""
    scales: NDArray[np.float32]
    """Shape ``(columns, blocks)``."""


def quantize_blocks(
    model: onnx.ModelProto,
    *,
    bits: int,
    block_size: int,
    int8_compute: bool,
    keep: Collection[str] = (),
) -> onnx.ModelProto:
    """Returns a copy whose products with weights are ``MatMulNBits``.

    Args:
        model: The fp32 graph with unfused attention; fused attention would stay float32.
        bits: 8 or 4.
        block_size: Number of weights in a column that share a scale; a power of two, at least 16.
        int8_compute: Whether to multiply in int8.
        keep: Names of nodes that are not quantized.
    """
    edited = Edited(without_gemm(model))
    for node in [node for node in edited.graph.node if node.op_type == "MatMul"]:
        if node.name in keep or edited.rank(node.input[1]) != 2:
            continue
        weight = np.asarray(edited.constant(node.input[1]), np.float32)
        blocks = packed_blocks(weight, bits=bits, block_size=block_size)
        name = node.input[1]
        node.op_type, node.domain = "MatMulNBits", _CONTRIB
        node.input[1] = edited.add_constant(f"{name}_q{bits}", blocks.values)
        node.input.append(edited.add_constant(f"{name}_q{bits}_scales", blocks.scales))
        how = {"K": weight.shape[0], "N": weight.shape[1], "bits": bits, "block_size": block_size}
        if int8_compute:
            how["accuracy_level"] = _INT8_COMPUTE
        node.attribute.extend(helper.make_attribute(k, v) for k, v in how.items())
    edited.use(_CONTRIB)
    return edited.finished()


def packed_blocks(weight: NDArray[np.float32], *, bits: int, block_size: int) -> Blocks:
    """Quantizes a matrix of shape ``(rows, columns)`` in blocks along its rows.

    The last block is padded with zeros. Several scales are tried for each block, and the one with
    the smallest squared error is taken.
    """
    rows, columns = weight.shape
    blocks = -(-rows // block_size)
    filled = np.zeros((columns, blocks * block_size), np.float32)
    filled[:, :rows] = weight.T
    filled = filled.reshape(columns, blocks, block_size)
    middle = 2 ** (bits - 1)
    # There is one more level below the middle than above it, so the scale's sign is chosen to put
    # the value of largest magnitude there.
    extreme = np.take_along_axis(filled, np.abs(filled).argmax(-1, keepdims=True), -1)
    scales = np.where(extreme == 0, 1, -extreme / middle)
    best, least = scales, np.full(scales.shape, np.inf, np.float32)
    for shrink in _SHRINKS:
        tried = scales * shrink
        levels = np.clip(np.rint(filled / tried), -middle, middle - 1)
        error = np.square(levels * tried - filled).sum(-1, keepdims=True)
        best, least = np.where(error < least, tried, best), np.minimum(error, least)
    levels = np.clip(np.rint(filled / best), -middle, middle - 1) + middle
    values = levels.astype(np.uint8)
    if bits == 4:
        values = values[..., ::2] | values[..., 1::2] << 4
    return Blocks(values, best[..., 0].astype(np.float32))
