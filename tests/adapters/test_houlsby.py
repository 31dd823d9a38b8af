"""The Houlsby adapter: two bottlenecks per layer."""

import pytest

from edgeadapt.config import AdapterConfig
from tests.conftest import TINY_CONFIGS
from tests.models.tiny import LAYERS, adapt, make_model


@pytest.mark.parametrize("model_type", TINY_CONFIGS)
def test_there_are_bottlenecks_after_the_attention_and_after_the_ffn(model_type: str) -> None:
    classifier = adapt(make_model(model_type), AdapterConfig(method="houlsby"))

    assert set(classifier.adapter_parameters()) == {
        f"houlsby.layers.{layer}.{site}.{projection}.{tensor}"
        for layer in range(LAYERS)
        for site in ("attention_output", "ffn_out")
        for projection in ("down", "up")
        for tensor in ("weight", "bias")
    }


@pytest.mark.parametrize("model_type", TINY_CONFIGS)
def test_both_sites_of_a_layer_are_replaced(model_type: str) -> None:
    model = make_model(model_type)
    spec = adapt(make_model(model_type), AdapterConfig(method="head")).encoder.spec
    layer = model.get_submodule(spec.layers)[1]
    before = [layer.get_submodule(name) for name in (spec.attention_output, spec.ffn_out)]

    adapt(model, AdapterConfig(method="houlsby"))

    after = [layer.get_submodule(name) for name in (spec.attention_output, spec.ffn_out)]
    assert all(new is not old for new, old in zip(after, before, strict=True))
    assert all(old in new.modules() for new, old in zip(after, before, strict=True))
