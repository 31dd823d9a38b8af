"""Properties of every kind of adapter, alone and combined, on every backbone."""

from itertools import permutations
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from edgeadapt.adapters import ADAPTERS, BackboneModel, make_adapters
from edgeadapt.adapters.parts import innermost
from edgeadapt.backbones import backbone_spec
from edgeadapt.errors import ModelError
from edgeadapt.models.classifier import AdaptedClassifier
from edgeadapt.models.seeds import seeded
from edgeadapt.models.sources import ModelSource
from edgeadapt.recipe import AdapterConfig, AdapterKind
from tests.conftest import TINY_CONFIGS
from tests.models.tiny import LABELS, adapt, batch, logits, make_model, randomize

pytestmark = pytest.mark.transformers5

ALL_THAT_FOLD = "parallel+lora+ia3+bitfit+layernorm"
METHODS = (*AdapterKind, ALL_THAT_FOLD)
BEHIND = (AdapterKind.SEQUENTIAL, AdapterKind.HOULSBY, AdapterKind.COMPACTER)
"""All of them put a bottleneck behind the FFN."""
COMBINED = (ALL_THAT_FOLD, "parallel+sequential", "houlsby+parallel+layernorm", "lora+compacter")

KEY_BIASES = ("key.bias", "k_lin.bias", "attn.k.bias")

every_method = pytest.mark.parametrize("method", METHODS)
every_backbone = pytest.mark.parametrize("model_type", TINY_CONFIGS)


def config(method: str, **values: object) -> AdapterConfig:
    return AdapterConfig(**{"method": method, "dimension": 4, **values})  # type: ignore[arg-type]


def build(source: ModelSource, method: str, *, seed: int = 0) -> AdaptedClassifier:
    with seeded(seed):
        classifier = AdaptedClassifier.build(source, LABELS, config(method, learn_scaling=True))
    classifier.model.eval()
    return classifier


def loss(classifier: AdaptedClassifier) -> torch.Tensor:
    return F.cross_entropy(classifier.model(**batch()).logits, torch.tensor([0, 1, 1, 0]))


def test_every_kind_that_can_be_configured_exists() -> None:
    assert set(ADAPTERS) == set(AdapterKind)


@given(order=st.permutations(AdapterKind))
@settings(max_examples=10, deadline=None)
def test_adapters_are_made_in_one_order_whatever_the_methods(order: list[AdapterKind]) -> None:
    made = make_adapters(AdapterConfig(method="+".join(order[:4])))

    assert list(made) == sorted(order[:4], key=list(AdapterKind).index)
    assert {kind: type(adapter) for kind, adapter in made.items()} == {
        kind: ADAPTERS[kind] for kind in order[:4]
    }


