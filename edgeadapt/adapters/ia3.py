"""(IA)³: learned scaling factors on keys, values and the FFN's inner neurons; folds exactly.

Liu et al. 2022, Few-Shot Parameter-Efficient Fine-Tuning is Better and Cheaper than In-Context
Learning (arXiv 2205.05638), section 3.3. To fold, a factor per output of a dense layer scales the
rows of its weight and its bias; a factor per input scales the columns of its weight.
"""

from collections.abc import Sequence
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor, nn

from edgeadapt.adapters.base import BackboneModel, Kept, Layer
from edgeadapt.adapters.parts import Affine, Foldable, Nesting, collapse, innermost, put_around
from edgeadapt.recipe import AdapterConfig

__all__ = ["IA3"]


class IA3:
    """Scaling factors, initialized to 1, on keys, values and FFN neurons of every layer.

    Args:
        config: ``layers`` is used.
    """

    per_layer: ClassVar[bool] = True

    def __init__(self, config: AdapterConfig) -> None:
        self._config = config
        self._attached: list[tuple[Layer, str, _Scaled]] = []

    def attach(self, backbone: BackboneModel) -> None:
        """Scales the outputs of keys and values and the input of the FFN's second dense layer.

        Raises:
            ModelError: A configured layer does not exist.
        """
        spec = backbone.spec
        for layer in backbone.layers(self._config.layers):
            rows: dict[str, dict[str, slice]] = {}
            for name, place in (("key", spec.key), ("value", spec.value)):
                width = innermost(layer.module.get_submodule(place.dense)).out_features
                rows.setdefault(place.dense, {})[name] = place.rows(width)
            for at, blocks in rows.items():
                part = put_around(layer.module, at, partial(_ScaledOut, blocks))
                self._attached.append((layer, at, part))
            scaled_in = put_around(layer.module, spec.ffn_out, _ScaledIn)
            self._attached.append((layer, spec.ffn_out, scaled_in))

    def parameters(self) -> dict[str, nn.Parameter]:
        """Returns ``layers.N.{key,value,ffn}``."""
        return {
            f"layers.{layer.number}.{name}": factor
            for layer, _, part in self._attached
            for name, factor in part.factors.items()
        }

    def fold(self) -> Sequence[Kept]:
        """Scales rows and columns of the weights; nothing is left over."""
        for layer, at, _ in self._attached:
            collapse(layer.module, at)
        return ()


class _Scaled(Foldable):
    """A dense layer with factors on some of its outputs or inputs."""

    factors: nn.ParameterDict


class _ScaledOut(_Scaled):
    """``x -> l ⊙ base(x)``; outputs outside the blocks have the factor 1."""

    nesting = Nesting.OUTPUT_SCALE

    def __init__(self, blocks: dict[str, slice], base: nn.Module) -> None:
        super().__init__(base)
        self.blocks = blocks
        self.factors = nn.ParameterDict(
            {name: torch.ones(rows.stop - rows.start) for name, rows in blocks.items()}
        )

    def forward(self, hidden: Tensor) -> Tensor:
        output: Tensor = self.base(hidden)
        return output * self._scale(output.shape[-1])

    def folded(self, inner: Affine) -> Affine:
        scale = self._scale(len(inner.weight))
        bias = None if inner.bias is None else scale * inner.bias
        return Affine(scale[:, None] * inner.weight, bias)

    def _scale(self, width: int) -> Tensor:
        pieces, end = [], 0
        for name, rows in sorted(self.blocks.items(), key=lambda item: item[1].start):
            factor = self.factors[name]
            pieces += [factor.new_ones(rows.start - end), factor]
            end = rows.stop
        return torch.cat([*pieces, pieces[0].new_ones(width - end)])


class _ScaledIn(_Scaled):
    """``x -> base(l ⊙ x)``."""

    nesting = Nesting.INPUT_SCALE

    def __init__(self, base: nn.Module) -> None:
        super().__init__(base)
        self.factors = nn.ParameterDict({"ffn": torch.ones(innermost(base).in_features)})

    def forward(self, hidden: Tensor) -> Tensor:
        output: Tensor = self.base(hidden * self.factors["ffn"])
        return output

    def folded(self, inner: Affine) -> Affine:
        return Affine(inner.weight * self.factors["ffn"], inner.bias)
