"""Full fine-tuning, the upper baseline: every weight is trained."""

from torch import nn

from edgeadapt.adapters.inplace import InPlace

__all__ = ["Full"]


class Full(InPlace):
    """Trains the whole backbone."""

    def selects(self, module: nn.Module, parameter: nn.Parameter) -> bool:
        """Returns True for every parameter."""
        return True
