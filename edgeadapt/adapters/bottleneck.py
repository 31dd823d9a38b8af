"""The bottleneck module, and the base of the kinds that place one after a sublayer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from transformers.activations import ACT2FN

from edgeadapt.adapters.base import BackboneModel, Kept, Layer, Reads
from edgeadapt.adapters.parts import Nesting, Part, Tap, collapse, dense, innermost, put_around
from edgeadapt.backbones import BackboneSpec
from edgeadapt.errors import ModelError
from edgeadapt.recipe import AdapterConfig, Placement

__all__ = ["After", "Bottleneck", "BottleneckAfter", "Factored", "Reading", "Site", "site"]


@dataclass(frozen=True)
class Site:
    """A sublayer of a transformer layer; dotted names are relative to that layer."""

    first: str
    """A dense layer whose input is the sublayer's input."""
    last: str
    """The dense layer whose output is the sublayer's output."""
    norm: str | None
    """LayerNorm of the residual sum; ``None`` in a pre-norm backbone."""


def site(spec: BackboneSpec, sublayer: str) -> Site:
    """Returns the first and last dense layer of ``attention`` or ``ffn``."""
    if sublayer == "attention":
        # Not query or key: in DeBERTa their input is also the relative positions.
        return Site(spec.value.dense, spec.attention_output, spec.attention_norm)
    return Site(spec.ffn_in, spec.ffn_out, spec.ffn_norm)