@every_method
@every_backbone
def test_at_step_0_the_logits_are_the_backbones(model_type: str, method: str) -> None:
    expected = logits(make_model(model_type))

    for learned in (False, True):
        values = config(method, scaling=3.0, learn_scaling=learned)
        adapted = adapt(make_model(model_type), values)
        torch.testing.assert_close(logits(adapted.model), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("method", BEHIND)
@pytest.mark.parametrize("model_type", sorted(set(TINY_CONFIGS) - {"modernbert"}))
def test_reading_a_layer_norm_the_logits_are_the_backbones_at_step_0_too(
    model_type: str, method: str
) -> None:
    adapted = adapt(make_model(model_type), config(method, original_ln_before=True))

    expected = logits(make_model(model_type))
    torch.testing.assert_close(logits(adapted.model), expected, rtol=0, atol=1e-6)


@every_method
@every_backbone
def test_exactly_the_listed_parameters_and_the_head_get_gradients(
    sources: dict[str, ModelSource], model_type: str, method: str
) -> None:
    classifier = build(sources[model_type], method)
    names = {id(p): name for name, p in classifier.model.named_parameters()}
    listed = {id(p) for p in classifier.adapter_parameters().values()}
    listed |= {id(p) for p in classifier.backbone.head.values()}

    loss(classifier).backward()

    got = {names[id(p)] for p in classifier.model.parameters() if p.grad is not None}
    assert got == {names[each] for each in listed}
    assert {id(p) for p in classifier.model.parameters() if p.requires_grad} == listed


@every_method
@every_backbone
def test_three_steps_move_the_logits_and_what_is_trained_and_nothing_else(
    sources: dict[str, ModelSource], model_type: str, method: str
) -> None:
    classifier = build(sources[model_type], method)
    trained = classifier.trained()
    own = {id(parameter) for parameter in trained.values()}
    before = {name: p.detach().clone() for name, p in classifier.model.named_parameters()}
    start, frozen = logits(classifier.model), classifier.frozen_sha256()
    optimizer = torch.optim.AdamW(trained.values(), lr=0.01, weight_decay=0.0)

    for _ in range(3):
        loss(classifier).backward()
        optimizer.step()
        optimizer.zero_grad()

    assert (logits(classifier.model) - start).abs().max() > 1e-3
    assert classifier.frozen_sha256() == frozen
    for name, parameter in classifier.model.named_parameters():
        assert torch.equal(parameter, before[name]) is (id(parameter) not in own), name


@pytest.mark.parametrize("method", [kind for kind in AdapterKind if kind != "head"])
@every_backbone
def test_every_parameter_of_an_adapter_moves_the_logits(model_type: str, method: str) -> None:
    classifier = adapt(make_model(model_type), config(method, learn_scaling=True))
    randomize(classifier)
    before = logits(classifier.model)

    for name, parameter in classifier.adapter_parameters().items():
        if name.endswith(KEY_BIASES):
            continue  # softmax takes away what is added to all scores alike
        kept = parameter.data
        # Not a constant: LayerNorm would take it away again.
        parameter.data = kept + torch.linspace(0.5, 1, kept.numel()).view_as(kept)
        assert (logits(classifier.model) - before).abs().max() > 1e-6, name
        parameter.data = kept


@every_method
@every_backbone
def test_saved_weights_come_back_bit_for_bit(model_type: str, method: str, tmp_path: Path) -> None:
    values = config(method, learn_scaling=True)
    written, read = (adapt(make_model(model_type), values) for _ in range(2))
    randomize(written, seed=1)
    for parameter in written.backbone.head.values():
        parameter.data += 1
    written.save(tmp_path)

    read.load(tmp_path)

    expected = written.trained()
    assert read.trained().keys() == expected.keys()
    assert all(torch.equal(p, expected[name]) for name, p in read.trained().items())
    assert torch.equal(logits(read.model), logits(written.model))


@every_method
def test_names_do_not_depend_on_random_values(method: str) -> None:
    with seeded(1):
        one = adapt(make_model("bert"), config(method))
    with seeded(2):
        other = adapt(make_model("bert"), config(method))

    assert list(one.adapter_parameters()) == list(other.adapter_parameters())


@pytest.mark.parametrize("method", COMBINED)
def test_combined_kinds_list_the_same_parameters_in_both_orders(
    sources: dict[str, ModelSource], method: str
) -> None:
    forward = build(sources["bert"], method).adapter_parameters()
    backward = build(sources["bert"], "+".join(reversed(method.split("+")))).adapter_parameters()

    assert list(forward) == list(backward)
    for name in forward:
        assert torch.equal(forward[name], backward[name]), name


@pytest.mark.parametrize("method", ["parallel+lora+ia3+bitfit", *COMBINED[1:]])
@pytest.mark.parametrize("model_type", ["bert", "modernbert"])
def test_combined_kinds_list_what_each_lists_alone(model_type: str, method: str) -> None:
    alone, combined = (
        [set(adapt(make_model(model_type), config(named)).adapter_parameters()) for named in names]
        for names in (method.split("+"), [method])
    )

    assert set().union(*alone) == combined[0]


def attached(model_type: str, values: AdapterConfig, order: list[AdapterKind]) -> AdaptedClassifier:
    """Attaches kinds in the given order, where ``make_adapters`` has one of its own."""
    model = adapt(make_model(model_type).double(), AdapterConfig(method="ia3"))
    model.adapters["ia3"].fold()
    encoder = BackboneModel.of(model.model, backbone_spec(model_type))
    adapters = make_adapters(values)
    for kind in order:
        adapters[kind].attach(encoder)
    classifier = AdaptedClassifier(encoder, {str(kind): adapters[kind] for kind in order})
    randomize(classifier)
    return classifier


@pytest.mark.parametrize("method", COMBINED)
@pytest.mark.parametrize("model_type", ["bert", "albert", "modernbert"])
@given(data=st.data())
@settings(max_examples=5, deadline=None)
def test_combined_kinds_answer_and_fold_alike_in_every_order(
    model_type: str, method: str, data: st.DataObject
) -> None:
    values = config(method, scaling=0.5)
    kinds = list(values.kinds)
    expected = logits(attached(model_type, values, kinds).model)
    classifier = attached(model_type, values, data.draw(st.permutations(kinds), "attached"))
    answered = logits(classifier.model)

    for kind in data.draw(st.permutations(kinds), "folded"):
        classifier.adapters[kind].fold()

    torch.testing.assert_close(answered, expected, rtol=0, atol=1e-10)
    torch.testing.assert_close(logits(classifier.model), expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("pair", list(permutations(BEHIND, 2)), ids="+".join)
def test_kinds_with_bottlenecks_behind_the_same_layer_are_refused_by_name(
    sources: dict[str, ModelSource], pair: tuple[AdapterKind, AdapterKind]
) -> None:
    with pytest.raises(ModelError, match=r"Two adapters are attached to") as caught:
        build(sources["bert"], "+".join(pair))

    assert f"--method {'+'.join(pair)}: " in str(caught.value)
    assert "'output.dense'" in str(caught.value) or "'attention.output.dense'" in str(caught.value)


@pytest.mark.parametrize(
    "method",
    [
        "+".join((first, *more))
        for first in BEHIND
        for more in (("parallel",), ("lora", "ia3"), ("parallel", "lora", "ia3", "bitfit"))
    ],
)
def test_any_other_kinds_combine(method: str) -> None:
    classifier = adapt(make_model("bert"), config(method))

    assert {name.split(".")[0] for name in classifier.adapter_parameters()} == set(
        method.split("+")
    )


@pytest.mark.parametrize("method", ["full+bitfit", "bitfit+layernorm", "full+head", "full+lora"])
def test_a_weight_that_two_kinds_select_is_trained_and_counted_once(
    sources: dict[str, ModelSource], method: str
) -> None:
    classifier = build(sources["bert"], method)

    trained = [id(parameter) for parameter in classifier.trained().values()]

    assert len(trained) == len(set(trained))
    assert classifier.count_parameters()[0] <= classifier.count_parameters()[1]


@pytest.mark.parametrize("method", ["head", "bitfit", "full", "layernorm"])
def test_dense_layers_are_left_alone_by_kinds_that_train_what_is_there(method: str) -> None:
    model = make_model("bert")
    modules = list(model.modules())

    classifier = adapt(model, config(method))

    assert list(classifier.model.modules()) == modules
    for layer in classifier.backbone.layers():
        dense = layer.module.get_submodule(classifier.backbone.spec.ffn_out)
        assert innermost(dense) is dense
