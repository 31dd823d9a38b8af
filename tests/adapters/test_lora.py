"""LoRA: ``W' = W + s B A`` on the selected dense layers."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from edgeadapt.adapters.parts import Part
from edgeadapt.backbones import BackboneSpec, Projection, backbone_spec
from edgeadapt.recipe import AdapterConfig, LoraTarget
from edgeadapt.runtime.resized import KeptWidths, resize
from tests.adapters.formulas import plain, random
from tests.conftest import TINY_CONFIGS
from tests.models.tiny import HIDDEN, LAYERS, adapt, logits, make_model, place, randomized

pytestmark = pytest.mark.transformers5

TARGETS = st.lists(st.sampled_from(LoraTarget), min_size=1, unique=True)


def config(*targets: str, **values: object) -> AdapterConfig:
    named = {"targets": "+".join(targets)} if targets else {}
    return AdapterConfig(**{"method": "lora", "rank": 3, **named, **values})  # type: ignore[arg-type]


def where(spec: BackboneSpec, name: str) -> Projection:
    """Where a parameter's products go."""
    whole = {
        "dense": spec.attention_output,
        "ffn-in": spec.ffn_in,
        "ffn-out": spec.ffn_out,
    }
    separate = {"query": spec.query, "key": spec.key, "value": spec.value}
    return separate.get(name) or Projection(whole[name])


def names_of(targets: list[LoraTarget]) -> set[str]:
    names: set[str] = set()
    for target in targets:
        names |= {"ffn-in", "ffn-out"} if target == "ffn" else {str(target)}
    return names


def expected_weight(
    model_type: str, parameters: dict[str, Tensor], dense: str, scaling: float, layer: int
) -> Tensor:
    """The backbone's weight with every target's product added to its rows."""
    spec = backbone_spec(model_type)
    weight = plain(model_type, dense, layer).weight.detach().clone()
    prefix = f"lora.layers.{layer}."
    for name in {n.removeprefix(prefix)[:-2] for n in parameters if n.startswith(prefix)}:
        projection = where(spec, name)
        if projection.dense == dense:
            height = len(weight) // projection.blocks
            start = projection.block * height
            b, a = parameters[f"{prefix}{name}.b"], parameters[f"{prefix}{name}.a"]
            weight[start : start + height] += scaling * b.detach() @ a.detach()
    return weight


@pytest.mark.parametrize("model_type", TINY_CONFIGS)
@given(
    targets=TARGETS,
    rank=st.integers(1, 20),
    scaling=st.floats(-8, 8),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=8, deadline=None)
def test_adapted_and_folded_it_is_the_papers_formula_on_every_target(
    model_type: str, targets: list[LoraTarget], rank: int, scaling: float, seed: int
) -> None:
    values = config(*targets, rank=rank, scaling=scaling)
    classifier = randomized(model_type, values, seed=seed)
    parameters = classifier.adapter_parameters()
    spec = classifier.backbone.spec
    at = {where(spec, name).dense for name in names_of(targets)}
    adapted = {
        name: (
            read := random(4, plain(model_type, name).in_features),
            place(classifier, name)(read),
        )
        for name in sorted(at)
    }
    weights = {n: expected_weight(model_type, parameters, n, scaling, 0) for n in adapted}

    kept = classifier.adapters["lora"].fold()

    assert list(kept) == []
    for name, (read, answer) in adapted.items():
        folded, bias = place(classifier, name), plain(model_type, name).bias
        expected = read @ weights[name].T + (0 if bias is None else bias)
        torch.testing.assert_close(answer, expected, rtol=0, atol=1e-10)
        assert type(folded) is nn.Linear
        torch.testing.assert_close(folded.weight, weights[name], rtol=0, atol=1e-11)
        assert (folded.bias is None) is (bias is None)


@given(targets=TARGETS)
@settings(max_examples=15, deadline=None)
def test_parameters_are_the_factors_of_every_target_of_every_layer(
    targets: list[LoraTarget],
) -> None:
    shapes = {
        name: tuple(parameter.shape)
        for name, parameter in adapt(make_model("bert"), config(*targets))
        .adapter_parameters()
        .items()
    }

    expected: dict[str, tuple[int, ...]] = {}
    for layer in range(LAYERS):
        for name in names_of(targets):
            dense = plain("bert", where(backbone_spec("bert"), name).dense)
            expected[f"lora.layers.{layer}.{name}.a"] = (3, dense.in_features)
            expected[f"lora.layers.{layer}.{name}.b"] = (dense.out_features, 3)
    assert shapes == expected


