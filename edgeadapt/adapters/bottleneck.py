"""The bottleneck that follows a dense layer, shared by the kinds that differ only in the place."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from transformers.activations import ACT2FN

from edgeadapt.adapters.base import Encoder, Leftover, linear_at
from edgeadapt.config import AdapterConfig
from edgeadapt.errors import ModelError

__all__ = ["BottleneckAfter"]

_INIT_SIGMA = 1e-2
"""Standard deviation of the initial weights, truncated at two of it (Houlsby et al. 2019)."""


class BottleneckAfter:
    """Bottlenecks after some dense layers of every transformer layer, before the residual sum.

    Args:
        config: ``dimension``, ``activation`` and ``dropout`` are used.
    """

    sites: Sequence[str]
    """Fields of ``BackboneSpec`` that name the dense layers; each kind sets its own."""

    def __init__(self, config: AdapterConfig) -> None:
        self._config = config
        self._attached: dict[str, _Adapted] = {}

    def attach(self, encoder: Encoder) -> None:
        """Replaces each dense layer by itself followed by a bottleneck.

        Raises:
            ModelError: There is no such activation, or something else is attached there.
        """
        activation = self._config.activation or encoder.activation
        if activation not in ACT2FN:
            raise ModelError(
                f"Unknown activation {activation!r}: expected one of {', '.join(sorted(ACT2FN))}."
            )
        for number, layer in enumerate(encoder.layers()):
            for site in self.sites:
                name = getattr(encoder.spec, site)
                adapted = _Adapted(linear_at(layer, name), self._config, activation)
                layer.set_submodule(name, adapted)
                self._attached[f"layers.{number}.{site}"] = adapted

    def parameters(self) -> dict[str, nn.Parameter]:
        """Returns ``layers.N.SITE.{down,up}.{weight,bias}``."""
        return {
            f"{prefix}.{name}": parameter
            for prefix, adapted in self._attached.items()
            for name, parameter in adapted.named_parameters()
            if not name.startswith("base.")
        }

    def fold(self) -> Leftover:
        """Folds nothing: a non-linearity stands between the bottleneck and every dense layer."""
        parameters = list(self.parameters().values())
        return Leftover(
            parameters=sum(p.numel() for p in parameters),
            macs_per_token=sum(p.numel() for p in parameters if p.ndim == 2),
        )


class _Adapted(nn.Module):
    """``x -> h + U f(D h + d) + u`` with ``h = base(x)``: (…, in) -> (…, hidden)."""

    def __init__(self, base: nn.Linear, config: AdapterConfig, activation: str) -> None:
        super().__init__()
        self.base = base
        self.down = nn.Linear(base.out_features, config.dimension)
        self.activation = ACT2FN[activation]
        self.up = nn.Linear(config.dimension, base.out_features)
        self.dropout = nn.Dropout(config.dropout)
        for linear in (self.down, self.up):
            bound = 2 * _INIT_SIGMA
            nn.init.trunc_normal_(linear.weight, std=_INIT_SIGMA, a=-bound, b=bound)
            nn.init.zeros_(linear.bias)

    def forward(self, hidden: Tensor) -> Tensor:
        hidden = self.base(hidden)
        adapted: Tensor = self.up(self.activation(self.down(hidden)))
        return torch.add(hidden, self.dropout(adapted))
