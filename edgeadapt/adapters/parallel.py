"""Parallel adapters: bottlenecks that merge into the FFN as additional neurons.

He et al. 2022, Towards a Unified View of Parameter-Efficient Transfer Learning (arXiv 2110.04366):
a bottleneck beside the FFN, ``h = FFN(x) + s · (U f(D x + d) + u)``.

With the FFN's own activation as f, the bottleneck is r more neurons of the FFN:

    W1' = [W1; D]    b1' = [b1; d]    W2' = [W2, s·U]    b2' = b2 + s·u

so the merged model is a stock model with ``intermediate_size + r``. Training uses the same form: D
widens the first dense layer of the FFN and U the second, and both share the activation in between,
so that training and merging compute the same. In a gated FFN, ``W2 (f(a) ⊙ g)`` with
``[a ; g] = W1 x + b1``, the additional neurons have a gate of weight 0 and bias 1.

A bottleneck beside the attention, or with another activation, cannot be merged and stays.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from edgeadapt.adapters.base import BackboneModel, Kept, Layer, Reads
from edgeadapt.adapters.bottleneck import Bottleneck, Reading, site
from edgeadapt.adapters.parts import Affine, Foldable, Nesting, Tap, collapse, innermost, put_around
from edgeadapt.recipe import AdapterConfig, Placement

__all__ = ["Parallel"]


class Parallel:
    """A bottleneck beside the FFN of every layer, or beside its attention.

    Args:
        config: Width, activation, scaling, placement, layers and dropout are used.
    """

    per_layer: ClassVar[bool] = True

    def __init__(self, config: AdapterConfig) -> None:
        self._config = config
        self._attached: list[_Attached] = []
        self._plain_ffns: list[_Ffn] = []

    def attach(self, backbone: BackboneModel) -> None:
        """Widens both dense layers of every FFN, or puts a bottleneck beside the sublayer.

        Raises:
            ModelError: The activation or a layer does not exist, or another bottleneck is attached
                there.
        """
        placement = self._config.placement or Placement.FFN
        chosen = backbone.layers(self._config.layers)
        ffns = [_Ffn.of(backbone, layer) for layer in backbone.layers()]
        widens = self._config.activation in (None, backbone.activation)
        for layer in chosen:
            for sublayer in placement.sublayers:
                bottleneck = self._bottleneck(backbone, layer)
                part = None
                if sublayer == "ffn" and widens:
                    ffns[layer.number].widen(bottleneck)
                else:
                    part = _put_beside(backbone, layer, sublayer, bottleneck)
                self._attached.append(_Attached(backbone, layer, sublayer, bottleneck, part))
        if widens and "ffn" in placement.sublayers:
            numbers = {layer.number for layer in chosen}
            self._plain_ffns = [ffn for ffn in ffns if ffn.layer.number not in numbers]

    def parameters(self) -> dict[str, nn.Parameter]:
        """Returns ``layers.N.SUBLAYER.{down,up}.{weight,bias}``, and ``….scaling`` if learned."""
        return {
            f"layers.{each.layer.number}.{each.sublayer}.{name}": parameter
            for each in self._attached
            for name, parameter in each.bottleneck.named_parameters()
        }

    def fold(self) -> Sequence[Kept]:
        """Turns widened layers into stock layers; returns the bottlenecks that cannot be folded.

        Layers without an adapter get neurons of weight 0, since a stock model has one
        ``intermediate_size`` for all layers.
        """
        while self._plain_ffns:
            ffn = self._plain_ffns.pop()
            zero = self._bottleneck(self._attached[0].backbone, ffn.layer)
            nn.init.zeros_(zero.down.weight)  # type: ignore[arg-type]
            ffn.widen(zero)
            ffn.collapse()
        for each in self._attached:
            place = site(each.backbone.spec, each.sublayer)
            for name in (place.first, place.last):
                collapse(each.layer.module, name)
        return [each.part.kept(each.layer, each.sublayer) for each in self._attached if each.part]

    def _bottleneck(self, backbone: BackboneModel, layer: Layer) -> Bottleneck:
        hidden = innermost(layer.module.get_submodule(backbone.spec.ffn_out)).out_features
        return Bottleneck(hidden, self._config, self._config.activation or backbone.activation)


@dataclass(frozen=True)
class _Attached:
    """One bottleneck and where it is."""

    backbone: BackboneModel
    layer: Layer
    sublayer: str
    bottleneck: Bottleneck
    part: "_Beside | None"
    """The part that holds the bottleneck; ``None`` where it became neurons of the FFN."""


@dataclass(frozen=True)
class _Ffn:
    """The FFN of a layer."""

    layer: Layer
    first: str
    last: str
    gated: bool

    @classmethod
    def of(cls, backbone: BackboneModel, layer: Layer) -> "_Ffn":
        spec = backbone.spec
        return cls(layer, spec.ffn_in, spec.ffn_out, spec.gate_bias_key is not None)

    def widen(self, bottleneck: Bottleneck) -> None:
        wider_in = _GatedIn if self.gated else _WidenedIn
        put_around(self.layer.module, self.first, lambda base: wider_in(base, bottleneck))
        put_around(self.layer.module, self.last, lambda base: _WidenedOut(base, bottleneck))

    def collapse(self) -> None:
        for name in (self.first, self.last):
            collapse(self.layer.module, name)


class _Beside(Reading):
    """A bottleneck that reads the sublayer's input."""

    nesting = Nesting.BESIDE


