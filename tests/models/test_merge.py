"""Folding adapters into the backbone: exact, stock, and refused where it would lose something."""

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from transformers import AutoModelForSequenceClassification

from edgeadapt.backbones import backbone_spec
from edgeadapt.config import AdapterConfig
from edgeadapt.errors import ExportError
from edgeadapt.models.classifier import AdaptedClassifier
from edgeadapt.models.merge import merge
from tests.conftest import TINY_CONFIGS
from tests.models.tiny import HIDDEN, INTERMEDIATE, LAYERS, adapt, logits, make_model, randomize

MERGEABLE = ("parallel", "parallel+bitfit", "bitfit", "head", "full")


def adapted(model_type: str, method: str = "parallel", **values: object) -> AdaptedClassifier:
    """A classifier whose adapters hold random values, the up-projections too."""
    config = AdapterConfig(**{"method": method, "dimension": 5, **values})  # type: ignore[arg-type]
    classifier = adapt(make_model(model_type), config)
    randomize(classifier)
    return classifier


def adapted_as(
    model_type: str, *, dimension: int, scaling: float, dropout: float, seed: int
) -> AdaptedClassifier:
    classifier = adapted(model_type, dimension=dimension, scaling=scaling, dropout=dropout)
    randomize(classifier, seed=seed)
    return classifier


any_adapter = given(
    dimension=st.integers(1, 16),
    scaling=st.floats(-8, 8),
    dropout=st.sampled_from([0.0, 0.5]),
    seed=st.integers(0, 2**32 - 1),
)


@pytest.mark.parametrize("model_type", TINY_CONFIGS)
@any_adapter
@settings(max_examples=25, deadline=None)
def test_folded_logits_equal_the_adapters_in_float64(
    model_type: str, dimension: int, scaling: float, dropout: float, seed: int
) -> None:
    classifier = adapted_as(
        model_type, dimension=dimension, scaling=scaling, dropout=dropout, seed=seed
    )
    classifier.model.double()
    expected = logits(classifier.model)

    for adapter in classifier.adapters.values():
        adapter.fold()

    torch.testing.assert_close(logits(classifier.model), expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("model_type", TINY_CONFIGS)
@any_adapter
@settings(max_examples=25, deadline=None)
def test_merged_logits_equal_the_adapters_in_float32(
    model_type: str, dimension: int, scaling: float, dropout: float, seed: int
) -> None:
    classifier = adapted_as(
        model_type, dimension=dimension, scaling=scaling, dropout=dropout, seed=seed
    )
    expected = logits(classifier.model)

    merged = merge(classifier)

    assert merged.is_stock
    torch.testing.assert_close(logits(merged.model), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("model_type", TINY_CONFIGS)
def test_what_is_merged_makes_a_difference(model_type: str) -> None:
    difference = logits(adapted(model_type).model) - logits(make_model(model_type))

    assert difference.abs().max() > 0.05


@pytest.mark.parametrize("method", MERGEABLE)
def test_every_mergeable_method_keeps_its_logits(method: str) -> None:
    classifier = adapted("bert", method)
    expected = logits(classifier.model)

    merged = merge(classifier)

    torch.testing.assert_close(logits(merged.model), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("model_type", TINY_CONFIGS)
def test_the_result_is_the_stock_class_with_a_wider_ffn(model_type: str) -> None:
    stock, spec = make_model(model_type), backbone_spec(model_type)

    merged = merge(adapted(model_type, dimension=7))

    assert type(merged.model) is type(stock)
    assert getattr(merged.model.config, spec.intermediate_key) == INTERMEDIATE + 7
    assert merged.model.state_dict().keys() == stock.state_dict().keys()
    assert [type(m) for m in merged.model.modules()] == [type(m) for m in stock.modules()]
    assert merged.leftover.parameters == merged.leftover.macs_per_token == 0


@pytest.mark.parametrize("method", ["bitfit", "head", "full"])
def test_a_method_without_new_weights_leaves_the_width(method: str) -> None:
    assert merge(adapted("bert", method)).model.config.intermediate_size == INTERMEDIATE


def test_the_merged_model_answers_without_dropout_and_in_float32() -> None:
    classifier = adapted("bert", dropout=0.5)
    classifier.model.train()

    model = merge(classifier).model

    assert not any(module.training for module in model.modules())
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_the_merged_model_knows_its_labels() -> None:
    model = make_model("bert", num_labels=3)
    model.config.id2label = {0: "bad", 1: "so-so", 2: "good"}

    merged = merge(adapt(model, AdapterConfig()))

    assert merged.model.config.id2label == {0: "bad", 1: "so-so", 2: "good"}


@pytest.mark.parametrize("model_type", TINY_CONFIGS)
def test_saved_it_loads_in_plain_transformers_without_missing_or_unexpected_keys(
    model_type: str, tmp_path: Path
) -> None:
    classifier = adapted(model_type)
    expected = logits(classifier.model)
    merged = merge(classifier)

    returned = merged.save(tmp_path)

    plain, report = AutoModelForSequenceClassification.from_pretrained(
        tmp_path, output_loading_info=True
    )
    assert not any(report.values()), report
    torch.testing.assert_close(logits(plain.eval()), expected, rtol=0, atol=1e-5)
    assert torch.equal(logits(returned), logits(merged.model))


@pytest.mark.parametrize("method", MERGEABLE)
def test_every_mergeable_method_can_be_saved(method: str, tmp_path: Path) -> None:
    classifier = adapted("bert", method)
    expected = logits(classifier.model)

    returned = merge(classifier).save(tmp_path)

    torch.testing.assert_close(logits(returned), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("method", "sites"), [("sequential", 1), ("houlsby", 2)])
def test_leftover_adapters_stay_in_the_model(method: str, sites: int) -> None:
    classifier = adapted("bert", method)
    expected = logits(classifier.model)

    merged = merge(classifier)

    assert not merged.is_stock
    assert merged.leftover.parameters == LAYERS * sites * (2 * HIDDEN * 5 + 5 + HIDDEN)
    assert merged.leftover.macs_per_token == LAYERS * sites * 2 * HIDDEN * 5
    assert torch.equal(logits(merged.model), expected)


@pytest.mark.parametrize("method", ["houlsby", "sequential", "houlsby+bitfit"])
def test_a_model_with_leftover_adapters_refuses_to_be_saved(method: str, tmp_path: Path) -> None:
    merged = merge(adapted("bert", method))

    with pytest.raises(ExportError, match="cannot be saved as a stock checkpoint") as caught:
        merged.save(tmp_path / "torch")

    assert f"{merged.leftover.parameters:,} adapter parameters" in str(caught.value)
    assert "--method parallel" in caught.value.hint
    assert not (tmp_path / "torch").exists()


def test_ffns_of_different_widths_are_refused() -> None:
    classifier = adapted("bert")
    classifier.adapters["parallel"].fold()
    layer = classifier.encoder.layers()[1]
    layer.intermediate.dense = nn.Linear(HIDDEN, INTERMEDIATE)

    with pytest.raises(ExportError, match=r"different widths.*\[24, 29\]"):
        merge(AdaptedClassifier(classifier.encoder, {}))
