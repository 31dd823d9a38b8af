"""An attention that is one node, as a value."""

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
"""What ONNX Runtime adds to the scores of padding where the node names nothing."""


@dataclass(frozen=True)
class FusedAttention:
    """What ONNX Runtime's ``Attention`` computes, where it has no more than the usual inputs."""

    source: str
    """Hidden states, ``(batch, seq, width)``."""
    mask: str | None
    """1 where a token is read, 0 for padding, ``(batch, seq)``."""
    weights: NDArray[np.float32]
    """Query's, key's and value's side by side: ``(width, 3 · heads · size)``."""
    biases: NDArray[np.float32]
    """Likewise: ``(3 · heads · size,)``."""
    heads: int
    scale: float
    """Factor on the products of queries and keys."""
    mask_value: float
    """Added to the scores of padding."""

    @classmethod
    def of(cls, edited: Edited, node: onnx.NodeProto) -> "FusedAttention | None":
        """Reads a node; ``None`` where it is no such attention."""
        if (
            node.op_type != "Attention"
            or node.domain != _CONTRIB
            or any(each.name not in _KNOWN for each in node.attribute)
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
    """Returns a node's number of that name; ``None`` where it has none."""
    for each in node.attribute:
        if each.name == name:
            value = helper.get_attribute_value(each)
            return value if isinstance(value, int | float) else None
    return None
