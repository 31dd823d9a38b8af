"""LoRA: low-rank updates of dense layers; folds exactly.

Hu et al. 2022, LoRA: Low-Rank Adaptation of Large Language Models (arXiv 2106.09685):
``W' = W + s · B A`` with A of shape (r, in) and B of shape (out, r), B initialized to zero.
``scaling`` is the paper's α/r.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgeadapt.adapters.base import BackboneModel, Kept, Layer
from edgeadapt.adapters.parts import (
    Affine,
    Foldable,
    Nesting,
    collapse,
    has_dense,
    innermost,
    put_around,
)
from edgeadapt.backbones import BackboneSpec, Projection
from edgeadapt.recipe import AdapterConfig, LoraTarget

__all__ = ["LoRA"]


def _places(spec: BackboneSpec, target: LoraTarget) -> dict[str, Projection]:
    """Returns parameter name -> the projection of the backbone that it adapts."""
    first, last = Projection(spec.ffn_in), Projection(spec.ffn_out)
    return {
        LoraTarget.QUERY: {"query": spec.query},
        LoraTarget.KEY: {"key": spec.key},
        LoraTarget.VALUE: {"value": spec.value},
        LoraTarget.DENSE: {"dense": Projection(spec.attention_output)},
        LoraTarget.FFN: {"ffn-in": first, "ffn-out": last},
        LoraTarget.FFN_IN: {"ffn-in": first},
        LoraTarget.FFN_OUT: {"ffn-out": last},
    }[target]


class LoRA:
    """Low-rank updates of the dense layers in ``targets``.

    Args:
        config: ``rank``, ``targets``, ``scaling``, ``layers`` and ``dropout`` are used.
    """

    per_layer: ClassVar[bool] = True

    def __init__(self, config: AdapterConfig) -> None:
        self._config = config
        self._attached: list[tuple[Layer, str, _LowRank]] = []

    def attach(self, backbone: BackboneModel) -> None:
        """Wraps each dense layer once, for all targets that are blocks of its rows.

        Dense layers that a pruned model does not have any more are left out.

        Raises:
            ModelError: A configured layer does not exist.
        """
        for layer in backbone.layers(self._config.layers):
            by_dense: dict[str, dict[str, Projection]] = {}
            for target in self._config.lora_targets:
                for name, place in _places(backbone.spec, target).items():
                    by_dense.setdefault(place.dense, {})[name] = place
            for at, places in by_dense.items():
                if not has_dense(layer.module, at):
                    continue
                part = put_around(layer.module, at, partial(_LowRank, places, self._config))
                self._attached.append((layer, at, part))

    def parameters(self) -> dict[str, nn.Parameter]:
        """Returns ``layers.N.TARGET.{a,b}``."""
        return {
            f"layers.{layer.number}.{name}.{factor}": parameter
            for layer, _, part in self._attached
            for name, product in part.each()
            for factor, parameter in product.named_parameters()
        }

    def fold(self) -> Sequence[Kept]:
        """Adds the products to the weights; nothing is left over."""
        for layer, at, _ in self._attached:
            collapse(layer.module, at)
        return ()


class _Factors(nn.Module):
    """The factors A and B of one target."""

    def __init__(self, width_in: int, rows: slice, rank: int) -> None:
        super().__init__()
        self.rows = rows
        self.a = nn.Parameter(torch.empty(rank, width_in))
        self.b = nn.Parameter(torch.zeros(rows.stop - rows.start, rank))
        nn.init.kaiming_uniform_(self.a, a=5**0.5)

    def forward(self, hidden: Tensor) -> Tensor:
        return F.linear(F.linear(hidden, self.a), self.b)


class _LowRank(Foldable):
    """``x -> base(x) + s · B A x``, added to the rows of each target."""

    nesting = Nesting.LOW_RANK

    def __init__(
        self, places: dict[str, Projection], config: AdapterConfig, base: nn.Module
    ) -> None:
        super().__init__(base)
        linear = innermost(base)
        self.scaling = config.scaling
        self.dropout = nn.Dropout(config.dropout)
        self.products = nn.ModuleDict(
            {
                name: _Factors(linear.in_features, place.rows(linear.out_features), config.rank)
                for name, place in places.items()
            }
        )

    def each(self) -> Iterator[tuple[str, _Factors]]:
        for name, product in self.products.items():
            assert isinstance(product, _Factors)
            yield name, product

    def forward(self, hidden: Tensor) -> Tensor:
        output: Tensor = self.base(hidden)
        dropped = self.dropout(hidden)
        for _, product in self.each():
            rows = product.rows
            added = product(dropped)
            if rows.stop - rows.start < output.shape[-1]:
                added = F.pad(added, (rows.start, output.shape[-1] - rows.stop))
            output = torch.add(output, added, alpha=self.scaling)
        return output

    def folded(self, inner: Affine) -> Affine:
        weight = inner.weight.clone()
        for _, product in self.each():
            weight[product.rows] += self.scaling * product.b @ product.a
        return Affine(weight, inner.bias)
