"""What every kind of adapter promises, alone and combined."""

from itertools import permutations

import pytest
import torch

from edgeadapt.adapters import ADAPTERS, make_adapters
from edgeadapt.config import AdapterConfig, AdapterKind, TrainingConfig
from edgeadapt.data import Examples
from edgeadapt.errors import ModelError
from edgeadapt.models.classifier import AdaptedClassifier
from edgeadapt.models.sources import ModelSource
from edgeadapt.models.tokenizer import load_tokenizer
from edgeadapt.training.loop import fit, seeded
from tests.conftest import TINY_CONFIGS, review
from tests.models.tiny import LABELS, adapt, logits, make_model, randomize

SAME_PLACE = (AdapterKind.PARALLEL, AdapterKind.SEQUENTIAL, AdapterKind.HOULSBY)
"""All of them replace the second dense layer of the FFN."""
COMBINED = ("parallel+bitfit", "houlsby+bitfit", "parallel+head", "sequential+bitfit+head")


def build(source: ModelSource, method: str) -> AdaptedClassifier:
    with seeded(0):
        return AdaptedClassifier.build(source, LABELS, AdapterConfig(method=method, dimension=4))


def swapped(method: str) -> str:
    return "+".join(reversed(method.split("+")))


def test_every_kind_that_can_be_configured_exists() -> None:
    assert set(ADAPTERS) == set(AdapterKind)


def test_adapters_are_made_in_the_order_of_the_method() -> None:
    made = make_adapters(AdapterConfig(method="bitfit+parallel+head"))

    assert [type(adapter) for adapter in made] == [
        ADAPTERS[AdapterKind.BITFIT],
        ADAPTERS[AdapterKind.PARALLEL],
        ADAPTERS[AdapterKind.HEAD],
    ]


@pytest.mark.parametrize("model_type", TINY_CONFIGS)
@pytest.mark.parametrize("method", [*AdapterKind, "parallel+bitfit"])
def test_exactly_the_listed_parameters_and_the_head_get_gradients(
    sources: dict[str, ModelSource], model_type: str, method: str
) -> None:
    classifier = build(sources[model_type], method)
    ids = torch.tensor([[2, 10, 11, 3]])
    listed = {id(p) for p in classifier.adapter_parameters().values()}
    listed |= {id(p) for p in classifier.encoder.head.values()}

    classifier.model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits.sum().backward()

    with_gradient = {id(p) for p in classifier.model.parameters() if p.grad is not None}
    assert with_gradient == listed


@pytest.mark.parametrize("model_type", TINY_CONFIGS)
@pytest.mark.parametrize("kind", SAME_PLACE)
def test_every_parameter_of_an_adapter_moves_the_logits(model_type: str, kind: AdapterKind) -> None:
    classifier = adapt(make_model(model_type), AdapterConfig(method=kind, dimension=4))
    randomize(classifier)
    before = logits(classifier.model)

    for name, parameter in classifier.adapter_parameters().items():
        kept = parameter.data
        # Not a constant: LayerNorm would take it away again.
        parameter.data = kept + torch.linspace(0, 1, kept.numel()).view_as(kept)
        assert (logits(classifier.model) - before).abs().max() > 1e-4, name
        parameter.data = kept


@pytest.mark.parametrize("kind", AdapterKind)
def test_names_do_not_depend_on_random_values(
    sources: dict[str, ModelSource], kind: AdapterKind
) -> None:
    with seeded(1):
        one = AdaptedClassifier.build(sources["bert"], LABELS, AdapterConfig(method=kind))
    with seeded(2):
        other = AdaptedClassifier.build(sources["bert"], LABELS, AdapterConfig(method=kind))

    assert list(one.adapter_parameters()) == list(other.adapter_parameters())


@pytest.mark.parametrize("method", COMBINED)
def test_combined_kinds_list_the_same_parameters_in_both_orders(
    sources: dict[str, ModelSource], method: str
) -> None:
    forward = build(sources["bert"], method).adapter_parameters()
    backward = build(sources["bert"], swapped(method)).adapter_parameters()

    assert forward.keys() == backward.keys()
    for name in forward:
        assert torch.equal(forward[name], backward[name]), name


@pytest.mark.parametrize("method", COMBINED)
def test_combined_kinds_list_what_each_lists_alone(
    sources: dict[str, ModelSource], method: str
) -> None:
    alone = [build(sources["bert"], kind).adapter_parameters() for kind in method.split("+")]

    combined = build(sources["bert"], method).adapter_parameters()

    assert set(combined) == set().union(*alone)


@pytest.mark.parametrize("method", COMBINED)
def test_combined_kinds_train_to_the_same_result_in_both_orders(
    sources: dict[str, ModelSource], method: str
) -> None:
    texts, labels = zip(*map(review, range(16)), strict=True)
    examples = Examples(texts, torch.tensor([LABELS.index(label) for label in labels]).numpy())
    encoder = load_tokenizer(sources["bert"], max_length=32).encoder
    config = TrainingConfig(epochs=2, batch_size=8, learning_rate=2e-3)
    trained = []

    for order in (method, swapped(method)):
        classifier = build(sources["bert"], order)
        with seeded(0):
            fit(
                classifier,
                encoder,
                train=examples,
                validation=examples,
                config=config,
                device=torch.device("cpu"),
            )
        trained.append(logits(classifier.model.eval()))

    untrained = logits(build(sources["bert"], method).model.eval())
    torch.testing.assert_close(trained[0], trained[1], rtol=0, atol=1e-5)
    assert (trained[0] - untrained).abs().max() > 1e-3


@pytest.mark.parametrize("method", COMBINED)
def test_combined_kinds_fold_to_the_same_result_in_both_orders(method: str) -> None:
    folded = []

    for order in (method, swapped(method)):
        with seeded(0):
            classifier = adapt(make_model("bert"), AdapterConfig(method=order, dimension=4))
        leftovers = {name: adapter.fold() for name, adapter in classifier.adapters.items()}
        folded.append((leftovers, logits(classifier.model)))

    assert folded[0][0] == folded[1][0]
    assert torch.equal(folded[0][1], folded[1][1])


@pytest.mark.parametrize("pair", list(permutations(SAME_PLACE, 2)), ids="+".join)
def test_kinds_that_replace_the_same_layer_are_refused_by_name(
    sources: dict[str, ModelSource], pair: tuple[AdapterKind, AdapterKind]
) -> None:
    with pytest.raises(ModelError) as caught:
        build(sources["bert"], "+".join(pair))

    assert str(caught.value).count("cannot be combined") == 1
    assert pair[0] in str(caught.value)
    assert pair[1] in str(caught.value)


@pytest.mark.parametrize("pair", list(permutations(SAME_PLACE, 2)), ids="+".join)
def test_the_refusal_names_the_layer_that_is_taken(
    sources: dict[str, ModelSource], pair: tuple[AdapterKind, AdapterKind]
) -> None:
    with pytest.raises(ModelError, match=r"'output\.dense'"):
        build(sources["bert"], "+".join(pair))


@pytest.mark.parametrize("method", ["full+bitfit", "bitfit+full", "full+head", "full+parallel"])
def test_a_weight_that_two_kinds_select_is_trained_and_counted_once(
    sources: dict[str, ModelSource], method: str
) -> None:
    classifier = build(sources["bert"], method)

    trained = [id(parameter) for parameter in classifier.trained().values()]

    assert len(trained) == len(set(trained))
    assert classifier.count_parameters()[0] <= classifier.count_parameters()[1]
