"""Weights alone in 8 or 4 bits, with a scale for every block of them.

Activations stay float32, or are quantized block by block within the operator (``int8_compute``).
More exact than dynamic int8 and slower, and with 4 bits half as large.

The operator is ONNX Runtime's ``MatMulNBits``: weights of shape (columns, blocks, bytes), unsigned
around 2^(bits - 1), two of 4 bits to a byte, the first in its lower half.
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
"""``accuracy_level`` of ``MatMulNBits``."""
_SHRINKS = np.linspace(1, 0.7, 13, dtype=np.float32)
"""Shares of the largest weight that a scale may reach: cutting it can cost less than rounding."""


@dataclass(frozen=True)
class Blocks:
    """One matrix in blocks."""

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
        model: Attention as products of its own: as one node it stays float32.
        bits: 8 or 4.
        block_size: Weights of a column that share a scale; a power of two from 16.
        int8_compute: Multiply in int8.
        keep: Names of nodes that stay as they are.
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
    """Quantizes a matrix of shape ``(rows, columns)`` along its rows, filled up with zeros.

    Of some scales for each block the one with the least squared error is taken.
    """
    rows, columns = weight.shape
    blocks = -(-rows // block_size)
    filled = np.zeros((columns, blocks * block_size), np.float32)
    filled[:, :rows] = weight.T
    filled = filled.reshape(columns, blocks, block_size)
    middle = 2 ** (bits - 1)
    # One more level below the middle than above it: what is largest goes there.
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
