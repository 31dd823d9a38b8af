"""Importance: the squared gradient of each text's loss with respect to imagined masks."""

import copy

import numpy as np
import pytest
import torch
from torch.nn import functional

from edgeadapt.backbones import BACKBONES
from edgeadapt.data import Examples
from edgeadapt.models.inference import to_inputs
from edgeadapt.models.text_model import TextModel
from edgeadapt.recipe import Task
from edgeadapt.shrink.importance import importance_of
from tests.shrink.small import HEADS, NEURONS, examples, text_model

FEW = examples(6)


def loss_of(model: TextModel, text: str, label: int) -> float:
    (_, batch), *_ = model.encoder.batches([text], 1)
    torch_model = model.merged.model
    with torch.no_grad():
        logits = torch_model(**to_inputs(batch, torch_model)).logits.double()
    return float(functional.cross_entropy(logits, torch.tensor([label])))


def slope(model: TextModel, name: str, columns: slice, text: str, label: int) -> float:
    """The derivative of a text's loss when some inputs of a dense layer are scaled."""
    losses = []
    for factor in (1.01, 0.99):
        changed = copy.deepcopy(model)
        with torch.no_grad():
            changed.merged.model.get_submodule(name).weight[:, columns] *= factor
        losses.append(loss_of(changed, text, label))
    return (losses[0] - losses[1]) / 0.02


@pytest.mark.parametrize(
    ("part", "number"), [("head", 0), ("head", 3), ("neuron", 5), ("neuron", 95)]
)
def test_it_is_the_mean_squared_derivative_of_the_loss_when_the_part_is_scaled(
    part: str, number: int
) -> None:
    model = text_model()
    found = importance_of(model, FEW, Task.SINGLE_LABEL)

    layer = "bert.encoder.layer.1"
    name = f"{layer}.attention.output.dense" if part == "head" else f"{layer}.output.dense"
    columns = slice(4 * number, 4 * number + 4) if part == "head" else slice(number, number + 1)
    pairs = zip(FEW.texts, FEW.known_labels(), strict=True)
    slopes = [slope(model, name, columns, str(text), int(label)) for text, label in pairs]
    masks = found.heads[1] if part == "head" else found.neurons[1]
    assert float(masks[number]) == pytest.approx(np.mean(np.square(slopes)), rel=0.02)


@pytest.mark.parametrize("model_type", BACKBONES)
def test_every_head_and_neuron_of_every_layer_has_one(model_type: str) -> None:
    model = text_model(model_type)
    found = importance_of(model, FEW, Task.SINGLE_LABEL)

    layers = 1 if model_type == "albert" else 3
    assert [len(heads) for heads in found.heads] == [HEADS] * layers
    assert [len(neurons) for neurons in found.neurons] == [NEURONS] * layers
    assert all(bool(part.isfinite().all()) for part in (*found.heads, *found.neurons))


def test_a_neuron_that_nothing_reads_has_none() -> None:
    model = text_model()
    with torch.no_grad():
        model.merged.model.bert.encoder.layer[0].output.dense.weight[:, 7] = 0

    found = importance_of(model, FEW, Task.SINGLE_LABEL)

    assert float(found.neurons[0][7]) == 0
    assert int((found.neurons[0] == 0).sum()) == 1


def test_it_knows_whether_only_the_first_position_is_read() -> None:
    assert importance_of(text_model(), FEW, Task.SINGLE_LABEL).first_position
    means = text_model("modernbert", classifier_pooling="mean")
    assert not importance_of(means, FEW, Task.SINGLE_LABEL).first_position


def test_several_labels_per_text_have_a_loss_of_their_own() -> None:
    labels = np.stack([FEW.known_labels(), 1 - FEW.known_labels()], axis=1)
    several = Examples(FEW.texts, labels)

    found = importance_of(text_model(), several, Task.MULTI_LABEL)

    single = importance_of(text_model(), FEW, Task.SINGLE_LABEL)
    assert not torch.allclose(found.neurons[0], single.neurons[0])


def test_the_model_is_as_it_was() -> None:
    model = text_model()
    weights = copy.deepcopy(model.merged.model.state_dict())
    required = [parameter.requires_grad for parameter in model.merged.model.parameters()]

    importance_of(model, FEW, Task.SINGLE_LABEL)

    after = model.merged.model
    assert [parameter.requires_grad for parameter in after.parameters()] == required
    assert all(parameter.grad is None for parameter in after.parameters())
    assert all(torch.equal(weights[name], value) for name, value in after.state_dict().items())