def _put_beside(
    backbone: BackboneModel, layer: Layer, sublayer: str, bottleneck: Bottleneck
) -> _Beside:
    place = site(backbone.spec, sublayer)
    tap = put_around(layer.module, place.first, Tap)
    return put_around(
        layer.module,
        place.last,
        lambda base: _Beside(base, bottleneck, reads=Reads.INPUT, tap=tap),
    )


class _WidenedIn(Foldable):
    """``x -> [W1 x + b1 ; D x + d]``: (batch, seq, hidden) -> (batch, seq, intermediate + r)."""

    nesting = Nesting.WIDTH

    def __init__(self, base: nn.Module, bottleneck: Bottleneck) -> None:
        super().__init__(base)
        self.down = bottleneck.down

    def forward(self, hidden: Tensor) -> Tensor:
        return torch.cat((self.base(hidden), self.down(hidden)), dim=-1)

    def folded(self, inner: Affine) -> Affine:
        weight, bias = _values(self.down)
        return Affine(torch.cat((inner.weight, weight)), torch.cat((_bias(inner), bias)))


class _GatedIn(_WidenedIn):
    """``x -> [a ; D x + d ; g ; 1]`` with ``[a ; g] = W1 x + b1``."""

    def forward(self, hidden: Tensor) -> Tensor:
        inner, gate = self.base(hidden).chunk(2, dim=-1)
        more = self.down(hidden)
        return torch.cat((inner, more, gate, torch.ones_like(more)), dim=-1)

    def folded(self, inner: Affine) -> Affine:
        down, shift = _values(self.down)
        weight, gate = inner.weight.chunk(2)
        bias, gate_bias = _bias(inner).chunk(2)
        return Affine(
            torch.cat((weight, down, gate, torch.zeros_like(down))),
            torch.cat((bias, shift, gate_bias, torch.ones_like(shift))),
        )


class _WidenedOut(Foldable):
    """``[h ; a] -> W2 h + b2 + s · (U a + u)``: (…, intermediate + r) -> (…, hidden)."""

    nesting = Nesting.WIDTH

    def __init__(self, base: nn.Module, bottleneck: Bottleneck) -> None:
        super().__init__(base)
        self._width = innermost(base).in_features
        self.bottleneck = bottleneck

    def forward(self, hidden: Tensor) -> Tensor:
        # One split, not two slices: its gradient is one cat, theirs are two zero-padded sums.
        inner, more = torch.split(hidden, [self._width, hidden.shape[-1] - self._width], dim=-1)
        plain: Tensor = self.base(inner)
        # Copied because U's gradient needs these r columns: a view would keep the whole tensor.
        return plain + self.bottleneck.expand(more.contiguous())

    def folded(self, inner: Affine) -> Affine:
        weight, bias = _values(self.bottleneck.up)
        scaling = self.bottleneck.scaling
        return Affine(
            torch.cat((inner.weight, scaling * weight), dim=1), _bias(inner) + scaling * bias
        )


def _values(projection: nn.Module) -> tuple[Tensor, Tensor]:
    assert isinstance(projection, nn.Linear)
    return projection.weight, projection.bias


def _bias(product: Affine) -> Tensor:
    return product.weight.new_zeros(len(product.weight)) if product.bias is None else product.bias
