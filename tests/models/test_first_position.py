"""A last layer for the first position only has the same logits and gradients."""

import pytest
import torch

from edgeadapt.adapters import BackboneModel
from edgeadapt.backbones import backbone_spec
from edgeadapt.models.classifier import AdaptedClassifier
from edgeadapt.models.first_position import first_position_only
from edgeadapt.recipe import AdapterConfig, Placement
from edgeadapt.runtime.resized import KeptWidths, resize
from tests.conftest import TINY_CONFIGS
from tests.models.tiny import batch, logits, make_model, randomized

METHODS = ("parallel", "houlsby", "lora+bitfit", "full", "head", "compacter+ia3")


@pytest.mark.parametrize("model_type", TINY_CONFIGS)
@pytest.mark.parametrize("method", METHODS)
def test_logits_and_gradients_are_the_same(model_type: str, method: str) -> None:
    classifier = randomized(model_type, AdapterConfig(method=method, dimension=4))
    found = []
    for narrow in (False, True):
        classifier.model.zero_grad()
        if narrow:
            with first_position_only(classifier.backbone):
                logits = classifier.model(**batch()).logits
                logits.square().sum().backward()
        else:
            logits = classifier.model(**batch()).logits
            logits.square().sum().backward()
        gradients = {
            name: parameter.grad.clone()
            for name, parameter in classifier.trained().items()
            if parameter.grad is not None
        }
        found.append((logits.detach(), gradients))

    (whole, expected), (narrowed, gradients) = found
    torch.testing.assert_close(narrowed, whole, rtol=0, atol=1e-5)
    assert gradients.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(gradients[name], gradient, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("model_type", TINY_CONFIGS)
def test_it_happens_where_the_backbone_allows_and_ends_with_the_block(model_type: str) -> None:
    classifier = randomized(model_type, AdapterConfig(method="parallel", dimension=4))
    last = classifier.backbone.layers()[-1].module
    seen: list[int] = []
    place = last.get_submodule(classifier.backbone.spec.ffn_in)
    place.register_forward_hook(lambda module, given, output: seen.append(output.shape[1]))

    classifier.model(**batch())
    with first_position_only(classifier.backbone):
        classifier.model(**batch())
    classifier.model(**batch())

    narrow = 1 if backbone_spec(model_type).attention_end else seen[0]
    assert seen == [seen[0], narrow, seen[0]]
    assert seen[0] > 1


def test_an_adapter_that_reads_the_attentions_input_sees_all_of_it() -> None:
    config = AdapterConfig(method="parallel", dimension=4, placement=Placement.ATTENTION)
    classifier = randomized("bert", config)
    expected = classifier.model(**batch()).logits

    with first_position_only(classifier.backbone):
        found = classifier.model(**batch()).logits

    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("kept", [KeptWidths((1,), (3, 4)), KeptWidths((), ())], ids=str)
def test_a_pruned_last_layer_is_computed_for_the_first_position_too(kept: KeptWidths) -> None:
    model, spec = make_model("bert"), backbone_spec("bert")
    resize(model, spec, [KeptWidths(), kept])
    whole = logits(model)

    with first_position_only(BackboneModel.of(model, spec)):
        narrowed = logits(model)

    torch.testing.assert_close(narrowed, whole, rtol=0, atol=1e-5)


@pytest.mark.parametrize("heads", [((0,), ()), ((), ())], ids=["last layer", "all layers"])
def test_where_attention_was_dropped_all_layers_behind_the_last_one_are_narrow(
    heads: tuple[tuple[int, ...], ...],
) -> None:
    model, spec = make_model("bert"), backbone_spec("bert")
    resize(model, spec, [KeptWidths(heads=kept) for kept in heads])
    classifier = AdaptedClassifier.around(model, spec, AdapterConfig(method="lora+bitfit"))
    expected = logits(model)
    seen: list[int] = []
    for layer in classifier.backbone.layers():
        place = layer.module.get_submodule(spec.ffn_in)
        place.register_forward_hook(lambda module, given, output: seen.append(output.shape[1]))

    with first_position_only(classifier.backbone):
        narrowed = logits(model)

    torch.testing.assert_close(narrowed, expected, rtol=0, atol=1e-5)
    assert seen == [1, 1]
