"""Models whose layers have different widths: cut a stock model, describe it, build it again.

A layer without heads or neurons keeps the bias of the sublayer's last dense layer, and computes
nothing else of that sublayer.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedModel

from edgeadapt.backbones import BackboneSpec, HeadModule
from edgeadapt.errors import ModelError
from edgeadapt.store.structure import Structure

__all__ = [
    "BiasAlone",
    "KeptWidths",
    "check_structure",
    "head_size",
    "keep_layers",
    "resize",
    "shaped",
    "structure_of",
    "unequal_structure",
]

_NO_HEADS = "The attention heads of {} models cannot be pruned: each has its relative positions."
_NO_HEADS_HINT = "Prune neurons or layers instead, or choose another backbone."
_SHARED = "The layers of {} models cannot have different widths: they share one set of weights."
_SHARED_HINT = "Remove layers instead, or choose another backbone."


@dataclass(frozen=True)
class KeptWidths:
    """What a layer keeps. Numbers count from 0 within the layer as it is before."""

    heads: Sequence[int] | None = None
    """Attention heads, in their new order; ``None`` for all."""
    neurons: Sequence[int] | None = None
    """FFN neurons, in their new order; ``None`` for all."""


class BiasAlone(nn.Module):
    """A dense layer without inputs.

    Its output is not expanded to the shape ``(batch, seq, hidden)``: what follows is a sum, and
    expanding would add nodes to an ONNX graph.

    Args:
        bias: ``(hidden,)``.
    """

    def __init__(self, bias: Tensor) -> None:
        super().__init__()
        self.bias = nn.Parameter(bias)

    def forward(self, hidden: Tensor | None = None) -> Tensor:
        """Returns the bias, ``(hidden,)``."""
        return self.bias


class NoNeurons(nn.Module):
    """The first dense layer of an FFN without neurons."""

    def forward(self, hidden: Tensor) -> Tensor:
        """Returns ``(batch, seq, 0)``; no graph holds it, as ``BiasAlone`` does not read it."""
        return hidden[..., :0]


class NoHeads(nn.Module):
    """Attention without heads.

    Args:
        name: Dotted name of the dense layer that ends the sublayer, if it belongs to the module.
        last: That layer.
    """

    def __init__(self, name: str | None, last: BiasAlone) -> None:
        super().__init__()
        self._name = name
        if name is not None:
            self.add_module(name, last)

    def forward(
        self, hidden: Tensor | None = None, *_: object, **__: object
    ) -> tuple[Tensor | None, None]:
        """Returns the sublayer's bias, or ``(batch, seq, 0)`` for the dense layer behind it."""
        if self._name is not None:
            bias: Tensor = self.get_submodule(self._name)()
            return bias, None
        return (None if hidden is None else hidden[..., :0]), None


