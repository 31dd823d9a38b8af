"""Folding changes no logit, whatever is combined, in whatever order, with whatever options."""

from collections.abc import Sequence
from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from edgeadapt.adapters import BackboneModel, Kept, Reads, make_adapters
from edgeadapt.adapters.parts import Part, Tap, innermost
from edgeadapt.backbones import backbone_spec
from edgeadapt.models.classifier import AdaptedClassifier
from edgeadapt.models.unshare import unshare
from edgeadapt.recipe import AdapterConfig, AdapterKind, LoraTarget, Placement
from tests.conftest import TINY_CONFIGS
from tests.models.tiny import INTERMEDIATE, LAYERS, adapt, logits, make_model, place, randomize

pytestmark = pytest.mark.transformers5

FREE = ("parallel", "lora", "ia3", "bitfit", "layernorm")
"""Kinds that combine with everything."""
BEHIND = ("sequential", "houlsby", "compacter")
"""Kinds of which one place holds one."""


@dataclass(frozen=True)
class Case:
    """A backbone, what is attached to it, and in which orders."""

    model_type: str
    config: AdapterConfig
    attached: Sequence[AdapterKind]
    folded: Sequence[AdapterKind]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Anything that can be configured and is not refused."""
    model_type = draw(st.sampled_from(sorted(TINY_CONFIGS)))
    kinds = draw(st.lists(st.sampled_from(FREE), unique=True))
    kinds += draw(st.lists(st.sampled_from(BEHIND), max_size=1, min_size=0 if kinds else 1))
    targets = draw(st.lists(st.sampled_from(LoraTarget), min_size=1, unique=True))
    config = AdapterConfig(
        method="+".join(kinds),
        dimension=draw(st.sampled_from([4, 8])),  # Compacter takes multiples of 4
        reduction_factor=draw(st.sampled_from([None, 2.0, 4.0])),
        activation=draw(st.sampled_from([None, "gelu", "relu", "tanh"])),
        scaling=draw(st.floats(-4, 4)),
        learn_scaling=draw(st.booleans()),
        placement=draw(st.sampled_from([None, *Placement])),
        layers=draw(st.sampled_from([None, "0", "1", "0-1"])),
        dropout=draw(st.sampled_from([0.0, 0.5])),
        rank=draw(st.integers(1, 6)),
        targets="+".join(targets),
        original_ln_before=model_type != "modernbert" and draw(st.booleans()),
    )
    attached, folded = (draw(st.permutations(config.kinds)) for _ in range(2))
    return Case(model_type, config, attached, folded)


def build(case: Case) -> AdaptedClassifier:
    """Attaches in the case's order, where ``make_adapters`` has one of its own."""
    spec, model = backbone_spec(case.model_type), make_model(case.model_type).double()
    if spec.groups_key:
        model = unshare(model, spec)
    encoder, adapters = BackboneModel.of(model, spec), make_adapters(case.config)
    for kind in case.attached:
        adapters[kind].attach(encoder)
    classifier = AdaptedClassifier(encoder, {str(kind): adapters[kind] for kind in case.attached})
    model.eval()
    randomize(classifier)
    return classifier


def fold(classifier: AdaptedClassifier, order: Sequence[str]) -> list[Kept]:
    return [kept for kind in order for kept in classifier.adapters[kind].fold()]


def parts(model: nn.Module) -> list[Part]:
    return [module for module in model.modules() if isinstance(module, Part)]


def keeps_u(classifier: AdaptedClassifier, kept: Kept, config: AdapterConfig) -> bool:
    """Whether a bottleneck's bias ``u`` cannot go into the dense layer before it.

    What is read is normalized with the residual, or the dense layer has no bias to add to, or a
    bottleneck that stays is in between.
    """
    spec = classifier.backbone.spec
    name = spec.attention_output if kept.sublayer == "attention" else spec.ffn_out
    linear = innermost(classifier.model.get_submodule(f"{kept.layer}.{name}"))
    widens = kept.sublayer == "ffn" and config.activation in (None, "gelu")
    beside = kept.sublayer in (config.placement or Placement.FFN).sublayers and not widens
    between = "parallel" in config.kinds and beside and kept.reads is not Reads.INPUT
    return kept.reads is Reads.NORMED or linear.bias is None or between


@given(case=cases())
@settings(max_examples=60, deadline=None)
def test_folding_changes_no_logit(case: Case) -> None:
    classifier = build(case)
    before = logits(classifier.model)

    kept = fold(classifier, case.folded)

    torch.testing.assert_close(logits(classifier.model), before, rtol=0, atol=1e-10)
    staying = [part for part in parts(classifier.model) if not isinstance(part, Tap)]
    assert len(staying) == len(kept)
    zero = case.config.scaling == 0 and not case.config.learn_scaling
    for each in kept:
        keeps = keeps_u(classifier, each, case.config) and not zero
        assert bool(each.up.bias.any()) is keeps, each


