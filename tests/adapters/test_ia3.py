"""(IA)³: factors on keys, values and the FFN's inner neurons."""

import pytest
import torch
from torch import nn

from edgeadapt.adapters.parts import Part
from edgeadapt.recipe import AdapterConfig
from tests.adapters.formulas import plain, random
from tests.conftest import TINY_CONFIGS
from tests.models.tiny import (
    HIDDEN,
    INTERMEDIATE,
    LAYERS,
    adapt,
    logits,
    make_model,
    place,
    randomized,
)

pytestmark = pytest.mark.transformers5

CONFIG = AdapterConfig(method="ia3")


@pytest.mark.parametrize("model_type", TINY_CONFIGS)
def test_parameters_are_one_factor_per_key_value_and_inner_neuron(model_type: str) -> None:
    parameters = adapt(make_model(model_type), CONFIG).adapter_parameters()

    assert {name: tuple(parameter.shape) for name, parameter in parameters.items()} == {
        f"ia3.layers.{layer}.{name}": (width,)
        for layer in range(LAYERS)
        for name, width in (("key", HIDDEN), ("value", HIDDEN), ("ffn", INTERMEDIATE))
    }


def test_factors_start_at_1() -> None:
    for parameter in adapt(make_model("bert"), CONFIG).adapter_parameters().values():
        assert (parameter == 1).all()


@pytest.mark.parametrize("folded", [False, True])
@pytest.mark.parametrize("model_type", TINY_CONFIGS)
def test_keys_and_values_are_multiplied_and_queries_are_not(model_type: str, folded: bool) -> None:
    classifier = randomized(model_type, CONFIG)
    parameters = dict(classifier.adapter_parameters())
    spec, hidden = classifier.backbone.spec, random(2, 3, HIDDEN)
    factors = {
        spec.query: torch.ones(HIDDEN),
        spec.key: parameters["ia3.layers.1.key"].detach(),
        spec.value: parameters["ia3.layers.1.value"].detach(),
    }

    if folded:
        classifier.adapters["ia3"].fold()

    for projection, factor in factors.items():
        rows = slice(projection.block * HIDDEN, (projection.block + 1) * HIDDEN)
        expected = plain(model_type, projection.dense, 1)(hidden)[..., rows] * factor
        found = place(classifier, projection.dense, 1)(hidden)[..., rows]
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("folded", [False, True])
@pytest.mark.parametrize("model_type", TINY_CONFIGS)
def test_inner_neurons_of_the_ffn_are_multiplied(model_type: str, folded: bool) -> None:
    classifier = randomized(model_type, CONFIG)
    factor = classifier.adapter_parameters()["ia3.layers.0.ffn"].detach()
    name, inner = classifier.backbone.spec.ffn_out, random(2, 3, INTERMEDIATE)

    if folded:
        classifier.adapters["ia3"].fold()

    expected = plain(model_type, name)(factor * inner)
    torch.testing.assert_close(place(classifier, name)(inner), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("model_type", TINY_CONFIGS)
def test_folding_leaves_stock_dense_layers_and_nothing_stays(model_type: str) -> None:
    classifier = randomized(model_type, CONFIG)
    spec = classifier.backbone.spec

    kept = classifier.adapters["ia3"].fold()

    assert list(kept) == []
    assert not [module for module in classifier.model.modules() if isinstance(module, Part)]
    for name in (spec.key.dense, spec.value.dense, spec.ffn_out):
        assert type(place(classifier, name)) is nn.Linear
        assert place(classifier, name).weight.shape == plain(model_type, name).weight.shape


def test_only_the_chosen_layers_get_factors() -> None:
    classifier = adapt(make_model("bert"), AdapterConfig(method="ia3", layers="1"))

    assert {name.split(".")[2] for name in classifier.adapter_parameters()} == {"1"}


def test_folding_twice_multiplies_once() -> None:
    classifier = randomized("bert", CONFIG)
    expected = logits(classifier.model)

    classifier.adapters["ia3"].fold()
    classifier.adapters["ia3"].fold()

    torch.testing.assert_close(logits(classifier.model), expected, rtol=0, atol=1e-10)
