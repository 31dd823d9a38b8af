"""Kinds that train weights which the backbone already has: nothing to attach, nothing to fold."""

from torch import nn

from edgeadapt.adapters.base import Encoder, Leftover
from edgeadapt.config import AdapterConfig

__all__ = ["InPlace"]


class InPlace:
    """Trains the backbone's own parameters that ``selects`` accepts.

    Args:
        config: Not used; part of the contract.
    """

    def __init__(self, config: AdapterConfig) -> None:
        self._parameters: dict[str, nn.Parameter] = {}

    def selects(self, name: str, parameter: nn.Parameter) -> bool:
        """Says whether a parameter of the backbone is trained; each kind answers for itself."""
        raise NotImplementedError

    def attach(self, encoder: Encoder) -> None:
        """Remembers the parameters; the forward pass stays as it is."""
        self._parameters = {
            name: parameter
            for name, parameter in encoder.pretrained.items()
            if self.selects(name, parameter)
        }

    def parameters(self) -> dict[str, nn.Parameter]:
        """Returns the selected parameters under their names in the model."""
        return dict(self._parameters)

    def fold(self) -> Leftover:
        """Does nothing: the trained values are where they belong."""
        return Leftover(parameters=0, macs_per_token=0)
