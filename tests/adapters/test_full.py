"""Full fine-tuning: everything is trained, and nothing remains to be folded."""

import pytest

from edgeadapt.recipe import AdapterConfig
from tests.conftest import TINY_CONFIGS
from tests.models.tiny import adapt, make_model

pytestmark = pytest.mark.transformers5


@pytest.mark.parametrize("model_type", TINY_CONFIGS)
def test_every_weight_of_the_encoder_is_listed(model_type: str) -> None:
    classifier = adapt(make_model(model_type), AdapterConfig(method="full"))
    head = set(classifier.backbone.head)

    assert set(classifier.adapter_parameters()) == {
        f"full.{name}" for name, _ in make_model(model_type).named_parameters() if name not in head
    }


@pytest.mark.parametrize("model_type", TINY_CONFIGS)
def test_all_parameters_are_counted_as_trained(model_type: str) -> None:
    total = sum(parameter.numel() for parameter in make_model(model_type).parameters())

    classifier = adapt(make_model(model_type), AdapterConfig(method="full"))

    assert classifier.count_parameters() == (total, total)


def test_nothing_stays() -> None:
    classifier = adapt(make_model("bert"), AdapterConfig(method="full"))

    assert list(classifier.adapters["full"].fold()) == []
