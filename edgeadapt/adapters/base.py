"""The adapter contract.

A kind attaches itself to a backbone by replacing submodules, lists its own parameters, and folds
itself into the surrounding weights as far as mathematics allows.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, Self

from torch import nn
from transformers import PreTrainedModel

from edgeadapt.backbones import BackboneSpec
from edgeadapt.config import AdapterConfig
from edgeadapt.errors import ModelError

__all__ = ["Adapter", "Encoder", "Leftover", "linear_at"]


@dataclass(frozen=True)
class Encoder:
    """A Hugging Face classifier and where its parts are."""

    model: PreTrainedModel
    """A ``…ForSequenceClassification``; adapters replace submodules of it."""
    spec: BackboneSpec
    activation: str
    """Name of the FFN's non-linearity."""
    pretrained: Mapping[str, nn.Parameter]
    """The encoder's own parameters without the head's, under the names they have before any
    adapter is attached: so names do not depend on the order of attaching."""
    head: Mapping[str, nn.Parameter]
    """The task head's parameters under their names in the model."""

    @classmethod
    def of(cls, model: PreTrainedModel, spec: BackboneSpec) -> Self:
        """Looks a fresh model over, before anything is attached."""
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

    def layers(self) -> list[nn.Module]:
        """Returns the transformer layers, first to last."""
        return list(self.model.get_submodule(self.spec.layers).children())


@dataclass(frozen=True)
class Leftover:
    """What a kind could not fold and therefore still costs at run time."""

    parameters: int
    macs_per_token: int
    """Multiply-accumulates added to each token's pass through the encoder."""


class Adapter(Protocol):
    """One kind of adapter, made from its configuration."""

    def __init__(self, config: AdapterConfig) -> None: ...

    def attach(self, encoder: Encoder) -> None:
        """Replaces submodules of the encoder so that the adapter is in the forward pass.

        Raises:
            ModelError: This backbone cannot carry it.
        """

    def parameters(self) -> dict[str, nn.Parameter]:
        """Returns what the kind trains, under names that are stable across processes.

        Valid after ``attach``. The task head is not among them: every method trains it.
        """

    def fold(self) -> Leftover:
        """Folds the adapter into stock layers, in place, and returns what stays."""


def linear_at(module: nn.Module, name: str) -> nn.Linear:
    """Returns the ``nn.Linear`` at a dotted name.

    Raises:
        ModelError: Something else is there, such as another adapter of the same place.
    """
    found = module.get_submodule(name)
    if not isinstance(found, nn.Linear):
        raise ModelError(
            f"Expected an nn.Linear at {name!r}, found {type(found).__name__}.",
            hint="Kinds that replace the same dense layer cannot be combined.",
        )
    return found
