"""Refit dense layers by least squares, so that a smaller model computes what the original did.

After heads, neurons or layers are removed, the dense layer that ends each sublayer is fitted again,
first to last: from the inputs that it gets now to the residual sum of the original model on the
same text. The head's inner dense layer follows. No gradient and no label is needed, and the result
is deterministic.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from edgeadapt.backbones import STOCK_HEADS, BackboneSpec, backbone_spec
from edgeadapt.models.inference import EVALUATION_BATCH, to_inputs
from edgeadapt.models.text_model import TextModel
from edgeadapt.runtime.resized import BiasAlone
from edgeadapt.text import Text

__all__ = ["Fitted", "HeadTargets", "SublayerTargets", "fit_dense"]

STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Strengths of the regularization that are tried, relative to the mean square of the inputs."""
HELD_OUT = 0.2
"""Share of the texts that decide about the strength."""
MOST_ROWS = 16_384
"""Most positions that a dense layer is fitted to; they are drawn from all texts."""


@dataclass(frozen=True)
class Fitted:
    """The result of fitting one dense layer."""

    name: str
    """Dotted name of the dense layer."""
    error_before: float
    """Mean squared error against the original model on held-out text, without fitting."""
    error: float
    """The same after fitting; never larger."""
    strength: float | None
    """The chosen strength; ``None`` where no fit was better than none."""


def fit_dense(
    dense: nn.Linear, inputs: Tensor, targets: Tensor, held_out: Tensor, *, name: str
) -> Fitted:
    """Fits a dense layer in place, by ridge regression towards its present weights.

    ``min_D |x (W + D)ᵀ + b - y|² + λ |D|²``, with ``λ`` as is best on the held-out rows; the
    layer stays as it is where no ``λ`` lowers the error there.

    Args:
        dense: The layer.
        inputs: ``(rows, in_features)``.
        targets: ``(rows, out_features)``.
        held_out: Which rows decide about ``λ``, bool of shape ``(rows,)``.
        name: Its name, for the report.
    """
    weight, x = dense.weight.detach().double(), inputs.double()
    rest = targets.double() - x @ weight.T
    if dense.bias is not None:
        rest -= dense.bias.detach().double()
    mean_x, mean_y = torch.zeros_like(x[0]), torch.zeros_like(rest[0])
    if dense.bias is not None:
        mean_x, mean_y = x[~held_out].mean(0), rest[~held_out].mean(0)
    fitted, wanted = x[~held_out] - mean_x, rest[~held_out] - mean_y
    gram, product = fitted.T @ fitted, fitted.T @ wanted

    def error(change: Tensor, shift: Tensor) -> float:
        return float((rest[held_out] - x[held_out] @ change - shift).square().mean())

    scale = float(gram.diagonal().mean())
    before = best = error(torch.zeros_like(weight.T), torch.zeros_like(mean_y))
    chosen: tuple[Tensor, Tensor] | None = None
    strength = None
    for candidate in STRENGTHS if scale > 0 else ():
        ridge = gram + candidate * scale * torch.eye(len(gram), dtype=torch.double)
        change = torch.cholesky_solve(product, torch.linalg.cholesky(ridge))
        shift = mean_y - mean_x @ change
        found = error(change, shift)
        if found < best:
            best, chosen, strength = found, (change, shift), candidate
    if chosen is not None:
        with torch.no_grad():
            dense.weight.add_(chosen[0].T)
            if dense.bias is not None:
                dense.bias.add_(chosen[1])
    return Fitted(name, before, best, strength)


@dataclass(frozen=True)
class _Batch:
    """Padded texts, and the positions that layers are fitted to."""

    inputs: dict[str, Tensor]
    chosen: Tensor
    """bool of shape ``(batch, seq)``."""
    held_out: Tensor
    """Whether each chosen position belongs to a held-out text, bool of shape ``(chosen,)``."""
    first: Tensor
    """Whether each chosen position is the first of its text, bool of shape ``(chosen,)``."""


def _batches(model: TextModel, texts: Sequence[Text]) -> list[_Batch]:
    """Returns the texts in batches, with at most about ``MOST_ROWS`` chosen positions in all."""
    drawn = torch.Generator().manual_seed(0)
    judging = set(range(0, len(texts), round(1 / HELD_OUT)))
    padded = [
        (rows, to_inputs(batch, model.merged.model))
        for rows, batch in model.encoder.batches(texts, EVALUATION_BATCH)
    ]
    tokens = sum(int(inputs["attention_mask"].sum()) for _, inputs in padded)
    share = min(1.0, MOST_ROWS / tokens)
    batches = []
    for rows, inputs in padded:
        present = inputs["attention_mask"].bool()
        chosen = present & (torch.rand(present.shape, generator=drawn) < share)
        chosen[:, 0] = True
        held_out = torch.tensor([int(row) in judging for row in rows])[:, None].expand_as(chosen)
        first = torch.zeros_like(chosen)
        first[:, 0] = True
        batches.append(_Batch(inputs, chosen, held_out[chosen], first[chosen]))
    return batches


