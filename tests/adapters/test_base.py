"""Where the parts of a backbone are, and what stands in the way of an adapter."""

import pytest
from torch import nn

from edgeadapt.adapters import Encoder
from edgeadapt.adapters.base import linear_at
from edgeadapt.backbones import backbone_spec
from edgeadapt.errors import ModelError
from tests.conftest import TINY_CONFIGS
from tests.models.tiny import LAYERS, make_model


def encoder_of(model_type: str) -> Encoder:
    return Encoder.of(make_model(model_type), backbone_spec(model_type))


@pytest.mark.parametrize("model_type", TINY_CONFIGS)
def test_every_weight_is_either_the_encoders_or_the_heads(model_type: str) -> None:
    encoder = encoder_of(model_type)

    assert {**encoder.pretrained, **encoder.head} == dict(encoder.model.named_parameters())
    assert not set(encoder.pretrained) & set(encoder.head)
    assert encoder.pretrained


@pytest.mark.parametrize("model_type", TINY_CONFIGS)
def test_the_classification_layer_belongs_to_the_head(model_type: str) -> None:
    encoder = encoder_of(model_type)

    assert any(parameter.shape[0] == 2 for parameter in encoder.head.values())
    assert all(
        parameter.shape[0] != 2 for parameter in encoder.pretrained.values() if parameter.ndim == 1
    )


def test_the_pooler_of_bert_is_trained_with_the_head() -> None:
    assert "bert.pooler.dense.weight" in encoder_of("bert").head


@pytest.mark.parametrize("model_type", TINY_CONFIGS)
def test_layers_come_first_to_last(model_type: str) -> None:
    encoder = encoder_of(model_type)
    prefix = f"{encoder.spec.layers}.1."

    last = {prefix + name: p for name, p in encoder.layers()[1].named_parameters()}

    assert len(encoder.layers()) == LAYERS
    assert last == {name: p for name, p in encoder.pretrained.items() if name.startswith(prefix)}


@pytest.mark.parametrize("model_type", TINY_CONFIGS)
@pytest.mark.parametrize("activation", ["gelu", "relu"])
def test_the_activation_is_the_configs(model_type: str, activation: str) -> None:
    spec = backbone_spec(model_type)
    model = make_model(model_type, **{spec.activation_key: activation})

    assert Encoder.of(model, spec).activation == activation


def test_a_dense_layer_is_found_by_its_dotted_name() -> None:
    layer = encoder_of("bert").layers()[0]

    assert linear_at(layer, "attention.output.dense") is layer.attention.output.dense


def test_anything_but_a_dense_layer_is_refused_with_place_and_type() -> None:
    layer = encoder_of("bert").layers()[0]

    with pytest.raises(
        ModelError, match=r"Expected an nn\.Linear at 'output'.*BertOutput"
    ) as caught:
        linear_at(layer, "output")

    assert "cannot be combined" in caught.value.hint


def test_a_subclass_that_is_a_dense_layer_will_do() -> None:
    class Special(nn.Linear):
        pass

    module = nn.ModuleDict({"dense": Special(2, 2)})

    assert linear_at(module, "dense") is module["dense"]
