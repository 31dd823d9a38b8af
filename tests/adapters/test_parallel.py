"""The parallel adapter: beside the FFN while training, part of it when folded."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from edgeadapt.adapters import Leftover
from edgeadapt.config import AdapterConfig
from edgeadapt.errors import ModelError
from edgeadapt.models.classifier import AdaptedClassifier
from edgeadapt.models.sources import ModelSource
from edgeadapt.training.loop import seeded
from tests.conftest import TINY_CONFIGS
from tests.models.tiny import (
    HIDDEN,
    INTERMEDIATE,
    LABELS,
    LAYERS,
    adapt,
    logits,
    make_model,
    randomize,
)

CONFIG = AdapterConfig(method="parallel", dimension=5, scaling=2.5)


def ffn(classifier: AdaptedClassifier, layer: int = 0) -> tuple[nn.Module, nn.Module]:
    """What is where the two dense layers of an FFN are."""
    spec, module = classifier.encoder.spec, classifier.encoder.layers()[layer]
    return module.get_submodule(spec.ffn_in), module.get_submodule(spec.ffn_out)


@pytest.mark.parametrize("model_type", TINY_CONFIGS)
def test_at_step_0_the_logits_are_the_backbones(model_type: str) -> None:
    expected = logits(make_model(model_type))

    adapted = adapt(make_model(model_type), CONFIG)

    torch.testing.assert_close(logits(adapted.model), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("model_type", TINY_CONFIGS)
def test_at_step_0_a_built_classifier_answers_like_one_without_adapters(
    sources: dict[str, ModelSource], model_type: str
) -> None:
    answers = []

    for method in ("head", "parallel"):
        with seeded(0):
            built = AdaptedClassifier.build(
                sources[model_type], LABELS, AdapterConfig(method=method, dimension=4)
            )
        answers.append(logits(built.model.eval()))

    torch.testing.assert_close(answers[1], answers[0], rtol=0, atol=1e-6)


def test_the_down_projection_starts_away_from_zero() -> None:
    parameters = adapt(make_model("bert"), CONFIG).adapter_parameters()

    assert parameters["parallel.layers.0.down.weight"].std() > 0.05
    assert not parameters["parallel.layers.0.up.weight"].any()


@pytest.mark.parametrize("model_type", TINY_CONFIGS)
def test_parameters_are_both_projections_of_every_layer(model_type: str) -> None:
    shapes = {
        name: tuple(parameter.shape)
        for name, parameter in adapt(make_model(model_type), CONFIG).adapter_parameters().items()
    }

    expected: dict[str, tuple[int, ...]] = {}
    for layer in range(LAYERS):
        expected[f"parallel.layers.{layer}.down.weight"] = (5, HIDDEN)
        expected[f"parallel.layers.{layer}.down.bias"] = (5,)
        expected[f"parallel.layers.{layer}.up.weight"] = (HIDDEN, 5)
        expected[f"parallel.layers.{layer}.up.bias"] = (HIDDEN,)
    assert shapes == expected


@pytest.mark.parametrize("model_type", TINY_CONFIGS)
def test_the_output_is_the_ffns_plus_the_scaled_bottleneck(model_type: str) -> None:
    base = ffn(adapt(make_model(model_type).double(), AdapterConfig(method="head")))
    classifier = adapt(make_model(model_type), CONFIG)
    classifier.model.double()
    randomize(classifier)
    down, down_bias, up, up_bias = (
        classifier.adapter_parameters()[f"parallel.layers.0.{name}"]
        for name in ("down.weight", "down.bias", "up.weight", "up.bias")
    )
    hidden = torch.randn(2, 3, HIDDEN, dtype=torch.float64)

    first, second = ffn(classifier)
    found = second(F.gelu(first(hidden)))

    bottleneck = F.gelu(hidden @ down.T + down_bias) @ up.T + up_bias
    expected = base[1](F.gelu(base[0](hidden))) + 2.5 * bottleneck
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_dropout_acts_on_the_adapters_output_alone_and_only_in_training() -> None:
    classifier = adapt(make_model("bert"), AdapterConfig(dimension=4, dropout=0.75))
    randomize(classifier)
    plain = ffn(adapt(make_model("bert"), AdapterConfig(method="head")))
    hidden = torch.randn(8, HIDDEN)
    first, second = ffn(classifier)
    expected = plain[1](F.gelu(plain[0](hidden)))

    adapted = second(F.gelu(first(hidden))) - expected
    second.train()
    dropped = second(F.gelu(first(hidden))) - expected

    kept = dropped.abs() > 1e-5
    assert 0 < kept.sum() < kept.numel() / 2
    torch.testing.assert_close(dropped[kept], 4 * adapted[kept], rtol=1e-3, atol=1e-4)


def test_the_backbones_own_activation_may_be_named() -> None:
    named = AdapterConfig(dimension=5, activation="relu")

    classifier = adapt(make_model("bert", hidden_act="relu"), named)

    assert len(classifier.adapter_parameters()) == 4 * LAYERS


@pytest.mark.parametrize("model_type", TINY_CONFIGS)
def test_another_activation_is_refused_and_nothing_is_attached(model_type: str) -> None:
    model = make_model(model_type)
    modules = list(model.modules())

    with pytest.raises(ModelError, match="'gelu' here; found 'relu'") as caught:
        adapt(model, AdapterConfig(dimension=5, activation="relu"))

    assert "sequential or houlsby" in caught.value.hint
    assert list(model.modules()) == modules


@pytest.mark.parametrize("model_type", TINY_CONFIGS)
def test_folding_leaves_plain_wider_dense_layers(model_type: str) -> None:
    classifier = adapt(make_model(model_type), CONFIG)

    leftover = classifier.adapters["parallel"].fold()

    assert leftover == Leftover(parameters=0, macs_per_token=0)
    for layer in range(LAYERS):
        first, second = ffn(classifier, layer)
        assert type(first) is nn.Linear
        assert type(second) is nn.Linear
        assert first.weight.shape == (first.out_features, first.in_features)
        assert (first.in_features, first.out_features) == (HIDDEN, INTERMEDIATE + 5)
        assert (second.in_features, second.out_features) == (INTERMEDIATE + 5, HIDDEN)


@pytest.mark.parametrize("model_type", TINY_CONFIGS)
def test_folding_leaves_the_keys_of_the_stock_model(model_type: str) -> None:
    classifier = adapt(make_model(model_type), CONFIG)

    classifier.adapters["parallel"].fold()

    assert classifier.model.state_dict().keys() == make_model(model_type).state_dict().keys()


@pytest.mark.parametrize("activation", ["gelu", "relu", "silu"])
def test_folding_is_exact_for_any_activation_of_the_ffn(activation: str) -> None:
    classifier = adapt(make_model("bert", hidden_act=activation), CONFIG)
    classifier.model.double()
    randomize(classifier)
    before = logits(classifier.model)

    classifier.adapters["parallel"].fold()

    torch.testing.assert_close(logits(classifier.model), before, rtol=0, atol=1e-12)