@given(case=cases(), data=st.data())
@settings(max_examples=25, deadline=None)
def test_neither_answers_nor_what_is_kept_depend_on_any_order(
    case: Case, data: st.DataObject
) -> None:
    kinds = case.config.kinds
    other = Case(
        case.model_type,
        case.config,
        data.draw(st.permutations(kinds), "attached"),
        data.draw(st.permutations(kinds), "folded"),
    )
    built = [(each, build(each)) for each in (case, other)]

    answers = [logits(classifier.model) for _, classifier in built]
    kept = [fold(classifier, each.folded) for each, classifier in built]

    torch.testing.assert_close(answers[0], answers[1], rtol=0, atol=1e-10)
    first, second = (sorted(each, key=_place) for each in kept)
    assert [_place(each) for each in first] == [_place(each) for each in second]
    for one, two in zip(first, second, strict=True):
        torch.testing.assert_close(one.down.weight, two.down.weight, rtol=0, atol=1e-12)
        torch.testing.assert_close(one.down.bias, two.down.bias, rtol=0, atol=1e-12)
        torch.testing.assert_close(one.up.weight, two.up.weight, rtol=0, atol=1e-12)
        torch.testing.assert_close(one.up.bias, two.up.bias, rtol=0, atol=1e-12)


@given(case=cases())
@settings(max_examples=40, deadline=None)
def test_stock_dense_layers_and_what_is_kept_say_all_that_the_model_does(case: Case) -> None:
    """With ``h`` of a stock dense layer: ``h + U f(D x + d) + u``, added here by hand."""
    classifier = build(case)
    before = logits(classifier.model)
    kept = fold(classifier, case.folded)
    spec, inputs = classifier.backbone.spec, {}
    for layer in classifier.backbone.layers():
        for first, last in (
            (spec.value.dense, spec.attention_output),
            (spec.ffn_in, spec.ffn_out),
        ):
            for name in {first, last, spec.query.dense, spec.key.dense}:
                layer.module.set_submodule(name, innermost(layer.module.get_submodule(name)))
            layer.module.get_submodule(first).register_forward_pre_hook(
                lambda _, args, key=f"{layer.path}.{last}": inputs.update({key: args[0]})
            )
    # Beside comes before behind, which reads it too.
    for each in sorted(kept, key=lambda each: each.reads is not Reads.INPUT):
        last = spec.attention_output if each.sublayer == "attention" else spec.ffn_out
        _add(classifier.model.get_submodule(f"{each.layer}.{last}"), each, inputs, last)

    assert parts(classifier.model) == []
    torch.testing.assert_close(logits(classifier.model), before, rtol=0, atol=1e-10)


@pytest.mark.parametrize("layers", [None, "1"])
@pytest.mark.parametrize("model_type", TINY_CONFIGS)
def test_kinds_that_fold_leave_stock_dense_layers_in_every_layer_together(
    model_type: str, layers: str | None
) -> None:
    targets, method = "query+key+value+dense+ffn", "+".join(FREE)
    config = AdapterConfig(method=method, dimension=4, layers=layers, targets=targets)
    classifier = adapt(make_model(model_type).double(), config)
    randomize(classifier)
    stock = {type(module) for module in make_model(model_type).modules()}

    assert fold(classifier, list(classifier.adapters)) == []

    assert {type(module) for module in classifier.model.modules()} == stock
    for layer in range(LAYERS):
        last = place(classifier, classifier.backbone.spec.ffn_out, layer)
        assert last.in_features == INTERMEDIATE + 4


@pytest.mark.parametrize("method", ["+".join(FREE), *BEHIND])
def test_folding_makes_new_tensors_and_does_not_write_to_the_backbones(method: str) -> None:
    classifier = adapt(make_model("bert"), AdapterConfig(method=method, dimension=4))
    randomize(classifier)
    before = {name: p.detach().clone() for name, p in classifier.backbone.pretrained.items()}

    fold(classifier, list(classifier.adapters))

    for name, parameter in classifier.backbone.pretrained.items():
        assert torch.equal(parameter, before[name]), name


@pytest.mark.parametrize("model_type", TINY_CONFIGS)
def test_folded_weights_keep_the_type_of_the_backbones(model_type: str) -> None:
    for dtype in (torch.float32, torch.float64):
        method = "+".join((*FREE, "compacter"))
        config = AdapterConfig(method=method, dimension=4, learn_scaling=True)
        classifier = adapt(make_model(model_type).to(dtype), config)

        fold(classifier, list(classifier.adapters))

        assert {parameter.dtype for parameter in classifier.model.parameters()} == {dtype}


def _place(kept: Kept) -> tuple[str, str, str]:
    return kept.layer, kept.sublayer, kept.reads


def _add(linear: nn.Module, kept: Kept, inputs: dict[str, Tensor], last: str) -> None:
    bottleneck = nn.Sequential(kept.down, *list(kept.module())[-2:]).eval()

    def hook(_: nn.Module, __: object, output: Tensor) -> Tensor:
        taken = inputs[f"{kept.layer}.{last}"]
        if kept.norm is not None:
            return output + bottleneck(kept.norm(output + taken))
        return output + bottleneck(output if kept.reads is Reads.OUTPUT else taken)

    linear.register_forward_hook(hook)
