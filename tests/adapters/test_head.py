"""Head-only training: the backbone is unchanged."""

import pytest

from edgeadapt.recipe import AdapterConfig
from tests.conftest import TINY_CONFIGS
from tests.models.tiny import adapt, make_model

pytestmark = pytest.mark.transformers5


@pytest.mark.parametrize("model_type", TINY_CONFIGS)
def test_nothing_but_the_head_is_trained(model_type: str) -> None:
    classifier = adapt(make_model(model_type), AdapterConfig(method="head"))

    assert classifier.adapter_parameters() == {}
    assert classifier.trained().keys() == classifier.backbone.head.keys()


def test_nothing_stays() -> None:
    classifier = adapt(make_model("bert"), AdapterConfig(method="head"))

    assert list(classifier.adapters["head"].fold()) == []
