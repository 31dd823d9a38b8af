"""Refit dense layers by least squares, so that a smaller model computes what the original did.

After heads, neurons or layers are removed, all dense layers are fitted again, first to last, to the
inputs that they get now. Queries, keys, values and the first layer of an FFN are fitted to what the
original computes there; the dense layer that ends a sublayer to the original's residual sum, so
that it makes up for everything that went wrong before it. The head's inner dense layer follows. No
gradient step and no label is needed, and the result is deterministic.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.activations import ACT2FN

from edgeadapt.backbones import STOCK_HEADS, backbone_spec
from edgeadapt.models.inference import EVALUATION_BATCH, to_inputs
from edgeadapt.models.text_model import TextModel
from edgeadapt.runtime.resized import BiasAlone
from edgeadapt.shrink.least_squares import HELD_OUT, Fitted, NormalEquations, fit_dense
from edgeadapt.shrink.passes import Call, Pass, layers_of, passes
from edgeadapt.text import Text

__all__ = ["HeadTargets", "SublayerTargets"]

MOST_ROWS = 32_768
"""Most positions that dense layers are fitted to; they are drawn from all texts."""
MOST_NUMBERS = 2**28
"""Most numbers that are kept of the original model, 1 GiB; fewer positions of a large one."""


@dataclass(frozen=True)
class _Batch:
    """The positions of one batch that layers are fitted to."""

    chosen: Tensor
    """bool of shape ``(batch, seq)``."""
    rows: slice
    """Their numbers among those of all batches."""
    held_out: Tensor
    """Whether each belongs to a held-out text, bool of shape ``(chosen,)``."""
    first: Tensor
    """Whether each is the first of its text, bool of shape ``(chosen,)``."""


class SublayerTargets:
    """What the sublayers of the original model compute on some texts.

    Made once for a model, and used for every candidate.

    Args:
        model: The original model.
        texts: Training texts.
        first_position: Whether the model reads only the first position of the last layer, which
            is then fitted to that alone.
    """

    def __init__(self, model: TextModel, texts: Sequence[Text], *, first_position: bool) -> None:
        config = model.merged.model.config
        self.spec = backbone_spec(config.model_type)
        self.layers = layers_of(model.merged.model, self.spec)
        self.first_position = first_position
        self.batches: list[_Batch] = []
        self.calls: list[list[Call]] = [[] for _ in self.layers]
        """For each layer its call with each batch; hidden states only of the first."""
        sums: dict[tuple[int, str], list[Tensor]] = defaultdict(list)
        norms: dict[tuple[int, str], list[Tensor]] = defaultdict(list)
        positions = min(MOST_ROWS, MOST_NUMBERS // (2 * len(self.layers) * config.hidden_size))
        share = min(1.0, positions / sum(map(len, model.encoder.encode(texts))))
        drawn = torch.Generator().manual_seed(0)
        for one in passes(model, texts):
            batch = self._batch(one, share, drawn)
            self.batches.append(batch)
            for number, call in enumerate(one.calls):
                # Of other hidden states, a slice would keep all of the memory.
                kept = call.hidden.detach() if number == 0 else torch.empty(0)
                self.calls[number].append(replace(call, hidden=kept))
            for place, sublayer in one.sublayers.items():
                sums[place].append(sublayer.residual_sum[batch.chosen])
                norms[place].append(sublayer.slope[batch.chosen].sqrt())
        self._sums = {place: torch.cat(parts) for place, parts in sums.items()}
        self._norms = {place: torch.cat(parts) for place, parts in norms.items()}

    def _batch(self, one: Pass, share: float, drawn: torch.Generator) -> _Batch:
        chosen = one.present & (torch.rand(one.present.shape, generator=drawn) < share)
        chosen[:, 0] = True
        every = round(1 / HELD_OUT)
        held_out = torch.tensor([row % every == 0 for row in one.rows])[:, None].expand_as(chosen)
        first = torch.zeros_like(chosen)
        first[:, 0] = True
        start = self.batches[-1].rows.stop if self.batches else 0
        rows = slice(start, start + int(chosen.sum()))
        return _Batch(chosen, rows, held_out[chosen], first[chosen])

    def sum_of(self, layer: int, name: str, batch: _Batch) -> Tensor:
        """Returns the original's residual sums, ``(chosen, hidden)``."""
        return self._sums[layer, name][batch.rows]

    def weights_of(self, layer: int, name: str, batch: _Batch) -> Tensor:
        """Returns how much the positions of a sublayer's residual sum count, ``(chosen,)``.

        By the norm of the gradient there. Its square, which the second-order expansion of the loss
        suggests, was worse: few texts then decide.
        """
        return self._norms[layer, name][batch.rows]

    def of_last(self, weights: Tensor, batch: _Batch) -> Tensor:
        """Returns how much positions count in the last layer."""
        return weights * batch.first if self.first_position else weights

    def attention_reads(self, layer: int, batch: _Batch) -> Tensor:
        """Returns what the original's attention reads in any but the first layer."""
        before = self.sum_of(layer - 1, self.spec.ffn_out, batch)
        hidden = _normed(self.layers[layer - 1], self.spec.ffn_norm, before)
        return _normed(self.layers[layer], self.spec.norm_before_attention, hidden)

    def ffn_reads(self, layer: int, batch: _Batch) -> Tensor:
        """Returns what the original's FFN reads."""
        attended = self.sum_of(layer, self.spec.attention_output, batch)
        hidden = _normed(self.layers[layer], self.spec.attention_norm, attended)
        return _normed(self.layers[layer], self.spec.norm_before_ffn, hidden)

    def fit(self, model: PreTrainedModel, sources: Sequence[int]) -> list[Fitted]:
        """Fits the dense layers of a smaller model, in place.

        Args:
            model: Its layers are those of the original, or some of their heads and neurons, with
                the original's weights.
            sources: The number of each layer in the original.
        """
        with torch.no_grad():
            return _Fit(self, model, sources).run()