def structure_of(model: PreTrainedModel, spec: BackboneSpec) -> Structure:
    """Returns the widths of a stock or resized model.

    Raises:
        ModelError: A layer is neither stock nor resized, as where adapters are attached.
    """
    layers = list(model.get_submodule(spec.layers).children())
    depth = int(getattr(model.config, spec.depth_key))
    repeated = [layers[number * len(layers) // depth] for number in range(depth)]
    return Structure(
        heads=tuple(_heads(layer, model, spec) for layer in repeated),
        neurons=tuple(_neurons(layer, spec) for layer in repeated),
    )


def unequal_structure(model: PreTrainedModel, spec: BackboneSpec) -> Structure | None:
    """Returns the widths of a model that its config cannot describe; ``None`` for a stock model."""
    structure = structure_of(model, spec)
    return None if structure.is_stock(heads=int(model.config.num_attention_heads)) else structure


def resize(model: PreTrainedModel, spec: BackboneSpec, kept: Sequence[KeptWidths]) -> None:
    """Keeps the given heads and neurons of each layer, in place.

    The config gets the FFN's new width where all layers have the same one.

    Args:
        model: A stock or resized model, without adapters.
        spec: The names of its parts.
        kept: What to keep of each layer, first to last.

    Raises:
        ModelError: The backbone's layers cannot have different widths, or a layer has no such head
            or neuron. The model is unchanged then.
    """
    structure = structure_of(model, spec)
    _check_resizable(spec, structure, kept)
    layers = model.get_submodule(spec.layers).children()
    with torch.no_grad():
        for layer, widths in zip(layers, kept, strict=True):
            if widths.heads is not None:
                _keep_heads(layer, spec, list(widths.heads), head_size(model))
            if widths.neurons is not None:
                _keep_neurons(layer, spec, list(widths.neurons))
    _describe_widths(model, spec)


def shaped(model: PreTrainedModel, spec: BackboneSpec, structure: Structure) -> None:
    """Gives a stock model the widths of a resized one, in place, to load its weights.

    Args:
        model: A stock model, at least as wide and exactly as deep.
        spec: The names of its parts.
        structure: The widths.

    Raises:
        ModelError: The model does not have these layers, heads or neurons, or its backbone's layers
            cannot have different widths.
    """
    config = model.config
    check_structure(structure, config, spec)
    every = int(config.num_attention_heads)
    kept = [
        KeptWidths(None if heads == every else range(heads), range(neurons))
        for heads, neurons in zip(structure.heads, structure.neurons, strict=True)
    ]
    resize(model, spec, kept)


def check_structure(structure: Structure, config: PretrainedConfig, spec: BackboneSpec) -> None:
    """Checks that a structure is that of a resized model of this configuration.

    Raises:
        ModelError: It has other layers, or more heads or neurons than those, or the backbone's
            layers cannot have different widths.
    """
    depth = int(getattr(config, spec.depth_key))
    if structure.depth != depth:
        raise ModelError(
            f"structure: expected {depth} layers, the {spec.depth_key} of config.json, found "
            f"{structure.depth}."
        )
    if spec.groups_key is not None:
        raise ModelError(_SHARED.format(spec.model_type), hint=_SHARED_HINT)
    for name, counts, key in (
        ("heads", structure.heads, "num_attention_heads"),
        ("neurons", structure.neurons, spec.intermediate_key),
    ):
        most = int(getattr(config, key))
        for number, count in enumerate(counts):
            if count > most:
                raise ModelError(
                    f"structure: {name}.{number}: expected at most {most:,}, the {key} of "
                    f"config.json, found {count:,}."
                )
            if name == "heads" and count != most and spec.attention is None:
                raise ModelError(_NO_HEADS.format(spec.model_type), hint=_NO_HEADS_HINT)


def keep_layers(model: PreTrainedModel, spec: BackboneSpec, kept: Sequence[int]) -> None:
    """Removes all other layers, in place, and updates the config.

    Args:
        model: A stock or resized model.
        spec: The names of its parts.
        kept: The numbers of the layers to keep, ascending; where layers share weights, the first
            ones.

    Raises:
        ModelError: The model has no such layers, or layers share weights in groups that would be
            cut.
    """
    config, layers = model.config, model.get_submodule(spec.layers)
    assert isinstance(layers, nn.ModuleList)
    found, depth = int(getattr(config, spec.depth_key)), len(kept)
    if not 1 <= depth <= found or not set(kept) <= set(range(found)):
        raise ModelError(
            f"{depth} layers: expected 1 to {found}, the layers of this {spec.model_type} model."
        )
    if spec.groups_key is not None:
        before = int(getattr(config, spec.groups_key))
        if before > 1 and depth * before % found:
            raise ModelError(
                f"{depth} layers: expected a multiple of {found // before}, because layers share "
                f"weights in {before} groups.",
            )
        groups = max(depth * before // found, 1)
        setattr(config, spec.groups_key, groups)
        del layers[groups:]
    else:
        for number in sorted(set(range(found)) - set(kept), reverse=True):
            del layers[number]
    setattr(config, spec.depth_key, depth)
    if getattr(config, "layer_types", None):
        # transformers 5 lists a type per layer and refuses a list of another length.
        config.layer_types = [config.layer_types[number] for number in kept]
    _describe_widths(model, spec)


def head_size(model: PreTrainedModel) -> int:
    """Returns the width of one attention head."""
    config = model.config
    return int(config.hidden_size) // int(config.num_attention_heads)


def _describe_widths(model: PreTrainedModel, spec: BackboneSpec) -> None:
    """Writes the FFN's width into the config where all layers have the same one."""
    neurons = set(structure_of(model, spec).neurons)
    if len(neurons) == 1 and neurons != {0}:
        setattr(model.config, spec.intermediate_key, neurons.pop())


def _heads(layer: nn.Module, model: PreTrainedModel, spec: BackboneSpec) -> int:
    if spec.attention is None:
        return int(model.config.num_attention_heads)
    if isinstance(layer.get_submodule(spec.attention.module), NoHeads):
        return 0
    query = _linear(layer, spec.query.dense)
    return query.out_features // spec.query.blocks // head_size(model)


def _neurons(layer: nn.Module, spec: BackboneSpec) -> int:
    if isinstance(layer.get_submodule(spec.ffn_out), BiasAlone):
        return 0
    return _linear(layer, spec.ffn_out).in_features


def _check_resizable(spec: BackboneSpec, structure: Structure, kept: Sequence[KeptWidths]) -> None:
    if spec.groups_key is not None:
        raise ModelError(_SHARED.format(spec.model_type), hint=_SHARED_HINT)
    if len(kept) != structure.depth:
        raise ModelError(
            f"Widths of {len(kept)} layers: expected those of all {structure.depth} layers."
        )
    for number, widths in enumerate(kept):
        if widths.heads is not None and spec.attention is None:
            raise ModelError(_NO_HEADS.format(spec.model_type), hint=_NO_HEADS_HINT)
        _check_numbers("heads", widths.heads, structure.heads[number], layer=number)
        _check_numbers("neurons", widths.neurons, structure.neurons[number], layer=number)


def _check_numbers(name: str, kept: Sequence[int] | None, count: int, *, layer: int) -> None:
    if kept is None:
        return
    wrong = [number for number in kept if not 0 <= number < count]
    if wrong or len(set(kept)) != len(kept):
        found = f"{wrong[0]}" if wrong else "one of them twice"
        raise ModelError(
            f"The {name} to keep of layer {layer}: expected different numbers from 0 to below "
            f"{count}, found {found}."
        )


def _keep_heads(layer: nn.Module, spec: BackboneSpec, heads: list[int], size: int) -> None:
    place = spec.attention
    assert place is not None  # checked before
    if isinstance(layer.get_submodule(place.module), NoHeads):
        return
    if not heads:
        _remove_attention(layer, spec, place)
        return
    inputs = torch.tensor([head * size + row for head in heads for row in range(size)])
    starts: dict[str, list[int]] = {}
    for projection in (spec.query, spec.key, spec.value):
        start = projection.rows(_linear(layer, projection.dense).out_features).start
        starts.setdefault(projection.dense, []).append(start)
    for name, blocks in starts.items():
        rows = torch.cat([inputs + start for start in sorted(blocks)])
        layer.set_submodule(name, _rows(_linear(layer, name), rows))
    last = _linear(layer, spec.attention_output)
    layer.set_submodule(spec.attention_output, _columns(last, inputs))
    module = layer.get_submodule(place.module)
    for attribute, value in ((place.count, len(heads)), (place.width, len(inputs))):
        if hasattr(module, attribute):
            setattr(module, attribute, value)


def _remove_attention(layer: nn.Module, spec: BackboneSpec, place: HeadModule) -> None:
    last = _bias_of(_linear(layer, spec.attention_output))
    inside = f"{place.module}."
    if spec.attention_output.startswith(inside):
        name = spec.attention_output.removeprefix(inside)
        layer.set_submodule(place.module, NoHeads(name, last))
    else:
        layer.set_submodule(place.module, NoHeads(None, last))
        layer.set_submodule(spec.attention_output, last)


def _keep_neurons(layer: nn.Module, spec: BackboneSpec, neurons: list[int]) -> None:
    if isinstance(layer.get_submodule(spec.ffn_out), BiasAlone):
        return
    first, last = _linear(layer, spec.ffn_in), _linear(layer, spec.ffn_out)
    if not neurons:
        layer.set_submodule(spec.ffn_in, NoNeurons())
        layer.set_submodule(spec.ffn_out, _bias_of(last))
        return
    inputs = torch.tensor(neurons)
    # A gated FFN has two rows per neuron: [a ; g].
    rows = inputs if spec.gate_bias_key is None else torch.cat([inputs, inputs + last.in_features])
    layer.set_submodule(spec.ffn_in, _rows(first, rows))
    layer.set_submodule(spec.ffn_out, _columns(last, inputs))


def _linear(layer: nn.Module, name: str) -> nn.Linear:
    module = layer.get_submodule(name)
    if not isinstance(module, nn.Linear):
        raise ModelError(
            f"{name} is a {type(module).__name__}: expected a dense layer of a stock model.",
            hint="Merge the adapters before layers are resized.",
        )
    return module


def _rows(dense: nn.Linear, rows: Tensor) -> nn.Linear:
    """The layer with only these outputs."""
    return _dense(dense.weight[rows], None if dense.bias is None else dense.bias[rows])


def _columns(dense: nn.Linear, columns: Tensor) -> nn.Linear:
    """The layer with only these inputs."""
    return _dense(dense.weight[:, columns], dense.bias)


def _dense(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    linear = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
    linear.weight = nn.Parameter(weight)
    if bias is not None:
        linear.bias = nn.Parameter(bias)
    return linear


def _bias_of(dense: nn.Linear) -> BiasAlone:
    """A layer without bias becomes one of zeros, so that every model has the same tensors."""
    bias = dense.bias
    return BiasAlone(dense.weight.new_zeros(dense.out_features) if bias is None else bias)
