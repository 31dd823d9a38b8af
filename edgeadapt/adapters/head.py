"""Head-only training, the lower baseline: the backbone is a fixed feature extractor."""

from torch import nn

from edgeadapt.adapters.inplace import InPlace

__all__ = ["Head"]


class Head(InPlace):
    """Trains nothing of the backbone; the task head is trained by every method."""

    def selects(self, module: nn.Module, parameter: nn.Parameter) -> bool:
        """Accepts nothing."""
        return False
