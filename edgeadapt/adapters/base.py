"""The adapter contract.

An adapter kind attaches itself to a backbone by wrapping dense layers, lists the parameters that it
trains, and folds itself into the surrounding weights where the result is mathematically equal.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, Self

from torch import nn
from transformers import PreTrainedModel
from transformers.activations import ACT2FN

from edgeadapt.adapters.parts import dense
from edgeadapt.backbones import BackboneSpec, Reads
from edgeadapt.errors import ModelError
from edgeadapt.recipe import AdapterConfig

__all__ = ["Adapter", "BackboneModel", "Kept", "Layer", "Reads"]


@dataclass(frozen=True)
class Layer:
    """One transformer layer of a classifier."""

    number: int
    """Counted from 0."""
    path: str
    """Its dotted name in the model."""
    module: nn.Module


@dataclass(frozen=True)
class BackboneModel:
    """A Hugging Face classifier and where its parts are."""

    model: PreTrainedModel
    """A ``…ForSequenceClassification``; adapters replace submodules of it."""
    spec: BackboneSpec
    activation: str
    """Name of the FFN's activation function."""
    pretrained: Mapping[str, nn.Parameter]
    """Name -> parameter of the encoder, without the head. Names are those from before any adapter
    was attached, so they do not depend on the order of attachment."""
    head: Mapping[str, nn.Parameter]
    """The task head's parameters under their names in the model."""

    @classmethod
    def of(cls, model: PreTrainedModel, spec: BackboneSpec) -> Self:
        """Describes a newly loaded model, before any adapter is attached."""
        head = {
            name: parameter
            for prefix in spec.head
            for name, parameter in model.get_submodule(prefix).named_parameters(prefix=prefix)
        }
        encoder = model.get_submodule(spec.encoder).named_parameters(prefix=spec.encoder)
        return cls(
            model=model,
            spec=spec,
            activation=getattr(model.config, spec.activation_key),
            pretrained={name: p for name, p in encoder if name not in head},
            head=head,
        )

    @property
    def repeats_layers(self) -> bool:
        """Whether the model runs a layer more than once, as ALBERT does with its shared weights."""
        return len(self.layers()) != int(getattr(self.model.config, self.spec.depth_key))

    def layers(self, chosen: str | None = None) -> list[Layer]:
        """Returns transformer layers, first to last.

        Args:
            chosen: Layer numbers and inclusive ranges, counted from 0, such as ``0,2-4``;
                ``None`` for all layers.

        Raises:
            ModelError: A number is beyond the last layer, or a range ends before it begins.
        """
        modules = list(self.model.get_submodule(self.spec.layers).children())
        layers = [Layer(n, f"{self.spec.layers}.{n}", m) for n, m in enumerate(modules)]
        if chosen is None:
            return layers
        ranges = _ranges(chosen)
        if not all(numbers and numbers.stop <= len(layers) for numbers in ranges):
            raise ModelError(
                f"Adapter layers {chosen}: expected numbers from 0 to {len(layers) - 1}, the "
                "backbone's layers.",
                hint="Layers are counted from 0; a range such as 3-5 names both ends.",
            )
        return [layers[number] for number in sorted(set().union(*ranges))]


@dataclass(frozen=True)
class Kept:
    """A bottleneck that could not be folded: ``h + U f(D x + d) + u``.

    ``h`` is the output of the dense layer that it is attached to. ``up`` includes the scaling.
    """

    layer: str
    """Dotted name of the transformer layer."""
    sublayer: str
    """``attention`` or ``ffn``."""
    reads: Reads
    down: nn.Linear
    activation: str
    """Name in transformers' table of activations."""
    up: nn.Linear
    norm: nn.LayerNorm | None = None
    """Normalizes the bottleneck's input; set where ``reads`` is ``Reads.NORMED``."""

    @property
    def parameters(self) -> int:
        """Number of weights and biases; an up bias that was folded away is zero and not counted."""
        bias = len(self.up.bias) if self.up.bias.any() else 0
        return self.macs_per_token + len(self.down.bias) + bias

    def module(self) -> nn.Sequential:
        """Returns the bottleneck as a module: (batch, seq, hidden) -> (batch, seq, hidden)."""
        up = self.up
        if not up.bias.any():
            up = dense(up.weight.detach(), None)
        inner = (self.down, ACT2FN[self.activation], up)
        return nn.Sequential(*([self.norm] if self.norm else []), *inner)

    @property
    def macs_per_token(self) -> int:
        """Multiply-accumulate operations per token."""
        return self.down.weight.numel() + self.up.weight.numel()


class Adapter(Protocol):
    """One kind of adapter, made from its configuration."""

    @property
    def per_layer(self) -> bool:
        """Whether transformer layers that share weights must first get weights of their own."""

    def __init__(self, config: AdapterConfig) -> None: ...

    def attach(self, backbone: BackboneModel) -> None:
        """Wraps dense layers so that the adapter becomes part of the forward pass.

        Raises:
            ModelError: The adapter cannot be attached to this backbone.
        """

    def parameters(self) -> dict[str, nn.Parameter]:
        """Returns the parameters that this kind trains, by names that are stable across processes.

        Call it after ``attach``. The task head is not included, since every method trains it.
        """

    def fold(self) -> Sequence[Kept]:
        """Folds the adapter into stock layers, in place; returns what cannot be folded."""


def _ranges(chosen: str) -> list[range]:
    """``0,2-4`` -> [range(0, 1), range(2, 5)]."""
    pieces = [piece.partition("-") for piece in chosen.split(",")]
    return [range(int(first), int(last or first) + 1) for first, _, last in pieces]