class _Fit:
    """Fits one smaller model; ``hidden`` are its hidden states before the current layer."""

    def __init__(
        self, targets: SublayerTargets, model: PreTrainedModel, sources: Sequence[int]
    ) -> None:
        self._targets, self._spec, self._sources = targets, targets.spec, sources
        self._layers = layers_of(model, targets.spec)
        self._activation = ACT2FN[getattr(model.config, targets.spec.activation_key)]
        self._hidden = [call.hidden for call in targets.calls[0]]
        self._found: list[Fitted] = []

    def run(self) -> list[Fitted]:
        """Fits all layers from the first one that differs from the original's."""
        same = True
        for number, source in enumerate(self._sources):
            same = same and number == source and self._is_whole(number)
            if same:
                calls = zip(self._calls[source], self._hidden, strict=True)
                self._hidden = [call.run(self._layers[number], hidden) for call, hidden in calls]
            else:
                self._fit_projections(number, source)
                sums = self._fit_attention(number, source)
                self._hidden = self._fit_ffn(number, source, sums)
        return self._found

    @property
    def _calls(self) -> list[list[Call]]:
        return self._targets.calls

    def _is_last(self, number: int) -> bool:
        return number == len(self._sources) - 1

    def _is_whole(self, number: int) -> bool:
        original = self._targets.layers[self._sources[number]]
        return all(
            isinstance(dense := self._layers[number].get_submodule(name), nn.Linear)
            and dense.in_features == original.get_submodule(name).in_features
            for name in (self._spec.attention_output, self._spec.ffn_out)
        )

    def _fit_projections(self, number: int, source: int) -> None:
        """Fits queries, keys and values to those of the original."""
        spec, layer = self._spec, self._layers[number]
        last = layer.get_submodule(spec.attention_output)
        # Where heads cannot be removed, these layers read more than hidden states.
        if source == 0 or spec.attention is None or isinstance(last, BiasAlone):
            return
        for name in dict.fromkeys((spec.query.dense, spec.key.dense, spec.value.dense)):
            dense = _linear(layer, name)
            alone = name not in (spec.key.dense, spec.value.dense)
            equations = NormalEquations(dense)
            for batch, hidden in zip(self._targets.batches, self._hidden, strict=True):
                inputs = _normed(layer, spec.norm_before_attention, hidden[batch.chosen])
                targets = dense(self._targets.attention_reads(source, batch))
                weights = self._targets.weights_of(source - 1, spec.ffn_out, batch)
                if alone and self._is_last(number):
                    weights = self._targets.of_last(weights, batch)
                equations.add(inputs, targets, weights, batch.held_out)
            self._solve(equations, number, name)

    def _fit_attention(self, number: int, source: int) -> list[Tensor]:
        """Fits the end of the attention sublayer; returns the residual sums, not yet normed."""
        name, layer = self._spec.attention_output, self._layers[number]
        last = layer.get_submodule(name)
        if isinstance(last, BiasAlone):
            self._fit_bias(last, number, source, name, self._hidden)
            return [last() + hidden for hidden in self._hidden]
        assert isinstance(last, nn.Linear)
        inputs = [
            call.inputs_of(last, layer, hidden)
            for call, hidden in zip(self._calls[source], self._hidden, strict=True)
        ]
        self._fit_last(last, number, source, name, inputs, self._hidden)
        return [last(read) + hidden for read, hidden in zip(inputs, self._hidden, strict=True)]

    def _fit_ffn(self, number: int, source: int, sums: Sequence[Tensor]) -> list[Tensor]:
        """Fits both layers of the FFN; returns the layer's outputs."""
        spec, layer = self._spec, self._layers[number]
        last = layer.get_submodule(spec.ffn_out)
        residuals = [_normed(layer, spec.attention_norm, values) for values in sums]
        if isinstance(last, BiasAlone):
            self._fit_bias(last, number, source, spec.ffn_out, residuals)
            return [_normed(layer, spec.ffn_norm, last() + values) for values in residuals]
        assert isinstance(last, nn.Linear)
        first = _linear(layer, spec.ffn_in)
        reads = [_normed(layer, spec.norm_before_ffn, values) for values in residuals]
        equations = NormalEquations(first)
        for batch, values in zip(self._targets.batches, reads, strict=True):
            targets = first(self._targets.ffn_reads(source, batch))
            weights = self._weights(number, source, spec.ffn_out, batch)
            equations.add(values[batch.chosen], targets, weights, batch.held_out)
        self._solve(equations, number, spec.ffn_in)
        inner = [self._activated(first(values)) for values in reads]
        self._fit_last(last, number, source, spec.ffn_out, inner, residuals)
        return [
            _normed(layer, spec.ffn_norm, last(values) + residual)
            for values, residual in zip(inner, residuals, strict=True)
        ]

    def _activated(self, values: Tensor) -> Tensor:
        if self._spec.gate_bias_key is None:
            activated: Tensor = self._activation(values)
            return activated
        inner, gate = values.chunk(2, dim=-1)
        gated: Tensor = self._activation(inner) * gate
        return gated

    def _fit_last(
        self,
        dense: nn.Linear,
        number: int,
        source: int,
        name: str,
        inputs: Sequence[Tensor],
        residuals: Sequence[Tensor],
    ) -> None:
        """Fits the dense layer that ends a sublayer to the original's residual sum."""
        equations = NormalEquations(dense)
        for batch, read, residual in zip(self._targets.batches, inputs, residuals, strict=True):
            targets = self._targets.sum_of(source, name, batch) - residual[batch.chosen]
            weights = self._weights(number, source, name, batch)
            equations.add(read[batch.chosen], targets, weights, batch.held_out)
        self._solve(equations, number, name)

    def _fit_bias(
        self, last: BiasAlone, number: int, source: int, name: str, residuals: Sequence[Tensor]
    ) -> None:
        """Sets the bias that is left of a sublayer to the mean of what it replaces."""
        dense = nn.Linear(1, len(last.bias))
        dense.weight.zero_()
        dense.bias.copy_(last.bias)
        nothing = [residual.new_zeros(*residual.shape[:2], 1) for residual in residuals]
        self._fit_last(dense, number, source, name, nothing, residuals)
        last.bias.copy_(dense.bias)

    def _weights(self, number: int, source: int, name: str, batch: _Batch) -> Tensor:
        weights = self._targets.weights_of(source, name, batch)
        return self._targets.of_last(weights, batch) if self._is_last(number) else weights

    def _solve(self, equations: NormalEquations, number: int, name: str) -> None:
        self._found.append(equations.solve(f"{self._spec.layers}.{number}.{name}"))


def _normed(layer: nn.Module, name: str | None, values: Tensor) -> Tensor:
    """Returns the values behind a layer's norm; as they are where there is none."""
    if name is None:
        return values
    normed: Tensor = layer.get_submodule(name)(values)
    return normed


def _linear(module: nn.Module, name: str) -> nn.Linear:
    dense = module.get_submodule(name)
    assert isinstance(dense, nn.Linear)
    return dense


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
        dense = _linear(model.merged.model, self._name)
        with torch.no_grad():
            self._outputs = dense(self._inputs(model.merged.model))

    def fit(self, model: PreTrainedModel) -> Fitted:
        """Fits the head's inner dense layer of a smaller model, in place."""
        inputs = self._inputs(model)
        held_out = torch.arange(len(inputs)) % round(1 / HELD_OUT) == 0
        dense = _linear(model, self._name)
        return fit_dense(dense, inputs, self._outputs, held_out, name=self._name)

    @torch.no_grad()
    def _inputs(self, model: PreTrainedModel) -> Tensor:
        """Returns the inputs of the layer, ``(texts, hidden)``."""
        read: list[Tensor] = []
        handle = _linear(model, self._name).register_forward_pre_hook(
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
