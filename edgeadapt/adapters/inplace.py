"""Base of the kinds that train existing backbone weights: nothing to attach, nothing to fold."""

from collections.abc import Sequence

from torch import nn

from edgeadapt.adapters.base import BackboneModel, Kept
from edgeadapt.recipe import AdapterConfig

__all__ = ["InPlace"]


class InPlace:
    """Trains the backbone parameters for which ``selects`` returns True.

    Args:
        config: ``layers`` is used; where it is set, parameters outside these layers stay frozen.
    """

    def __init__(self, config: AdapterConfig) -> None:
        self._config = config
        self._parameters: dict[str, nn.Parameter] = {}

    @property
    def per_layer(self) -> bool:
        """Whether single layers are configured: to train one, it must not share its weights."""
        return self._config.layers is not None

    def selects(self, module: nn.Module, parameter: nn.Parameter) -> bool:
        """Returns whether a parameter of a module is trained; each kind implements this."""
        raise NotImplementedError

    def attach(self, backbone: BackboneModel) -> None:
        """Selects the parameters; the forward pass does not change.

        Raises:
            ModelError: A configured layer does not exist.
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
        """Does nothing: the trained values are already the backbone's weights."""
        return ()
