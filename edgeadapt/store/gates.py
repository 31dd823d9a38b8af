"""Results of the parity gates in a bundle: each exact stage must keep the model's logits."""

from dataclasses import dataclass

from edgeadapt.metrics import Parity
from edgeadapt.typed import Count

__all__ = ["Gates", "Leftover", "MergeGate"]


@dataclass(frozen=True)
class Leftover:
    """Adapters that could not be folded and therefore cost time at inference."""

    parameters: Count
    macs_per_token: Count
    """Additional multiply-accumulates per token."""
    bottlenecks: Count | None = None
    """Number of adapters that remain; ``None`` in early bundles."""


@dataclass(frozen=True)
class MergeGate:
    """Parity of the merged model with the model with adapters."""

    parity: Parity
    leftover: Leftover
    unshared_bytes: Count = 0
    """fp32 bytes added because layers no longer share weights."""


@dataclass(frozen=True)
class Gates:
    """Results of the gates that every bundle has passed."""

    merge: MergeGate
    onnx: Parity
    """Parity of the fp32 graph with torch."""
