"""Layers that share weights get separate copies, with the same logits."""

from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from edgeadapt.backbones import backbone_spec
from edgeadapt.errors import ModelError
from edgeadapt.models.classifier import load_stock
from edgeadapt.models.unshare import unshare
from edgeadapt.recipe import AdapterConfig
from tests.models.tiny import adapt, logits, make_model

SPEC = backbone_spec("albert")
PREFIX = "albert.encoder.albert_layer_groups"


def albert(groups: int = 1, **config: object) -> PreTrainedModel:
    return make_model("albert", num_hidden_layers=4, num_hidden_groups=groups, **config)


def layer_weights(model: PreTrainedModel, layer: int) -> dict[str, Tensor]:
    return dict(model.get_submodule(f"{PREFIX}.{layer}").named_parameters())


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_the_answers_stay_the_same(groups: int) -> None:
    model = albert(groups)
    expected = logits(model)

    unshared = unshare(model, SPEC)

    assert torch.equal(logits(unshared), expected)


@pytest.mark.parametrize(("groups", "used"), [(1, [0, 0, 0, 0]), (2, [0, 0, 1, 1])])
def test_every_layer_gets_a_copy_of_the_weights_it_used(groups: int, used: list[int]) -> None:
    model = albert(groups)

    unshared = unshare(model, SPEC)

    for layer, group in enumerate(used):
        copied, original = layer_weights(unshared, layer), layer_weights(model, group)
        assert copied.keys() == original.keys()
        assert all(torch.equal(copied[name], original[name]) for name in original)


@pytest.mark.parametrize("groups", [1, 2])
def test_every_layer_has_weights_of_its_own(groups: int) -> None:
    unshared = unshare(albert(groups), SPEC)
    before = [{n: p.clone() for n, p in layer_weights(unshared, k).items()} for k in range(4)]

    for parameter in layer_weights(unshared, 2).values():
        parameter.data += 1

    for layer in range(4):
        for name, parameter in layer_weights(unshared, layer).items():
            assert torch.equal(parameter, before[layer][name]) is (layer != 2), name


@pytest.mark.parametrize("groups", [1, 2])
def test_the_model_grows_by_the_copies(groups: int) -> None:
    model = albert(groups)
    layer = sum(p.numel() for p in layer_weights(model, 0).values())

    grown = unshare(model, SPEC).num_parameters() - model.num_parameters()

    assert grown == (4 - groups) * layer


def test_the_result_is_a_stock_model_that_plain_transformers_loads(tmp_path: Path) -> None:
    model = albert(2)
    unshared = unshare(model, SPEC)

    unshared.save_pretrained(tmp_path)

    loaded = load_stock(tmp_path)
    assert type(loaded) is type(unshared) is type(model)
    assert loaded.config.num_hidden_groups == loaded.config.num_hidden_layers == 4
    assert torch.equal(logits(loaded), logits(model))


def test_a_model_whose_layers_share_nothing_is_returned_as_it_is() -> None:
    model = albert(4)

    assert unshare(model, SPEC) is model


def test_the_given_model_still_shares() -> None:
    model = albert()

    unshare(model, SPEC)

    assert model.config.num_hidden_groups == 1
    assert len(model.get_submodule(PREFIX)) == 1


@pytest.mark.parametrize("training", [True, False])
def test_type_and_mode_stay(training: bool) -> None:
    unshared = unshare(albert().double().train(training), SPEC)

    assert {parameter.dtype for parameter in unshared.parameters()} == {torch.float64}
    assert {module.training for module in unshared.modules()} == {training}


@pytest.mark.parametrize("method", ["parallel", "houlsby", "lora+bitfit", "ia3"])
def test_groups_of_several_layers_are_refused(method: str) -> None:
    with pytest.raises(ModelError, match="Groups of 2 layers cannot be separated") as caught:
        adapt(albert(inner_group_num=2), AdapterConfig(method=method))

    assert "inner_group_num = 1" in str(caught.value)
    assert "--method bitfit, head or full" in caught.value.hint


@pytest.mark.parametrize("method", ["bitfit", "layernorm", "head", "full", "bitfit+head"])
@pytest.mark.parametrize("inner", [1, 2])
def test_what_trains_in_place_leaves_layers_shared(method: str, inner: int) -> None:
    model = albert(inner_group_num=inner)

    classifier = adapt(model, AdapterConfig(method=method))

    assert classifier.model is model
    assert classifier.unshared_parameters == 0


@pytest.mark.parametrize("method", ["parallel", "ia3+bitfit", "compacter"])
def test_what_is_attached_per_layer_tells_layers_apart(method: str) -> None:
    classifier = adapt(albert(), AdapterConfig(method=method))

    assert classifier.model.config.num_hidden_groups == 4
    assert [layer.number for layer in classifier.backbone.layers()] == [0, 1, 2, 3]
