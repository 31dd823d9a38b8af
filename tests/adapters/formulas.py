"""Reference implementations of the formulas in the papers, to compare the code with."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from edgeadapt.backbones import backbone_spec
from tests.models.tiny import make_model

Function = Callable[[Tensor], Tensor]


def bottleneck(
    read: Tensor, values: Mapping[str, Tensor], *, scaling: float = 1.0, f: Function
) -> Tensor:
    """``s (U f(D x + d) + u)``; the values are ``down.weight``, ``down.bias``, ``up.weight`` …"""
    inner = f(read @ values["down.weight"].T + values["down.bias"])
    return scaling * (inner @ values["up.weight"].T + values["up.bias"])


def values_of(parameters: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Copies of the parameters under a prefix, by what follows it."""
    return {
        name.removeprefix(f"{prefix}."): value.detach().clone()
        for name, value in parameters.items()
        if name.startswith(f"{prefix}.")
    }


def plain(model_type: str, name: str, layer: int = 0) -> nn.Linear:
    """A dense layer of the backbone, in float64, without adapters."""
    layers = make_model(model_type).double().get_submodule(backbone_spec(model_type).layers)
    module = list(layers.children())[min(layer, len(layers) - 1)].get_submodule(name)  # type: ignore[arg-type]
    assert isinstance(module, nn.Linear)
    return module


def random(*shape: int) -> Tensor:
    """Normal values in float64."""
    return torch.randn(*shape, dtype=torch.float64)
