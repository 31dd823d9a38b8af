"""How much each attention head and FFN neuron matters, once the others make up for it.

The second-order criterion of the Optimal Brain Surgeon (Hassibi and Stork 1993), for structures as
in ZipLM (https://arxiv.org/abs/2302.04089): the error of a sublayer's output after a head or neuron
is removed *and the remaining weights of its last dense layer are fitted anew*, in closed form. A
neuron that others can replace costs nothing, however large its output.

An error counts by what it does to the probabilities, so that those of different sublayers can be
compared: by the Fisher information of the sublayer's output, factored into inputs and outputs as in
K-FAC (Martens and Grosse 2015, https://arxiv.org/abs/1503.05671).
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from edgeadapt.backbones import backbone_spec
from edgeadapt.models.text_model import TextModel
from edgeadapt.runtime.resized import head_size
from edgeadapt.shrink.passes import Sublayer, layers_of, passes
from edgeadapt.text import Text

__all__ = ["Importance", "importance_of"]

_DAMPING = 1e-3
"""Regularization, relative to the mean square of the inputs."""
_NEURONS_AT_ONCE = 8
"""Neurons that are removed in one step: the order within is of no importance."""


@dataclass(frozen=True)
class Importance:
    """What removing each part adds to the error of its sublayer, when parts go in the best order.

    The errors are of one sublayer each, and never fall from one removed part to the next.
    """

    heads: tuple[Tensor, ...]
    """Of each layer, shape ``(heads,)``."""
    neurons: tuple[Tensor, ...]
    """Of each layer, shape ``(neurons,)``."""
    first_position: bool
    """Whether the logits depend only on the first position of the last layer's outputs."""


def importance_of(model: TextModel, texts: Sequence[Text]) -> Importance:
    """Computes the importance of every head and neuron of a merged model.

    Args:
        model: The model; its weights do not change.
        texts: Training texts.
    """
    torch_model = model.merged.model
    spec = backbone_spec(torch_model.config.model_type)
    moments: dict[tuple[int, str], _Moments] = defaultdict(_Moments)
    layers, first = layers_of(torch_model, spec), True
    for one in passes(model, texts):
        for place, sublayer in one.sublayers.items():
            moments[place].add(sublayer, one.present)
            if place == (len(layers) - 1, spec.ffn_out):
                first = first and not sublayer.slope[:, 1:].any()

    def of(number: int, name: str, size: int, at_once: int) -> Tensor:
        found, dense = moments.get((number, name)), layers[number].get_submodule(name)
        if found is None or not isinstance(dense, nn.Linear):
            return torch.zeros(0)
        weight = found.root_of_outputs() @ dense.weight.detach().double()
        return _removal_errors(found.inputs / len(texts), weight, size=size, at_once=at_once)

    size = head_size(torch_model)
    return Importance(
        tuple(of(n, spec.attention_output, size, 1) for n in range(len(layers))),
        tuple(of(n, spec.ffn_out, 1, _NEURONS_AT_ONCE) for n in range(len(layers))),
        first,
    )


@dataclass
class _Moments:
    """Sums over positions for a sublayer's last dense layer, whose product is the information."""

    inputs: Tensor = field(default_factory=lambda: torch.zeros(()))
    """Second moments of what it reads, weighted by the slope, ``(in_features, in_features)``."""
    gradients: Tensor = field(default_factory=lambda: torch.zeros(()))
    """Second moments of the gradient behind it, ``(out_features, out_features)``."""

    def add(self, sublayer: Sublayer, present: Tensor) -> None:
        """Adds a batch."""
        slope = sublayer.slope
        counts = present & (slope > 0)
        inputs, gradients = sublayer.inputs[counts], sublayer.gradient[counts]
        self.inputs = self.inputs + ((inputs * slope[counts][:, None]).T @ inputs).double()
        self.gradients = self.gradients + (gradients.T @ gradients).double()

    def root_of_outputs(self) -> Tensor:
        """Returns a root of the gradients' second moments, divided by their trace.

        The weighted inputs have that factor already.
        """
        values, vectors = torch.linalg.eigh(self.gradients)
        shares = values.clamp(min=0) / values.sum().clamp(min=torch.finfo(torch.double).tiny)
        root: Tensor = (vectors * shares.sqrt()).T
        return root


def _removal_errors(gram: Tensor, weight: Tensor, *, size: int, at_once: int) -> Tensor:
    """Returns the error that removing each part of a dense layer's inputs adds, ``(parts,)``.

    With the inverse ``H`` of the inputs' second moments, removing the inputs ``S`` adds the error
    ``tr(W_S H_SS⁻¹ W_Sᵀ)``; the other weights and ``H`` are then updated by block elimination.

    Args:
        gram: Weighted second moments of the inputs, ``(in_features, in_features)``.
        weight: Its outputs in coordinates in which all errors count alike, ``(out_features,
            in_features)``.
        size: Inputs of one part.
        at_once: Parts that are removed in one step.
    """
    left = torch.arange(len(gram) // size)
    scale, largest = float(gram.diagonal().mean()), 0.0
    errors = torch.zeros(len(left), dtype=torch.double)
    if scale <= 0:
        return errors
    inverse = torch.linalg.inv(gram + _DAMPING * scale * torch.eye(len(gram), dtype=torch.double))
    weights = weight.T.clone()
    while len(left):
        alone = _errors_alone(weights, inverse, size)
        removed = alone.argsort(stable=True)[:at_once]
        kept = torch.ones(len(left), dtype=torch.bool)
        kept[removed] = False
        going, staying = ~kept.repeat_interleave(size), kept.repeat_interleave(size)
        solved = torch.linalg.solve(
            inverse[going][:, going], torch.cat([weights[going], inverse[going][:, staying]], 1)
        )
        change, other = solved[:, : weights.shape[1]], solved[:, weights.shape[1] :]
        largest = max(largest, float((weights[going] * change).sum()) / len(removed))
        errors[left[removed]] = largest
        across = inverse[staying][:, going]
        weights = weights[staying] - across @ change
        inverse = inverse[staying][:, staying] - across @ other
        left = left[kept]
    return errors


def _errors_alone(weights: Tensor, inverse: Tensor, size: int) -> Tensor:
    """Returns the error that the removal of each part alone adds, ``(parts,)``."""
    parts = len(weights) // size
    own = torch.arange(parts)
    blocks = inverse.reshape(parts, size, parts, size)[own, :, own, :]
    rows = weights.reshape(parts, size, -1)
    errors: Tensor = (rows * torch.linalg.solve(blocks, rows)).sum((1, 2))
    return errors
