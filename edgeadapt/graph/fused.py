"""Read a fused ``Attention`` node."""

from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from edgeadapt.graph.edit import Edited

__all__ = ["FusedAttention", "attribute"]

_CONTRIB = "com.microsoft"
_KNOWN = frozenset({"num_heads", "mask_filter_value", "scale", "unidirectional"})
_MASK_VALUE = -10_000.0
"""ONNX Runtime's default for ``mask_filter_value``, which is added to the scores of padding."""


@dataclass(frozen=True)
class FusedAttention:
    """The inputs and settings of ONNX Runtime's ``Attention``, without optional inputs."""

    source: str
    """Hidden states, ``(batch, seq, width)``."""
    mask: str | None
    """Attention mask ``(batch, seq)``: 1 for tokens, 0 for padding; ``None`` if there is none."""
    weights: NDArray[np.float32]
    """Weights of query, key and value side by side: ``(width, 3 · heads · size)``."""
    biases: NDArray[np.float32]
    """Biases of query, key and value: ``(3 · heads · size,)``."""
    heads: int
    scale: float
    """Factor on the products of queries and keys."""
    mask_value: float
    """Added to the scores of padding."""

    @classmethod
    def of(cls, edited: Edited, node: onnx.NodeProto) -> "FusedAttention | None":
        """Reads a node; returns ``None`` for any other node, or one with other inputs."""
        if (
            node.op_type != "Attention"
            or node.domain != _CONTRIB
            or any(setting.name not in _KNOWN for setting in node.attribute)
            or attribute(node, "unidirectional")
            or len(node.input) < 3
            or any(node.input[4:])
        ):
            return None
        weights, biases = (edited.constant(name) for name in node.input[1:3])
        heads = int(attribute(node, "num_heads") or 0)
        if weights is None or biases is None or not heads or biases.size % (3 * heads):
            return None
        size = biases.size // 3 // heads
        mask_value = attribute(node, "mask_filter_value")
        return cls(
            source=node.input[0],
            mask=node.input[3] if len(node.input) > 3 and node.input[3] else None,
            weights=np.asarray(weights, np.float32),
            biases=np.asarray(biases, np.float32),
            heads=heads,
            scale=float(attribute(node, "scale") or 1 / np.sqrt(size)),
            mask_value=_MASK_VALUE if mask_value is None else float(mask_value),
        )

    @property
    def inner(self) -> int:
        """Width of all heads together."""
        return len(self.biases) // 3


def attribute(node: onnx.NodeProto, name: str) -> float | int | None:
    """Returns the number in a node's attribute; ``None`` if it has no such attribute."""
    for candidate in node.attribute:
        if candidate.name == name:
            value = helper.get_attribute_value(candidate)
            return value if isinstance(value, int | float) else None
    return None