def _width(config: AdapterConfig, hidden: int) -> int:
    """Returns the width in neurons: ``dimension``, or ``hidden`` over the reduction factor.

    Raises:
        ModelError: The reduction factor leaves no neuron.
    """
    if config.reduction_factor is None:
        return config.dimension
    width = int(hidden // config.reduction_factor)
    if width < 1:
        raise ModelError(
            f"A reduction factor of {config.reduction_factor:g} leaves no neuron of {hidden}: "
            f"expected at most {hidden}.",
            hint="Give a smaller --reduction-factor, or --dimension.",
        )
    return width


class Factored(nn.Module):
    """A dense layer whose weight is a product of smaller ones."""

    def product(self) -> tuple[Tensor, Tensor]:
        """Returns the weight ``(out, in)`` and the bias ``(out,)``."""
        raise NotImplementedError

    def forward(self, hidden: Tensor) -> Tensor:
        """Returns ``W x + b``: (…, in) -> (…, out)."""
        return nn.functional.linear(hidden, *self.product())


class Bottleneck(nn.Module):
    """``x -> s · (U f(D x + d) + u)``: (…, hidden) -> (…, hidden).

    ``U`` and ``u`` are initialized to zero, so that the adapted model starts equal to the backbone
    (as in He et al. 2022); ``D`` uses the Kaiming uniform initialization.

    Args:
        hidden: Width of the input and of the output.
        config: Width, activation, scaling and dropout.
        activation: Name of f.
        projection: Makes a layer from its input width and output width.

    Raises:
        ModelError: There is no such activation.
    """

    def __init__(
        self,
        hidden: int,
        config: AdapterConfig,
        activation: str,
        projection: Callable[[int, int], nn.Linear | Factored] = nn.Linear,
    ) -> None:
        super().__init__()
        if activation not in ACT2FN:
            raise ModelError(
                f"Unknown activation {activation!r}: expected one of {', '.join(sorted(ACT2FN))}."
            )
        width = _width(config, hidden)
        self.down = projection(hidden, width)
        if isinstance(self.down, nn.Linear):
            nn.init.kaiming_uniform_(self.down.weight, a=5**0.5)
            nn.init.zeros_(self.down.bias)
        self.activation_name = activation
        self.activation = ACT2FN[activation]
        self.up = projection(width, hidden)
        if isinstance(self.up, nn.Linear):
            nn.init.zeros_(self.up.weight)
            nn.init.zeros_(self.up.bias)
        self.dropout = nn.Dropout(config.dropout)
        self.scaling: nn.Parameter | float = config.scaling
        if config.learn_scaling:
            self.scaling = nn.Parameter(torch.tensor(config.scaling))

    def forward(self, hidden: Tensor) -> Tensor:
        """Returns the bottleneck's output: (…, hidden) -> (…, hidden)."""
        return self.expand(self.activation(self.down(hidden)))

    def expand(self, neurons: Tensor) -> Tensor:
        """Returns ``s · (U a + u)``: (…, r) -> (…, hidden)."""
        added: Tensor = self.dropout(self.up(neurons)) * self.scaling
        return added

    def settle(self) -> tuple[nn.Linear, nn.Linear]:
        """Replaces both projections by plain dense layers, ``up`` including the scaling.

        Returns:
            Down and up.
        """
        down, up = _plain(self.down), _plain(self.up)
        self.down, self.up = down, dense(self.scaling * up.weight, self.scaling * up.bias)
        if isinstance(self.scaling, nn.Parameter):
            self.scaling = nn.Parameter(torch.ones_like(self.scaling))
        else:
            self.scaling = 1.0
        return self.down, self.up


class Reading(Part):
    """``x -> base(x) + bottleneck(r)``, where ``reads`` selects r; stays in the merged model.

    Args:
        base: The dense layer.
        bottleneck: Its output is added to the dense layer's.
        reads: What the bottleneck takes as its input.
        tap: Keeps the sublayer's input; required unless ``reads`` is ``Reads.OUTPUT``.
        norm: The LayerNorm of the residual sum; required for ``Reads.NORMED``.
    """

    def __init__(
        self,
        base: nn.Module,
        bottleneck: Bottleneck,
        *,
        reads: Reads = Reads.OUTPUT,
        tap: Tap | None = None,
        norm: nn.LayerNorm | None = None,
    ) -> None:
        super().__init__(base)
        self.bottleneck = bottleneck
        self.reads = reads
        # In lists, so that torch does not register them: they are submodules of other modules.
        self._tap, self._norm = [tap], [norm]

    def forward(self, hidden: Tensor) -> Tensor:
        """Returns the sum of both outputs: (…, in) -> (…, hidden)."""
        output: Tensor = self.base(hidden)
        return torch.add(output, self.bottleneck(self._read(output)))

    def _read(self, output: Tensor) -> Tensor:
        (tap,), (norm,) = self._tap, self._norm
        if tap is None:
            return output
        if norm is None:
            return tap.take()
        normed: Tensor = norm(output + tap.take())
        return normed

    def fold(self, linear: nn.Linear) -> nn.Module:
        """Folds the scaling into ``U`` and, unless ``Reads.NORMED``, ``u`` into the dense layer.

        With ``h' = W x + (b + u)``: ``h + U f(D h + d) + u = h' + U f(D h' + d - D u)``.
        """
        down, up = self.bottleneck.settle()
        if self.reads is Reads.NORMED or linear.bias is None:
            return self
        self.base = dense(linear.weight, linear.bias + up.bias)
        if self.reads is Reads.OUTPUT:
            self.bottleneck.down = dense(down.weight, down.bias - down.weight @ up.bias)
        self.bottleneck.up = dense(up.weight, torch.zeros_like(up.bias))
        return self

    def settle(self) -> None:
        """Folds the scaling into ``U``."""
        self.bottleneck.settle()

    def kept(self, layer: Layer, sublayer: str) -> Kept:
        """Returns the folded bottleneck and its place; call it after ``fold``."""
        assert isinstance(self.bottleneck.down, nn.Linear)
        assert isinstance(self.bottleneck.up, nn.Linear)
        return Kept(
            layer=layer.path,
            sublayer=sublayer,
            reads=self.reads,
            down=self.bottleneck.down,
            activation=self.bottleneck.activation_name,
            up=self.bottleneck.up,
            norm=self._norm[0],
        )


class After(Reading):
    """A bottleneck after the sublayer."""

    nesting = Nesting.AFTER


class BottleneckAfter:
    """Bottlenecks after one or both sublayers of each layer, before the residual sum.

    Args:
        config: Width, activation, scaling, placement, layers and dropout are used.
    """

    per_layer: ClassVar[bool] = True
    placement: ClassVar[Placement]
    """The default placement; each kind sets its own."""

    def __init__(self, config: AdapterConfig) -> None:
        self._config = config
        self._attached: list[tuple[Layer, str, str, After]] = []

    def attach(self, backbone: BackboneModel) -> None:
        """Wraps the last dense layer of each chosen sublayer with a bottleneck.

        Raises:
            ModelError: The activation or a layer does not exist, another bottleneck is attached
                there, or ``original_ln_before`` is set and the backbone is pre-norm.
        """
        placement = self._config.placement or self.placement
        for layer in backbone.layers(self._config.layers):
            for sublayer in placement.sublayers:
                place = site(backbone.spec, sublayer)
                part = self._put(backbone, layer, place)
                self._attached.append((layer, sublayer, place.last, part))

    def make_bottleneck(self, hidden: int, activation: str) -> Bottleneck:
        """Makes one bottleneck; a kind with other projections overrides this."""
        return Bottleneck(hidden, self._config, activation)

    def parameters(self) -> dict[str, nn.Parameter]:
        """Returns ``layers.N.SUBLAYER.{down,up}.{weight,bias}``, and ``….scaling`` if learned."""
        return {
            f"layers.{layer.number}.{sublayer}.{name}": parameter
            for layer, sublayer, _, part in self._attached
            for name, parameter in part.bottleneck.named_parameters()
        }

    def fold(self) -> Sequence[Kept]:
        """Folds scalings and biases; the bottlenecks stay, each between two dense layers."""
        for layer, _, last, _ in self._attached:
            collapse(layer.module, last)
        return [part.kept(layer, sublayer) for layer, sublayer, _, part in self._attached]

    def _put(self, backbone: BackboneModel, layer: Layer, place: Site) -> After:
        hidden = innermost(layer.module.get_submodule(place.last)).out_features
        bottleneck = self.make_bottleneck(hidden, self._config.activation or backbone.activation)
        if not self._config.original_ln_before:
            return put_around(layer.module, place.last, lambda base: After(base, bottleneck))
        if place.norm is None:
            raise ModelError(
                f"{backbone.spec.model_type} has no LayerNorm after its sublayers, which the "
                "bottlenecks would read: expected original_ln_before = false.",
                hint="Leave original_ln_before out of the recipe.",
            )
        norm = layer.module.get_submodule(place.norm)
        assert isinstance(norm, nn.LayerNorm)
        tap = put_around(layer.module, place.first, Tap)
        return put_around(
            layer.module,
            place.last,
            lambda base: After(base, bottleneck, reads=Reads.NORMED, tap=tap, norm=norm),
        )


def _plain(projection: nn.Linear | Factored) -> nn.Linear:
    return projection if isinstance(projection, nn.Linear) else dense(*projection.product())