@dataclass(frozen=True)
class _Call:
    """The arguments of one call of a transformer layer."""

    hidden: Tensor
    """Hidden states, ``(batch, seq, hidden)``."""
    others: tuple[Any, ...]
    named: Mapping[str, object]
    """Masks and positions, which the model computes once and passes to every layer."""

    @classmethod
    def of(cls, positional: tuple[Any, ...], named: Mapping[str, object]) -> "_Call":
        if positional:
            return cls(positional[0], positional[1:], dict(named))
        named = dict(named)
        hidden = named.pop("hidden_states")
        assert isinstance(hidden, Tensor)
        return cls(hidden, (), named)

    def run(self, layer: nn.Module, hidden: Tensor) -> Tensor:
        """Returns the layer's output for other hidden states."""
        output = layer(hidden, *self.others, **self.named)
        result: Tensor = output[0] if isinstance(output, tuple) else output
        return result


class _Probe:
    """Records what the two sublayers of a layer compute in one call.

    Args:
        layer: The layer.
        spec: The names of its parts.
    """

    def __init__(self, layer: nn.Module, spec: BackboneSpec) -> None:
        self._spec = spec
        self.call: _Call | None = None
        self._inputs: dict[str, Tensor] = {}
        self._outputs: dict[str, Tensor] = {}
        self._handles = [layer.register_forward_pre_hook(self._called, with_kwargs=True)]
        for name in (spec.attention_output, spec.ffn_in, spec.ffn_out):
            record = partial(self._computed, name)
            self._handles.append(layer.get_submodule(name).register_forward_hook(record))

    def inputs(self, name: str) -> Tensor:
        """Returns the inputs of a dense layer, ``(batch, seq, in_features)``."""
        return self._inputs[name]

    def residual(self, name: str) -> Tensor:
        """Returns what the output of a sublayer's last dense layer is added to."""
        assert self.call is not None
        if name == self._spec.attention_output:
            return self.call.hidden
        if self._spec.ffn_norm is not None:  # the norm is behind the sum
            return self._inputs[self._spec.ffn_in]
        return self.call.hidden + self._outputs[self._spec.attention_output]

    def residual_sum(self, name: str) -> Tensor:
        """Returns the sum of the residual and the output of a sublayer's last dense layer."""
        return self.residual(name) + self._outputs[name]

    def remove(self) -> None:
        """Removes the hooks."""
        for handle in self._handles:
            handle.remove()

    def _called(
        self, _: nn.Module, positional: tuple[Any, ...], named: Mapping[str, object]
    ) -> None:
        self.call = _Call.of(positional, named)

    def _computed(
        self, name: str, _: nn.Module, inputs: tuple[Tensor, ...], output: Tensor
    ) -> None:
        if inputs:
            self._inputs[name] = inputs[0]
        self._outputs[name] = output


