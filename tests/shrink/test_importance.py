"""Importance: the error that is left once the other heads or neurons make up for a removed one."""

import copy

import pytest
import torch
from torch import Tensor

from edgeadapt.backbones import BACKBONES, backbone_spec
from edgeadapt.models.text_model import TextModel
from edgeadapt.recipe import Task
from edgeadapt.runtime.resized import KeptWidths, resize
from edgeadapt.shrink.importance import Importance, importance_of
from edgeadapt.shrink.passes import passes
from tests.shrink.small import HEADS, NEURONS, examples, text_model

FEW = examples(24).texts


def rows_of(model: TextModel, layer: int, name: str) -> tuple[Tensor, Tensor]:
    """Inputs of a sublayer's last dense layer and the gradients behind it, one row per position."""
    inputs, gradients = [], []
    for one in passes(model, FEW):
        sublayer = one.sublayers[layer, name]
        inputs.append(sublayer.inputs[one.present])
        gradients.append(sublayer.gradient[one.present])
    return torch.cat(inputs).double(), torch.cat(gradients).double()


def least_error(model: TextModel, layer: int, name: str, removed: list[int]) -> float:
    """The error of the best fit without some inputs, by the normal equations.

    Rows count by their squared gradients, directions by the share that they have in all gradients.
    """
    inputs, gradients = rows_of(model, layer, name)
    weights, metric = gradients.square().sum(1), gradients.T @ gradients
    spec = backbone_spec(model.merged.model.config.model_type)
    dense = list(model.merged.model.get_submodule(spec.layers))[layer].get_submodule(name)
    gram = (inputs * weights[:, None]).T @ inputs / len(FEW)
    gram += 1e-3 * gram.diagonal().mean() * torch.eye(len(gram))
    weight = dense.weight.detach().double().T
    kept = [number for number in range(len(gram)) if number not in removed]
    change = -weight.clone()
    change[kept] = torch.linalg.solve(gram[kept][:, kept], gram[kept][:, removed] @ weight[removed])
    return float((change * (gram @ change @ metric / metric.trace())).sum())


@pytest.mark.parametrize("model_type", ["bert", "modernbert"])
def test_the_errors_of_the_first_removed_neurons_are_those_of_the_best_fit_without_them(
    model_type: str,
) -> None:
    model = text_model(model_type)
    found = importance_of(model, FEW).neurons[1]
    spec = backbone_spec(model_type)

    first = found.argsort(stable=True)[:8].tolist()

    assert sum(found[first].tolist()) == pytest.approx(
        least_error(model, 1, spec.ffn_out, first), rel=1e-3
    )


def test_the_error_of_the_first_removed_head_is_the_smallest_of_all() -> None:
    model = text_model()
    found = importance_of(model, FEW).heads[1]
    errors = [
        least_error(model, 1, "attention.output.dense", list(range(4 * n, 4 * n + 4)))
        for n in range(HEADS)
    ]

    assert int(found.argmin()) == errors.index(min(errors))
    assert float(found.min()) == pytest.approx(min(errors), rel=1e-3)


@pytest.mark.parametrize("model_type", BACKBONES)
def test_every_head_and_neuron_of_every_layer_has_one(model_type: str) -> None:
    found = importance_of(text_model(model_type), FEW)

    layers = 1 if model_type == "albert" else 3
    assert [len(heads) for heads in found.heads] == [HEADS] * layers
    assert [len(neurons) for neurons in found.neurons] == [NEURONS] * layers
    for part in (*found.heads, *found.neurons):
        assert bool((part >= 0).all())
        assert bool(part.isfinite().all())


def test_a_neuron_that_nothing_reads_is_removed_for_nothing() -> None:
    model = text_model()
    with torch.no_grad():
        model.merged.model.bert.encoder.layer[0].output.dense.weight[:, 7] = 0

    found = importance_of(model, FEW)

    assert 7 in found.neurons[0].argsort(stable=True)[:8]


def test_a_neuron_that_repeats_another_goes_early_whatever_it_adds() -> None:
    model = text_model()
    layer = model.merged.model.bert.encoder.layer[0]
    with torch.no_grad():
        layer.intermediate.dense.weight[5] = layer.intermediate.dense.weight[4]
        layer.intermediate.dense.bias[5] = layer.intermediate.dense.bias[4]
        layer.output.dense.weight[:, 5] *= 10

    order = importance_of(model, FEW).neurons[0].argsort(stable=True).tolist()

    assert min(order.index(4), order.index(5)) < NEURONS // 2
    assert max(order.index(4), order.index(5)) > NEURONS // 2


@pytest.mark.parametrize("task", Task)
def test_what_moves_all_logits_alike_counts_only_where_a_text_has_any_number_of_labels(
    task: Task,
) -> None:
    model = text_model(problem_type=task.problem_type)
    with torch.no_grad():
        model.merged.model.classifier.weight[:] = model.merged.model.classifier.weight[0].clone()

    found = importance_of(model, FEW)

    counts = [float(part.sum()) > 1e-9 for part in (*found.heads, *found.neurons)]
    assert counts == [task is Task.MULTI_LABEL] * 6


def test_it_knows_whether_only_the_first_position_is_read() -> None:
    assert importance_of(text_model(), FEW).first_position
    means = text_model("modernbert", classifier_pooling="mean")
    assert not importance_of(means, FEW).first_position


def test_sublayers_that_were_removed_have_none() -> None:
    model = text_model()
    smaller = copy.deepcopy(model.merged.model)
    whole = KeptWidths(None, None)
    resize(smaller, backbone_spec("bert"), [whole, KeptWidths([], []), whole])

    found: Importance = importance_of(TextModel(model.merged.resized(smaller), model.encoder), FEW)

    assert [len(part) for part in found.heads] == [HEADS, 0, HEADS]
    assert [len(part) for part in found.neurons] == [NEURONS, 0, NEURONS]


def test_the_model_is_as_it_was() -> None:
    model = text_model()
    weights = copy.deepcopy(model.merged.model.state_dict())
    required = [parameter.requires_grad for parameter in model.merged.model.parameters()]

    importance_of(model, FEW)

    after = model.merged.model
    assert [parameter.requires_grad for parameter in after.parameters()] == required
    assert all(parameter.grad is None for parameter in after.parameters())
    assert all(torch.equal(weights[name], value) for name, value in after.state_dict().items())
