"""The Houlsby adapter: two bottlenecks per layer."""

import pytest

from edgeadapt.adapters.parts import Part
from edgeadapt.recipe import AdapterConfig
from tests.conftest import TINY_CONFIGS
from tests.models.tiny import LAYERS, adapt, make_model

pytestmark = pytest.mark.transformers5


@pytest.mark.parametrize("model_type", TINY_CONFIGS)
def test_there_are_bottlenecks_after_the_attention_and_after_the_ffn(model_type: str) -> None:
    classifier = adapt(make_model(model_type), AdapterConfig(method="houlsby"))

    assert set(classifier.adapter_parameters()) == {
        f"houlsby.layers.{layer}.{sublayer}.{projection}.{tensor}"
        for layer in range(LAYERS)
        for sublayer in ("attention", "ffn")
        for projection in ("down", "up")
        for tensor in ("weight", "bias")
    }


@pytest.mark.parametrize("model_type", TINY_CONFIGS)
def test_bottlenecks_are_around_the_last_dense_layers_of_both_sublayers_and_nowhere_else(
    model_type: str,
) -> None:
    classifier = adapt(make_model(model_type), AdapterConfig(method="houlsby"))
    spec = classifier.backbone.spec

    around = {name for name, module in classifier.model.named_modules() if isinstance(module, Part)}

    assert around == {
        f"{layer.path}.{name}"
        for layer in classifier.backbone.layers()
        for name in (spec.attention_output, spec.ffn_out)
    }