@pytest.mark.parametrize("model_type", TINY_CONFIGS)
def test_by_default_query_and_value_get_products(model_type: str) -> None:
    parameters = adapt(make_model(model_type), config()).adapter_parameters()

    assert set(parameters) == {
        f"lora.layers.{layer}.{target}.{factor}"
        for layer in range(LAYERS)
        for target in ("query", "value")
        for factor in "ab"
    }
    # Also where all three are blocks of one dense layer.
    assert {tuple(p.shape) for n, p in parameters.items() if n.endswith("b")} == {(HIDDEN, 3)}


@pytest.mark.parametrize("model_type", TINY_CONFIGS)
@pytest.mark.parametrize("target", ["query", "key", "value"])
def test_other_projections_stay_as_they_are(model_type: str, target: str) -> None:
    classifier = randomized(model_type, config(target))
    spec = classifier.backbone.spec

    classifier.adapters["lora"].fold()

    for name, projection in (("query", spec.query), ("key", spec.key), ("value", spec.value)):
        before = plain(model_type, projection.dense).weight
        rows = slice(projection.block * HIDDEN, (projection.block + 1) * HIDDEN)
        changed = place(classifier, projection.dense).weight[rows] != before[rows]
        assert changed.all() if name == target else not changed.any()


def test_both_ffn_targets_may_be_named_with_the_ffn_itself() -> None:
    parameters = adapt(make_model("bert"), config("ffn", "ffn-in")).adapter_parameters()

    assert len(parameters) == LAYERS * 2 * 2


@pytest.mark.parametrize(("layers", "numbers"), [("0", {0}), ("1", {1}), ("0-1", {0, 1})])
def test_only_the_chosen_layers_get_products(layers: str, numbers: set[int]) -> None:
    classifier = adapt(make_model("bert"), config("dense", layers=layers))

    assert {int(n.split(".")[2]) for n in classifier.adapter_parameters()} == numbers
    assert sum(isinstance(module, Part) for module in classifier.model.modules()) == len(numbers)


def test_b_starts_at_zero_and_a_away_from_it() -> None:
    for name, parameter in adapt(make_model("bert"), config()).adapter_parameters().items():
        assert bool(parameter.any()) is name.endswith(".a"), name


def test_dropout_drops_the_products_input_and_only_in_training() -> None:
    classifier = randomized("bert", config("dense", dropout=0.5))
    dense, hidden = place(classifier, "attention.output.dense"), random(64, HIDDEN)
    a, b = (p.detach() for n, p in classifier.adapter_parameters().items() if ".0." in n)

    answered = dense(hidden) - dense.base(hidden)
    torch.manual_seed(3)
    dropped = dense.train()(hidden) - dense.base(hidden)

    torch.manual_seed(3)
    masked = nn.functional.dropout(hidden, 0.5)
    assert 0.4 < float((masked == 0).double().mean()) < 0.6
    torch.testing.assert_close(answered, hidden @ a.T @ b.T, rtol=0, atol=1e-12)
    torch.testing.assert_close(dropped, masked @ a.T @ b.T, rtol=0, atol=1e-12)


def test_folding_twice_adds_the_products_once() -> None:
    classifier = randomized("bert", config())
    expected = logits(classifier.model)

    classifier.adapters["lora"].fold()
    classifier.adapters["lora"].fold()

    torch.testing.assert_close(logits(classifier.model), expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("model_type", ["bert", "distilbert", "modernbert"])
def test_dropped_sublayers_of_a_pruned_model_get_no_products(model_type: str) -> None:
    model, spec = make_model(model_type), backbone_spec(model_type)
    resize(model, spec, [KeptWidths((), None), KeptWidths(None, ())])

    parameters = adapt(model, config(*LoraTarget)).adapter_parameters()

    attention, ffn = {"query", "key", "value", "dense"}, {"ffn-in", "ffn-out"}
    assert {tuple(name.split(".")[2:4]) for name in parameters} == {
        *(("0", target) for target in ffn),
        *(("1", target) for target in attention),
    }
