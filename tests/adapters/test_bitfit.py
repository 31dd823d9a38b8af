"""BitFit: the bias vectors of the backbone, under their original names."""

import pytest
import torch

from edgeadapt.recipe import AdapterConfig
from tests.conftest import TINY_CONFIGS
from tests.models.tiny import adapt, logits, make_model

pytestmark = pytest.mark.transformers5


@pytest.mark.parametrize("model_type", TINY_CONFIGS)
def test_exactly_the_vectors_of_the_encoder_are_listed(model_type: str) -> None:
    classifier = adapt(make_model(model_type), AdapterConfig(method="bitfit"))
    head = set(classifier.backbone.head)

    assert set(classifier.adapter_parameters()) == {
        f"bitfit.{name}"
        for name, parameter in make_model(model_type).named_parameters()
        if parameter.ndim == 1 and name not in head
    }


@pytest.mark.parametrize(
    "method", ["parallel+bitfit", "bitfit+parallel", "bitfit+houlsby", "ia3+bitfit+lora"]
)
def test_vectors_of_another_adapter_are_not_listed(method: str) -> None:
    alone = adapt(make_model("bert"), AdapterConfig(method="bitfit"))

    combined = adapt(make_model("bert"), AdapterConfig(method=method))

    listed = {name for name in combined.adapter_parameters() if name.startswith("bitfit.")}
    assert listed == set(alone.adapter_parameters())


def test_attaching_changes_no_logit_and_no_module() -> None:
    model = make_model("bert")
    modules, before = list(model.modules()), logits(model)

    adapt(model, AdapterConfig(method="bitfit"))

    assert list(model.modules()) == modules
    assert torch.equal(logits(model), before)


def test_nothing_stays() -> None:
    classifier = adapt(make_model("bert"), AdapterConfig(method="bitfit"))

    assert list(classifier.adapters["bitfit"].fold()) == []


@pytest.mark.parametrize("method", ["bitfit", "layernorm", "full"])
def test_only_what_is_in_the_chosen_layers_is_trained(method: str) -> None:
    classifier = adapt(make_model("bert"), AdapterConfig(method=method, layers="1"))

    names = set(classifier.adapter_parameters())
    assert names
    assert all(name.startswith(f"{method}.bert.encoder.layer.1.") for name in names)
