"""fp32 graphs on disk: the input of compression steps on ONNX."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgeadapt.text import Tokens

__all__ = ["Graphs"]


@dataclass(frozen=True)
class Graphs:
    """An fp32 model in two forms, with the texts that steps need, tokenized."""

    fused: Path
    """The form with fused attention, if fusion is possible."""
    products: Path
    """The form with attention as separate products; the same file if no attention was fused."""
    texts: Sequence[Tokens] = ()
    """Validation texts, by which candidates are judged."""
    calibration: Sequence[Tokens] = ()
    """The calibration set: training texts, for static quantization."""

    def form(self, *, fused: bool) -> Path:
        """Returns the file of one form."""
        return self.fused if fused else self.products