class SublayerTargets:
    """What the sublayers of the original model compute on some texts.

    Made once for a model, and used for every candidate that keeps its layers.

    Args:
        model: The original model.
        texts: Training texts.
        first_position: Whether the model reads only the first position of the last layer, which
            is then fitted to that alone.
    """

    def __init__(self, model: TextModel, texts: Sequence[Text], *, first_position: bool) -> None:
        torch_model = model.merged.model
        self._first_position = first_position
        self._spec = backbone_spec(torch_model.config.model_type)
        self._batches = _batches(model, texts)
        self._sums: dict[tuple[int, str], list[Tensor]] = defaultdict(list)
        self._calls: list[list[_Call]] = []
        """For each layer its call with each batch."""
        layers = _layers(torch_model, self._spec)
        probes = [_Probe(layer, self._spec) for layer in layers]
        try:
            for batch in self._batches:
                with torch.inference_mode():
                    torch_model(**batch.inputs)
                self._record(probes, batch)
        finally:
            for probe in probes:
                probe.remove()

    def _record(self, probes: Sequence[_Probe], batch: _Batch) -> None:
        self._calls = self._calls or [[] for _ in probes]
        for number, (probe, calls) in enumerate(zip(probes, self._calls, strict=True)):
            assert probe.call is not None
            # Only the first layer's hidden states are needed: the others are computed again. A
            # slice of them would keep all of their memory.
            empty = torch.empty(0)
            calls.append(probe.call if number == 0 else replace(probe.call, hidden=empty))
            for name in self._sublayers:
                self._sums[number, name].append(probe.residual_sum(name)[batch.chosen])

    @property
    def _sublayers(self) -> tuple[str, str]:
        return self._spec.attention_output, self._spec.ffn_out

    @torch.no_grad()
    def fit(self, model: PreTrainedModel) -> list[Fitted]:
        """Fits the last dense layer of each sublayer of a smaller model, in place.

        Args:
            model: With the layers of the original, of any widths.
        """
        fitted = []
        held_out = torch.cat([batch.held_out for batch in self._batches])
        first = torch.cat([batch.first for batch in self._batches])
        layers = _layers(model, self._spec)
        hidden = [call.hidden for call in self._calls[0]]
        for number, layer in enumerate(layers):
            last = number == len(layers) - 1
            rows = first if last and self._first_position else torch.ones_like(first)
            for name in self._sublayers:
                inputs, targets = self._pairs(layer, number, name, hidden)
                path = f"{self._spec.layers}.{number}.{name}"
                module = layer.get_submodule(name)
                if isinstance(module, BiasAlone):
                    found = _fit_bias(module, targets[rows], held_out[rows], name=path)
                else:
                    assert isinstance(module, nn.Linear)
                    assert inputs is not None
                    found = fit_dense(
                        module, inputs[rows], targets[rows], held_out[rows], name=path
                    )
                fitted.append(found)
            calls = zip(self._calls[number], hidden, strict=True)
            hidden = [call.run(layer, states) for call, states in calls]
        return fitted

    def _pairs(
        self, layer: nn.Module, number: int, name: str, hidden: Sequence[Tensor]
    ) -> tuple[Tensor | None, Tensor]:
        """Returns inputs and targets of a sublayer's last layer at the chosen positions.

        There are no inputs where the sublayer was dropped.
        """
        probe = _Probe(layer, self._spec)
        inputs, residuals = [], []
        try:
            for batch, call, states in zip(self._batches, self._calls[number], hidden, strict=True):
                call.run(layer, states)
                residuals.append(probe.residual(name).expand_as(states)[batch.chosen])
                if isinstance(layer.get_submodule(name), nn.Linear):
                    inputs.append(probe.inputs(name)[batch.chosen])
        finally:
            probe.remove()
        targets = torch.cat(self._sums[number, name]) - torch.cat(residuals)
        return (torch.cat(inputs) if inputs else None), targets


def _fit_bias(module: BiasAlone, targets: Tensor, held_out: Tensor, *, name: str) -> Fitted:
    """Sets the bias that is left of a sublayer to the mean of what it replaces, in place."""
    bias = targets[~held_out].mean(0)
    before = float((targets[held_out] - module.bias).square().mean())
    after = float((targets[held_out] - bias).square().mean())
    if after >= before:
        return Fitted(name, before, before, None)
    module.bias.copy_(bias)
    return Fitted(name, before, after, 0.0)


class HeadTargets:
    """What the head's inner dense layer of the original model computes on some texts.

    Args:
        model: The original model.
        texts: Training texts.
    """

    def __init__(self, model: TextModel, texts: Sequence[Text]) -> None:
        self._texts, self._encoder = tuple(texts), model.encoder
        spec = backbone_spec(model.merged.model.config.model_type)
        self._name = STOCK_HEADS[spec.model_type].dense
        dense = self._dense(model.merged.model)
        with torch.no_grad():
            self._outputs = dense(self._inputs(model.merged.model))

    def fit(self, model: PreTrainedModel) -> Fitted:
        """Fits the head's inner dense layer of a smaller model, in place."""
        inputs = self._inputs(model)
        held_out = torch.arange(len(inputs)) % round(1 / HELD_OUT) == 0
        return fit_dense(self._dense(model), inputs, self._outputs, held_out, name=self._name)

    def _dense(self, model: PreTrainedModel) -> nn.Linear:
        dense = model.get_submodule(self._name)
        assert isinstance(dense, nn.Linear)
        return dense

    @torch.no_grad()
    def _inputs(self, model: PreTrainedModel) -> Tensor:
        """Returns the inputs of the layer, ``(texts, hidden)``."""
        read: list[Tensor] = []
        handle = self._dense(model).register_forward_pre_hook(
            lambda _, given: read.append(given[0])
        )
        rows = []
        try:
            for numbers, batch in self._encoder.batches(self._texts, EVALUATION_BATCH):
                model(**to_inputs(batch, model))
                rows.append(torch.from_numpy(numbers))
        finally:
            handle.remove()
        inputs = torch.cat(read)
        ordered = torch.empty_like(inputs)
        ordered[torch.cat(rows)] = inputs
        return ordered


def _layers(model: PreTrainedModel, spec: BackboneSpec) -> list[nn.Module]:
    return list(model.get_submodule(spec.layers).children())
