"""fp32 graphs on disk, as compression steps on ONNX take them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgeadapt.text import Tokens

__all__ = ["Graphs"]


@dataclass(frozen=True)
class Graphs:
    """An fp32 model in its two forms, with texts in its tokens."""

    fused: Path
    """With attention as one node, where the model has such nodes."""
    products: Path
    """With attention as products; the same file where no attention is one node."""
    texts: Sequence[Tokens] = ()
    """The reference's texts in the tokens of this model."""
    calibration: Sequence[Tokens] = ()
    """Training texts, for schemes with fixed scales."""

    def form(self, *, fused: bool) -> Path:
        """Returns the form that a candidate wants."""
        return self.fused if fused else self.products
