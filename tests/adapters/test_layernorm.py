"""LayerNorm tuning: the backbone's LayerNorms and nothing else."""

import pytest
import torch
from torch import nn

from edgeadapt.recipe import AdapterConfig
from tests.conftest import TINY_CONFIGS
from tests.models.tiny import adapt, logits, make_model

pytestmark = pytest.mark.transformers5


@pytest.mark.parametrize("model_type", TINY_CONFIGS)
def test_exactly_the_layer_norms_of_the_encoder_are_listed(model_type: str) -> None:
    classifier = adapt(make_model(model_type), AdapterConfig(method="layernorm"))
    head = set(classifier.backbone.head)

    listed = set(classifier.adapter_parameters())

    # No other vector of these models has "norm" in its name.
    named = {
        name for name, _ in make_model(model_type).named_parameters() if "norm" in name.lower()
    }
    assert listed == {f"layernorm.{name}" for name in named - head}
    assert listed


@pytest.mark.parametrize("method", ["houlsby+layernorm", "layernorm+parallel+lora"])
def test_other_kinds_bring_no_layer_norm_and_hide_none(method: str) -> None:
    alone = adapt(make_model("bert"), AdapterConfig(method="layernorm"))

    combined = adapt(make_model("bert"), AdapterConfig(method=method)).adapter_parameters()

    listed = {name for name in combined if name.startswith("layernorm.")}
    assert listed == set(alone.adapter_parameters())


def test_the_layer_norm_that_a_bottleneck_reads_is_the_backbones_and_listed_once() -> None:
    config = AdapterConfig(method="houlsby+layernorm", original_ln_before=True)
    classifier = adapt(make_model("bert"), config)

    parameters = classifier.adapter_parameters()

    norm = classifier.model.get_submodule("bert.encoder.layer.0.output.LayerNorm")
    assert isinstance(norm, nn.LayerNorm)
    owners = [name for name, parameter in parameters.items() if parameter is norm.weight]
    assert owners == ["layernorm.bert.encoder.layer.0.output.LayerNorm.weight"]


@pytest.mark.parametrize("method", ["parallel+sequential+lora+ia3", "houlsby", "compacter"])
def test_layer_norms_are_frozen_under_kinds_that_add_weights(method: str) -> None:
    listed = adapt(make_model("bert"), AdapterConfig(method=method)).adapter_parameters()

    assert not [name for name in listed if "norm" in name.lower()]


def test_attaching_changes_no_logit_and_nothing_stays() -> None:
    model = make_model("bert")
    before = logits(model)

    classifier = adapt(model, AdapterConfig(method="layernorm"))

    assert torch.equal(logits(classifier.model), before)
    assert list(classifier.adapters["layernorm"].fold()) == []
