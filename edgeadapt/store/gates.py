"""What a bundle says of the exact stages: that each form of the model answers as the one before."""

from dataclasses import dataclass

from edgeadapt.metrics import Parity
from edgeadapt.typed import Count

__all__ = ["Gates", "Leftover", "MergeGate"]


@dataclass(frozen=True)
class Leftover:
    """What could not be folded and therefore still costs at run time."""

    parameters: Count
    macs_per_token: Count
    """Multiply-accumulates added to each token's pass through the encoder."""
    bottlenecks: Count | None = None
    """Number of adapters that stay; ``None`` where an early bundle does not say."""


@dataclass(frozen=True)
class MergeGate:
    """The merged model against the adapters."""

    parity: Parity
    leftover: Leftover
    unshared_bytes: Count = 0
    """fp32 bytes that the model grew by because layers do not share their weights any more."""


@dataclass(frozen=True)
class Gates:
    """The gates that every bundle has passed."""

    merge: MergeGate
    onnx: Parity
    """The fp32 graph against torch."""
