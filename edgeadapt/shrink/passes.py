"""Run the original model over training text and record what its sublayers compute."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

import torch
from torch import Tensor, nn

from edgeadapt.backbones import BackboneSpec, backbone_spec
from edgeadapt.models.inference import EVALUATION_BATCH, to_inputs
from edgeadapt.models.text_model import TextModel
from edgeadapt.recipe import Task
from edgeadapt.text import Text

__all__ = ["Call", "Pass", "Sublayer", "layers_of", "passes"]

TEMPERATURE = 8.0
"""Divides the logits whose information is meant. With their own probabilities, texts that are
answered with certainty would count for nothing, and few others would decide."""


@dataclass(frozen=True)
class Call:
    """The arguments of one call of a transformer layer."""

    hidden: Tensor
    """Hidden states, ``(batch, seq, hidden)``."""
    others: tuple[Any, ...]
    named: Mapping[str, object]
    """Masks and positions, which the model computes once and passes to every layer."""

    @classmethod
    def of(cls, positional: tuple[Any, ...], named: Mapping[str, object]) -> Self:
        """Returns the arguments as a hook gets them."""
        if positional:
            return cls(positional[0], positional[1:], dict(named))
        named = dict(named)
        hidden = named.pop("hidden_states")
        assert isinstance(hidden, Tensor)
        return cls(hidden, (), named)

    def run(self, layer: nn.Module, hidden: Tensor) -> Tensor:
        """Returns a layer's output for other hidden states."""
        output = layer(hidden, *self.others, **self.named)
        result: Tensor = output[0] if isinstance(output, tuple) else output
        return result

    def inputs_of(self, module: nn.Module, layer: nn.Module, hidden: Tensor) -> Tensor:
        """Returns what a module of the layer reads; nothing behind it is computed."""
        found: list[Tensor] = []

        def stop(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            found.append(inputs[0])
            raise _StopError

        handle = module.register_forward_pre_hook(stop)
        try:
            self.run(layer, hidden)
        except _StopError:
            pass
        finally:
            handle.remove()
        return found[0]


class _StopError(Exception):
    """Raised to end a layer's computation early."""


@dataclass(frozen=True)
class Sublayer:
    """What a sublayer computed for one batch."""

    inputs: Tensor
    """Of its last dense layer, ``(batch, seq, in_features)``."""
    residual_sum: Tensor
    """``(batch, seq, hidden)``."""
    gradient: Tensor
    """Of a projection of the logits with respect to the sum, ``(batch, seq, hidden)``. Its second
    moments are the Fisher information of the sum; see ``_direction``."""

    @property
    def slope(self) -> Tensor:
        """How much the logits depend on the sum at each position, ``(batch, seq)``."""
        squares: Tensor = self.gradient.square().sum(-1)
        return squares


@dataclass(frozen=True)
class Pass:
    """One batch of texts."""

    rows: tuple[int, ...]
    """The numbers of the texts."""
    present: Tensor
    """Where there is text, and not padding; bool of shape ``(batch, seq)``."""
    calls: tuple[Call, ...]
    """The call of each layer."""
    sublayers: Mapping[tuple[int, str], Sublayer]
    """By layer and name of the last dense layer."""


def passes(model: TextModel, texts: Sequence[Text]) -> Iterator[Pass]:
    """Yields what all sublayers of a model compute, batch by batch; no label is needed.

    Args:
        model: Stock layers of any widths; sublayers without a dense layer are left out.
        texts: Training texts.
    """
    torch_model = model.merged.model
    spec = backbone_spec(torch_model.config.model_type)
    layers = layers_of(torch_model, spec)
    drawn = torch.Generator().manual_seed(0)
    many = torch_model.config.problem_type == Task.MULTI_LABEL.problem_type
    required = [parameter for parameter in torch_model.parameters() if parameter.requires_grad]
    torch_model.requires_grad_(False)
    probes = [_Probe(layer, spec) for layer in layers]
    try:
        for rows, batch in model.encoder.batches(texts, EVALUATION_BATCH):
            inputs = to_inputs(batch, torch_model)
            with torch.enable_grad():
                logits = torch_model(**inputs).logits
                direction = _direction(logits.detach(), drawn, many=many)
                torch.autograd.backward((logits * direction).sum())
            yield Pass(
                tuple(map(int, rows)),
                inputs["attention_mask"].bool(),
                tuple(probe.call for probe in probes),
                {
                    (number, name): probe.sublayer(name)
                    for number, probe in enumerate(probes)
                    for name in probe.names
                },
            )
    finally:
        for probe in probes:
            probe.remove()
        for parameter in required:
            parameter.requires_grad_(True)


def _direction(logits: Tensor, drawn: torch.Generator, *, many: bool) -> Tensor:
    """Draws the direction on which each text's logits are projected, ``(batch, labels)``.

    It leads from the probabilities to a label drawn by them. The second moments of such directions
    are the Fisher information of the logits: by half of it, to second order, a text's probabilities
    diverge from its own when an error is added to the logits.

    Args:
        logits: ``(batch, labels)``.
        drawn: What the labels are drawn from.
        many: Whether a text has any number of labels.
    """
    softened = logits / TEMPERATURE
    if many:
        chances = softened.sigmoid()
        return torch.bernoulli(chances, generator=drawn) - chances
    chances = softened.softmax(-1)
    labels = torch.multinomial(chances, 1, generator=drawn)[:, 0]
    return nn.functional.one_hot(labels, logits.shape[1]) - chances


def layers_of(model: nn.Module, spec: BackboneSpec) -> list[nn.Module]:
    """Returns the transformer layers of a model."""
    return list(model.get_submodule(spec.layers).children())


class _Probe:
    """Records what the two sublayers of a layer compute in one call.

    Args:
        layer: The layer.
        spec: The names of its parts.
    """

    def __init__(self, layer: nn.Module, spec: BackboneSpec) -> None:
        self._spec = spec
        self._call: Call | None = None
        self._inputs: dict[str, Tensor] = {}
        self._outputs: dict[str, Tensor] = {}
        self._handles = [layer.register_forward_pre_hook(self._called, with_kwargs=True)]
        self.names = [
            name
            for name in (spec.attention_output, spec.ffn_out)
            if isinstance(layer.get_submodule(name), nn.Linear)
        ]
        for name in (spec.attention_output, spec.ffn_in, spec.ffn_out):
            record = partial(self._computed, name)
            self._handles.append(layer.get_submodule(name).register_forward_hook(record))

    @property
    def call(self) -> Call:
        """The layer's call."""
        assert self._call is not None
        return self._call

    def sublayer(self, name: str) -> Sublayer:
        """Returns what a sublayer computed, by the name of its last dense layer."""
        output = self._outputs[name]
        assert output.grad is not None
        return Sublayer(
            self._inputs[name].detach(),
            (self._residual(name) + output).detach(),
            output.grad,
        )

    def remove(self) -> None:
        """Removes the hooks."""
        for handle in self._handles:
            handle.remove()

    def _residual(self, name: str) -> Tensor:
        """Returns what the output of a sublayer's last dense layer is added to."""
        if name == self._spec.attention_output:
            return self.call.hidden
        if self._spec.ffn_norm is not None:  # the norm is behind the sum
            return self._inputs[self._spec.ffn_in]
        return self.call.hidden + self._outputs[self._spec.attention_output]

    def _called(
        self, _: nn.Module, positional: tuple[Any, ...], named: Mapping[str, object]
    ) -> None:
        self._call = Call.of(positional, named)
        if not self._call.hidden.requires_grad:  # that of the first layer: no weight requires it
            self._call.hidden.requires_grad_(True)

    def _computed(
        self, name: str, _: nn.Module, inputs: tuple[Tensor, ...], output: Tensor
    ) -> None:
        if inputs:
            self._inputs[name] = inputs[0]
        self._outputs[name] = output
        if output.requires_grad:
            output.retain_grad()
