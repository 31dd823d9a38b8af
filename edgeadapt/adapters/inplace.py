"""Kinds that train weights which the backbone already has: nothing to attach, nothing to fold."""

from collections.abc import Sequence

from torch import nn

from edgeadapt.adapters.base import BackboneModel, Kept
from edgeadapt.recipe import AdapterConfig

__all__ = ["InPlace"]


class InPlace:
    """Trains the backbone's own parameters that ``selects`` accepts.

    Args:
        config: ``layers`` is used; where some are named, what is outside of them is not trained.
    """

    def __init__(self, config: AdapterConfig) -> None:
        self._config = config
        self._parameters: dict[str, nn.Parameter] = {}

    @property
    def per_layer(self) -> bool:
        """Whether some layers are named: weights that all of them share are in none alone."""
        return self._config.layers is not None

    def selects(self, module: nn.Module, parameter: nn.Parameter) -> bool:
        """Says whether a parameter of a module is trained; each kind answers for itself."""
        raise NotImplementedError

    def attach(self, backbone: BackboneModel) -> None:
        """Remembers the parameters; the forward pass stays as it is.

        Raises:
            ModelError: There is no such layer.
        """
        roots = [backbone.model]
        if self._config.layers is not None:
            roots = [layer.module for layer in backbone.layers(self._config.layers)]
        selected = {
            id(parameter)
            for root in roots
            for module in root.modules()
            for parameter in module.parameters(recurse=False)
            if self.selects(module, parameter)
        }
        self._parameters = {n: p for n, p in backbone.pretrained.items() if id(p) in selected}

    def parameters(self) -> dict[str, nn.Parameter]:
        """Returns the selected parameters under their names in the model."""
        return dict(self._parameters)

    def fold(self) -> Sequence[Kept]:
        """Does nothing: the trained values are where they belong."""
        return ()
