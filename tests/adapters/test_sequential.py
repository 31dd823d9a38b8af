"""The sequential adapter: one bottleneck per layer."""

import pytest

from edgeadapt.recipe import AdapterConfig
from tests.conftest import TINY_CONFIGS
from tests.models.tiny import LAYERS, adapt, make_model

pytestmark = pytest.mark.transformers5


@pytest.mark.parametrize("model_type", TINY_CONFIGS)
def test_there_is_one_bottleneck_per_layer_after_the_ffn(model_type: str) -> None:
    classifier = adapt(make_model(model_type), AdapterConfig(method="sequential"))

    assert set(classifier.adapter_parameters()) == {
        f"sequential.layers.{layer}.ffn.{projection}.{tensor}"
        for layer in range(LAYERS)
        for projection in ("down", "up")
        for tensor in ("weight", "bias")
    }
