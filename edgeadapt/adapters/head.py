"""Head-only training, the lower baseline: the backbone is a fixed feature extractor."""

from torch import nn

from edgeadapt.adapters.inplace import InPlace

__all__ = ["Head"]


class Head(InPlace):
    """Trains no backbone parameter; every method trains the task head."""

    def selects(self, module: nn.Module, parameter: nn.Parameter) -> bool:
        """Returns False for every parameter."""
        return False
