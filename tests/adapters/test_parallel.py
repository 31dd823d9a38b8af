"""The parallel adapter: beside the FFN while training, part of it when folded."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from edgeadapt.adapters import Reads
from edgeadapt.adapters.parts import Part, innermost
from edgeadapt.backbones import backbone_spec
from edgeadapt.models.classifier import AdaptedClassifier
from edgeadapt.recipe import AdapterConfig, Placement
from tests.adapters.formulas import bottleneck, plain, random, values_of
from tests.conftest import TINY_CONFIGS
from tests.models.tiny import (
    HIDDEN,
    INTERMEDIATE,
    LAYERS,
    adapt,
    logits,
    make_model,
    place,
    randomize,
    randomized,
)

pytestmark = pytest.mark.transformers5

CONFIG = AdapterConfig(method="parallel", dimension=5, scaling=2.5)
UNGATED = sorted(set(TINY_CONFIGS) - {"modernbert"})


def ffn(classifier: AdaptedClassifier, layer: int = 0) -> tuple[nn.Module, nn.Module]:
    """What is where the two dense layers of an FFN are."""
    spec = classifier.backbone.spec
    return place(classifier, spec.ffn_in, layer), place(classifier, spec.ffn_out, layer)


def parts(model: nn.Module) -> list[nn.Module]:
    return [module for module in model.modules() if isinstance(module, Part)]


@pytest.mark.parametrize("model_type", TINY_CONFIGS)
@pytest.mark.parametrize("placement", Placement)
def test_parameters_are_both_projections_of_every_layer(
    model_type: str, placement: Placement
) -> None:
    config = AdapterConfig(method="parallel", dimension=5, placement=placement)
    shapes = {
        name: tuple(parameter.shape)
        for name, parameter in adapt(make_model(model_type), config).adapter_parameters().items()
    }

    expected: dict[str, tuple[int, ...]] = {}
    for layer in range(LAYERS):
        for sublayer in ["attention", "ffn"] if placement == "both" else [placement]:
            prefix = f"parallel.layers.{layer}.{sublayer}"
            expected[f"{prefix}.down.weight"] = (5, HIDDEN)
            expected[f"{prefix}.down.bias"] = (5,)
            expected[f"{prefix}.up.weight"] = (HIDDEN, 5)
            expected[f"{prefix}.up.bias"] = (HIDDEN,)
    assert shapes == expected


@pytest.mark.parametrize("learned", [True, False])
@pytest.mark.parametrize("model_type", TINY_CONFIGS)
def test_the_output_is_the_ffns_plus_the_scaled_bottleneck(model_type: str, learned: bool) -> None:
    config = AdapterConfig(method="parallel", dimension=5, scaling=2.5, learn_scaling=learned)
    classifier = randomized(model_type, config)
    spec = classifier.backbone.spec
    values = values_of(classifier.adapter_parameters(), "parallel.layers.1.ffn")
    hidden = random(2, 3, HIDDEN)
    first, last = ffn(classifier, 1)
    inner = first(hidden)
    plain_inner = plain(model_type, spec.ffn_in, 1)(hidden)
    if spec.gate_bias_key:
        (a, g), (plain_a, plain_g) = inner.chunk(2, -1), plain_inner.chunk(2, -1)
        inner, plain_inner = F.gelu(a) * g, F.gelu(plain_a) * plain_g
    else:
        inner, plain_inner = F.gelu(inner), F.gelu(plain_inner)

    found = last(inner)

    scaling = values["scaling"].item() if learned else 2.5
    expected = plain(model_type, spec.ffn_out, 1)(plain_inner) + bottleneck(
        hidden, values, scaling=scaling, f=F.gelu
    )
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("values", "sublayer"),
    [
        ({"placement": Placement.ATTENTION}, "attention"),
        ({"activation": "relu"}, "ffn"),
        ({"activation": "relu", "placement": Placement.ATTENTION}, "attention"),
    ],
)
@pytest.mark.parametrize("model_type", TINY_CONFIGS)
def test_one_that_cannot_be_neurons_of_the_ffn_stays_beside_its_sublayer(
    model_type: str, values: dict[str, object], sublayer: str
) -> None:
    config = AdapterConfig(method="parallel", dimension=5, scaling=2.5, **values)  # type: ignore[arg-type]
    classifier = randomized(model_type, config)
    spec = classifier.backbone.spec
    first, last = (
        (spec.value.dense, spec.attention_output)
        if sublayer == "attention"
        else (spec.ffn_in, spec.ffn_out)
    )
    own = values_of(classifier.adapter_parameters(), f"parallel.layers.0.{sublayer}")
    read, inner = random(2, 3, HIDDEN), random(2, 3, plain(model_type, last).in_features)
    f = F.relu if "activation" in values else F.gelu

    place(classifier, first)(read)
    found = place(classifier, last)(inner)

    expected = plain(model_type, last)(inner) + bottleneck(read, own, scaling=2.5, f=f)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("model_type", TINY_CONFIGS)
@pytest.mark.parametrize(
    ("values", "sublayers"),
    [
        ({}, []),
        ({"placement": Placement.ATTENTION}, ["attention"]),
        ({"placement": Placement.BOTH}, ["attention"]),
        ({"activation": "relu"}, ["ffn"]),
        ({"activation": "relu", "placement": Placement.BOTH}, ["attention", "ffn"]),
    ],
    ids=str,
)
def test_only_what_cannot_be_neurons_of_the_ffn_is_kept(
    model_type: str, values: dict[str, object], sublayers: list[str]
) -> None:
    config = AdapterConfig(method="parallel", dimension=5, **values)  # type: ignore[arg-type]
    classifier = randomized(model_type, config)

    kept = classifier.adapters["parallel"].fold()

    assert [each.sublayer for each in kept] == sublayers * LAYERS
    assert {each.reads for each in kept} <= {Reads.INPUT}
    assert {each.activation for each in kept} <= {values.get("activation", "gelu")}


def test_the_up_bias_and_scaling_of_one_that_stays_are_folded() -> None:
    classifier = randomized(
        "bert", AdapterConfig(method="parallel", dimension=5, activation="relu", scaling=2.5)
    )
    own = values_of(classifier.adapter_parameters(), "parallel.layers.0.ffn")

    kept = classifier.adapters["parallel"].fold()[0]

    torch.testing.assert_close(kept.down.bias, own["down.bias"])
    torch.testing.assert_close(kept.up.weight, 2.5 * own["up.weight"])
    assert not kept.up.bias.any()
    assert kept.parameters == 2 * HIDDEN * 5 + 5


def test_dropout_acts_on_the_adapters_output_alone_and_only_in_training() -> None:
    classifier = adapt(
        make_model("bert"), AdapterConfig(method="parallel", dimension=4, dropout=0.75)
    )
    randomize(classifier)
    untouched = ffn(adapt(make_model("bert"), AdapterConfig(method="head")))
    hidden = torch.randn(8, HIDDEN)
    first, last = ffn(classifier)
    expected = untouched[1](F.gelu(untouched[0](hidden)))

    adapted = last(F.gelu(first(hidden))) - expected
    last.train()
    dropped = last(F.gelu(first(hidden))) - expected

    kept = dropped.abs() > 1e-5
    assert 0 < kept.sum() < kept.numel() / 2
    torch.testing.assert_close(dropped[kept], 4 * adapted[kept], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("model_type", TINY_CONFIGS)
def test_the_backbones_own_activation_may_be_named(model_type: str) -> None:
    key = backbone_spec(model_type).activation_key
    config = AdapterConfig(method="parallel", dimension=5, activation="silu")

    classifier = adapt(make_model(model_type, **{key: "silu"}), config)

    assert list(classifier.adapters["parallel"].fold()) == []
    assert parts(classifier.model) == []


@given(layers=st.sampled_from([None, "0", "1", "0-1"]), width=st.integers(1, 6))
@settings(max_examples=12, deadline=None)
def test_folding_writes_the_bottleneck_below_the_ffns_own_neurons(
    layers: str | None, width: int
) -> None:
    """``W1' = [W1; D]``, ``b1' = [b1; d]``, ``W2' = [W2, s U]``, ``b2' = b2 + s u``."""
    classifier = randomized(
        "bert",
        AdapterConfig(method="parallel", dimension=width, scaling=-1.5, layers=layers),
        seed=width,
    )
    parameters = {name: p.clone() for name, p in classifier.adapter_parameters().items()}
    zero = {
        "down.weight": torch.zeros(width, HIDDEN),
        "down.bias": torch.zeros(width),
        "up.weight": torch.zeros(HIDDEN, width),
        "up.bias": torch.zeros(HIDDEN),
    }

    classifier.adapters["parallel"].fold()

    for layer in range(LAYERS):
        own = values_of(parameters, f"parallel.layers.{layer}.ffn") or zero
        first, last = ffn(classifier, layer)
        plain_first = plain("bert", "intermediate.dense", layer)
        plain_last = plain("bert", "output.dense", layer)
        for found, expected in (
            (first.weight, torch.cat([plain_first.weight, own["down.weight"]])),
            (first.bias, torch.cat([plain_first.bias, own["down.bias"]])),
            (last.weight, torch.cat([plain_last.weight, -1.5 * own["up.weight"]], dim=1)),
            (last.bias, plain_last.bias - 1.5 * own["up.bias"]),
        ):
            torch.testing.assert_close(found, expected.double(), rtol=0, atol=1e-12)


def test_in_a_gated_ffn_the_neurons_get_a_gate_of_weight_0_and_bias_1() -> None:
    """``[a ; g] = W1 x + b1``, ``W2 (f(a) ⊙ g)``."""
    classifier = randomized("modernbert", CONFIG)
    own = values_of(classifier.adapter_parameters(), "parallel.layers.1.ffn")
    a, g = plain("modernbert", "mlp.Wi", 1).weight.chunk(2)

    classifier.adapters["parallel"].fold()

    first, _ = ffn(classifier, 1)
    zeros = torch.zeros(5, HIDDEN)
    assert torch.equal(first.weight, torch.cat([a, own["down.weight"], g, zeros]))
    none = torch.zeros(INTERMEDIATE)
    assert torch.equal(first.bias, torch.cat([none, own["down.bias"], none, torch.ones(5)]))


@pytest.mark.parametrize("layers", [None, "1"])
@pytest.mark.parametrize("model_type", TINY_CONFIGS)
def test_folding_leaves_plain_wider_dense_layers_in_every_layer(
    model_type: str, layers: str | None
) -> None:
    config = AdapterConfig(method="parallel", dimension=5, layers=layers)
    classifier = adapt(make_model(model_type), config)
    gates = 2 if model_type == "modernbert" else 1

    kept = classifier.adapters["parallel"].fold()

    assert list(kept) == []
    for layer in range(LAYERS):
        first, last = ffn(classifier, layer)
        assert type(first) is type(last) is nn.Linear
        assert first.weight.shape == (gates * (INTERMEDIATE + 5), HIDDEN)
        assert (first.in_features, first.out_features) == (HIDDEN, gates * (INTERMEDIATE + 5))
        assert last.weight.shape == (HIDDEN, INTERMEDIATE + 5)
        assert (last.in_features, last.out_features) == (INTERMEDIATE + 5, HIDDEN)


@pytest.mark.parametrize("activation", ["gelu", "relu", "silu"])
@pytest.mark.parametrize("model_type", ["bert", "modernbert"])
def test_folding_is_exact_for_any_activation_of_the_ffn(model_type: str, activation: str) -> None:
    key = backbone_spec(model_type).activation_key
    classifier = adapt(make_model(model_type, **{key: activation}).double(), CONFIG)
    randomize(classifier)
    before = logits(classifier.model)

    classifier.adapters["parallel"].fold()

    assert parts(classifier.model) == []
    torch.testing.assert_close(logits(classifier.model), before, rtol=0, atol=1e-10)


@pytest.mark.parametrize("layers", [None, "1"])
@pytest.mark.parametrize("placement", Placement)
def test_folding_twice_changes_no_logit_and_no_width(
    placement: Placement, layers: str | None
) -> None:
    config = AdapterConfig(
        method="parallel", dimension=5, scaling=2.5, placement=placement, layers=layers
    )
    classifier = randomized("bert", config)
    expected = logits(classifier.model)

    kept = [classifier.adapters["parallel"].fold() for _ in range(2)]

    torch.testing.assert_close(logits(classifier.model), expected, rtol=0, atol=1e-10)
    assert [each.parameters for each in kept[1]] == [each.parameters for each in kept[0]]
    widths = {innermost(ffn(classifier, layer)[1]).in_features for layer in range(LAYERS)}
    assert widths == {INTERMEDIATE + 5 * ("ffn" in placement.sublayers)}


@pytest.mark.parametrize("model_type", UNGATED)
def test_folding_leaves_the_keys_of_the_stock_model(model_type: str) -> None:
    classifier = adapt(make_model(model_type), CONFIG)
    untouched = adapt(make_model(model_type), AdapterConfig(method="ia3"))
    untouched.adapters["ia3"].fold()

    classifier.adapters["parallel"].fold()

    assert classifier.model.state_dict().keys() == untouched.model.state_dict().keys()
