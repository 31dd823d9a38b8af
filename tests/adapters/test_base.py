"""Parts of a backbone, selection of layers, and what remains after folding."""

from functools import cache

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from edgeadapt.adapters import BackboneModel, Kept, Reads
from edgeadapt.adapters.parts import dense
from edgeadapt.backbones import backbone_spec
from edgeadapt.errors import ModelError
from tests.adapters.formulas import random
from tests.conftest import TINY_CONFIGS
from tests.models.tiny import LAYERS, make_model

pytestmark = pytest.mark.transformers5


def encoder_of(model_type: str, **config: object) -> BackboneModel:
    return BackboneModel.of(make_model(model_type, **config), backbone_spec(model_type))


@cache
def six_layers() -> BackboneModel:
    return encoder_of("bert", num_hidden_layers=6)


def chosen(selection: str | None) -> list[int]:
    return [layer.number for layer in six_layers().layers(selection)]


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


@pytest.mark.parametrize("model_type", ["bert", "albert"])
def test_a_pooler_is_trained_with_the_head(model_type: str) -> None:
    assert any("pooler" in name for name in encoder_of(model_type).head)


@pytest.mark.parametrize("model_type", sorted(set(TINY_CONFIGS) - {"albert"}))
def test_layers_come_first_to_last_under_their_names(model_type: str) -> None:
    encoder = encoder_of(model_type)

    layers = encoder.layers()

    assert [layer.number for layer in layers] == list(range(LAYERS))
    for layer in layers:
        assert layer.path == f"{encoder.spec.layers}.{layer.number}"
        assert layer.module is encoder.model.get_submodule(layer.path)


def test_layers_that_share_their_weights_are_one() -> None:
    assert len(encoder_of("albert").layers()) == 1


@pytest.mark.parametrize("model_type", TINY_CONFIGS)
@pytest.mark.parametrize("activation", ["gelu", "relu"])
def test_the_activation_is_the_configs(model_type: str, activation: str) -> None:
    key = backbone_spec(model_type).activation_key

    assert encoder_of(model_type, **{key: activation}).activation == activation


@pytest.mark.parametrize(
    ("selection", "numbers"),
    [
        (None, [0, 1, 2, 3, 4, 5]),
        ("0", [0]),
        ("5", [5]),
        ("2-4", [2, 3, 4]),
        ("0,2-4", [0, 2, 3, 4]),
        ("4,0-1", [0, 1, 4]),
        ("3-3", [3]),
        ("1,1,0-2", [0, 1, 2]),
    ],
)
def test_numbers_and_ranges_choose_layers_once_and_first_to_last(
    selection: str | None, numbers: list[int]
) -> None:
    assert chosen(selection) == numbers


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)).map(sorted), min_size=1))
def test_a_choice_is_the_union_of_its_ranges(ranges: list[list[int]]) -> None:
    expected = {number for first, last in ranges for number in range(6) if first <= number <= last}

    assert chosen(",".join(f"{first}-{last}" for first, last in ranges)) == sorted(expected)


@pytest.mark.parametrize("selection", ["6", "0,6", "4-6", "4-3", "0,4-3", "0-99999999999"])
def test_a_choice_beyond_the_last_layer_is_refused_with_those_that_exist(selection: str) -> None:
    with pytest.raises(ModelError, match="expected numbers from 0 to 5") as caught:
        chosen(selection)

    assert f"Adapter layers {selection}:" in str(caught.value)


def kept(*, up_bias: bool, norm: nn.LayerNorm | None = None) -> Kept:
    return Kept(
        layer="encoder.layer.0",
        sublayer="ffn",
        reads=Reads.NORMED if norm else Reads.OUTPUT,
        down=dense(random(3, 8), random(3)),
        activation="tanh",
        up=dense(random(8, 3), random(8) * up_bias),
        norm=norm,
    )


def test_biases_that_were_folded_away_cost_nothing() -> None:
    assert kept(up_bias=True).parameters == 2 * 8 * 3 + 3 + 8
    assert kept(up_bias=False).parameters == 2 * 8 * 3 + 3
    assert kept(up_bias=True).macs_per_token == kept(up_bias=False).macs_per_token == 2 * 8 * 3


@pytest.mark.parametrize("up_bias", [True, False])
@pytest.mark.parametrize("norm", [nn.LayerNorm(8).double(), None])
def test_what_is_kept_is_a_module_of_stock_layers(up_bias: bool, norm: nn.LayerNorm | None) -> None:
    bottleneck, hidden = kept(up_bias=up_bias, norm=norm), random(2, 5, 8)

    module = bottleneck.module()

    read = F.layer_norm(hidden, (8,)) if norm else hidden
    inner = torch.tanh(read @ bottleneck.down.weight.T + bottleneck.down.bias)
    expected = inner @ bottleneck.up.weight.T + bottleneck.up.bias
    torch.testing.assert_close(module(hidden), expected, rtol=0, atol=1e-12)
    biases = [each.bias is not None for each in module if isinstance(each, nn.Linear)]
    assert biases == [True, up_bias]
