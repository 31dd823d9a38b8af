"""Importance of attention heads and FFN neurons: how much the task's loss depends on each.

A mask of ones is imagined on the outputs of every head and neuron. To second order, removing one
raises the loss by half the mask's curvature, which is approximated by the diagonal of the empirical
Fisher information: the mean of the squared gradient of a text's loss with respect to the mask
(Kwon et al. 2022, arXiv 2204.09656). One forward and one backward pass over some training text
give all of them.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel

from edgeadapt.backbones import BackboneSpec, backbone_spec
from edgeadapt.data import Examples
from edgeadapt.models.inference import EVALUATION_BATCH, to_inputs
from edgeadapt.models.text_model import TextModel
from edgeadapt.recipe import Task
from edgeadapt.runtime.resized import head_size

__all__ = ["Importance", "importance_of"]


@dataclass(frozen=True)
class Importance:
    """Mean squared gradient of a text's loss with respect to each mask; not negative."""

    heads: tuple[Tensor, ...]
    """Of each layer, shape ``(heads,)``."""
    neurons: tuple[Tensor, ...]
    """Of each layer, shape ``(neurons,)``."""
    first_position: bool
    """Whether the loss depends only on the first position of the last layer's outputs."""


def importance_of(model: TextModel, examples: Examples, task: Task) -> Importance:
    """Computes the importance of every head and neuron of a merged model.

    Args:
        model: The model; its weights do not change.
        examples: Training texts with labels.
        task: How many labels a text has.
    """
    torch_model = model.merged.model
    spec = backbone_spec(torch_model.config.model_type)
    layers = list(torch_model.get_submodule(spec.layers).children())
    heads = [torch.zeros(0)] * len(layers)
    neurons = [torch.zeros(0)] * len(layers)
    first = True
    labels = torch.from_numpy(examples.known_labels())
    with _recorded(torch_model, spec, layers) as inputs:
        for rows, batch in model.encoder.batches(examples.texts, EVALUATION_BATCH):
            inputs.clear()
            with torch.enable_grad():
                logits = torch_model(**to_inputs(batch, torch_model)).logits
                loss = _loss(logits, labels[torch.as_tensor(rows)], task)
                torch.autograd.backward(loss)
            for (number, sublayer), values in inputs.items():
                by_position = _by_position(values)
                if sublayer == spec.attention_output:
                    by_head = by_position.sum(1).reshape(len(rows), -1, head_size(torch_model))
                    heads[number] = _added(heads[number], by_head.sum(2))
                else:
                    neurons[number] = _added(neurons[number], by_position.sum(1))
                    if number == len(layers) - 1:
                        first = first and not by_position[:, 1:].any()
    count = len(examples)
    return Importance(tuple(h / count for h in heads), tuple(n / count for n in neurons), first)


@contextmanager
def _recorded(
    model: PreTrainedModel, spec: BackboneSpec, layers: Sequence[nn.Module]
) -> Iterator[dict[tuple[int, str], Tensor]]:
    """Records the inputs of each sublayer's last dense layer, whose gradients are kept."""
    inputs: dict[tuple[int, str], Tensor] = {}

    def record(place: tuple[int, str], _: nn.Module, tensors: tuple[Tensor, ...]) -> None:
        tensor = tensors[0]
        if not tensor.requires_grad:  # the first one: the weights do not require a gradient
            tensor.requires_grad_(True)
        tensor.retain_grad()
        inputs[place] = tensor

    required = [parameter for parameter in model.parameters() if parameter.requires_grad]
    model.requires_grad_(False)
    handles = [
        dense.register_forward_pre_hook(partial(record, (number, sublayer)))
        for number, layer in enumerate(layers)
        for sublayer in (spec.attention_output, spec.ffn_out)
        if isinstance(dense := layer.get_submodule(sublayer), nn.Linear)
    ]
    try:
        yield inputs
    finally:
        for handle in handles:
            handle.remove()
        for parameter in required:
            parameter.requires_grad_(True)


def _by_position(values: Tensor) -> Tensor:
    """Returns the gradient of each value's mask at each position, ``(batch, seq, width)``."""
    assert values.grad is not None
    return values.detach() * values.grad


def _added(total: Tensor, gradients: Tensor) -> Tensor:
    """Adds squared gradients, ``(batch, width)``, to a sum that may still be empty."""
    squares = gradients.square().sum(0)
    return total + squares if len(total) else squares


def _loss(logits: Tensor, labels: Tensor, task: Task) -> Tensor:
    """Returns the summed loss, so that each text's gradient is its own."""
    if task is Task.MULTI_LABEL:
        return functional.binary_cross_entropy_with_logits(logits, labels.float(), reduction="sum")
    return functional.cross_entropy(logits, labels, reduction="sum")
