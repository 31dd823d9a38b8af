"""Other rankings of heads and neurons than the package's, by the gradient of imagined masks."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgeadapt.backbones import backbone_spec
from edgeadapt.data import Examples
from edgeadapt.models.inference import to_inputs
from edgeadapt.models.text_model import TextModel
from edgeadapt.runtime.resized import head_size
from edgeadapt.shrink.importance import Importance
from edgeadapt.shrink.passes import layers_of

__all__ = ["CRITERIA"]

_BATCH = 32


def fisher(model: TextModel, examples: Examples) -> Importance:
    """The diagonal of the empirical Fisher information of the masks, as in Kwon et al. 2022.

    The mean over texts of the squared gradient of the loss (https://arxiv.org/abs/2204.09656).
    """
    return _importance(model, examples, lambda gradients: gradients.square())


def taylor(model: TextModel, examples: Examples) -> Importance:
    """The first-order criterion of Michel et al. 2019 (https://arxiv.org/abs/1905.10650).

    The mean over texts of the absolute gradient.
    """
    return _importance(model, examples, lambda gradients: gradients.abs())


def magnitude(model: TextModel, examples: Examples) -> Importance:
    """The squared norm of the weights that read a head or neuron; no text is needed."""
    spec, size = backbone_spec(model.merged.model.config.model_type), head_size(model.merged.model)
    layers = layers_of(model.merged.model, spec)

    def squares(layer: nn.Module, name: str, size: int) -> Tensor:
        weight = layer.get_submodule(name).get_parameter("weight").detach()
        return weight.square().sum(0).reshape(-1, size).sum(1)

    return Importance(
        tuple(squares(layer, spec.attention_output, size) for layer in layers),
        tuple(squares(layer, spec.ffn_out, 1) for layer in layers),
        first_position=True,
    )


CRITERIA: Mapping[str, Callable[[TextModel, Examples], Importance]] = {
    "Fisher information of masks": fisher,
    "first-order gradient of masks": taylor,
    "norm of the weights": magnitude,
}


def _importance(model: TextModel, examples: Examples, of: Callable[[Tensor], Tensor]) -> Importance:
    """Sums a function of each text's gradient with respect to each mask.

    The mask of an input of a dense layer has the gradient of the input times the input.
    """
    torch_model = model.merged.model
    spec, size = backbone_spec(torch_model.config.model_type), head_size(torch_model)
    layers = layers_of(torch_model, spec)
    labels = torch.from_numpy(examples.known_labels())
    inputs: dict[tuple[int, str], Tensor] = {}
    sums: dict[tuple[int, str], Tensor] = {}
    torch_model.requires_grad_(False)
    handles = []
    for number, layer in enumerate(layers):
        for name in (spec.attention_output, spec.ffn_out):
            dense = layer.get_submodule(name)
            if isinstance(dense, nn.Linear):

                def record(
                    _: nn.Module, given: tuple[Tensor, ...], place: tuple[int, str] = (number, name)
                ) -> None:
                    if not given[0].requires_grad:
                        given[0].requires_grad_(True)
                    given[0].retain_grad()
                    inputs[place] = given[0]

                handles.append(dense.register_forward_pre_hook(record))
    for rows, batch in model.encoder.batches(examples.texts, _BATCH):
        with torch.enable_grad():
            logits = torch_model(**to_inputs(batch, torch_model)).logits
            loss = functional.cross_entropy(logits, labels[torch.as_tensor(rows)], reduction="sum")
            torch.autograd.backward(loss)
        for place, values in inputs.items():
            assert values.grad is not None
            gradients = (values.detach() * values.grad).sum(1)
            if place[1] == spec.attention_output:
                gradients = gradients.reshape(len(rows), -1, size).sum(2)
            sums[place] = sums.get(place, torch.zeros(1)) + of(gradients).sum(0)
    for handle in handles:
        handle.remove()
    none = torch.zeros(0)
    return Importance(
        tuple(sums.get((n, spec.attention_output), none) for n in range(len(layers))),
        tuple(sums.get((n, spec.ffn_out), none) for n in range(len(layers))),
        first_position=True,
    )
