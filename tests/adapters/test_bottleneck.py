"""The bottleneck after a dense layer, which sequential and Houlsby adapters share."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from edgeadapt.adapters import Leftover
from edgeadapt.config import AdapterConfig
from edgeadapt.errors import ModelError
from tests.conftest import TINY_CONFIGS
from tests.models.tiny import HIDDEN, INTERMEDIATE, LAYERS, adapt, logits, make_model, randomize

KINDS = ("sequential", "houlsby")
BOTTLENECK = 2 * HIDDEN * 5 + 5 + HIDDEN
"""Parameters of one bottleneck of width 5."""


def ffn_out(
    model_type: str, config: AdapterConfig
) -> tuple[Callable[[Tensor], Tensor], list[Tensor]]:
    """The adapted second dense layer of layer 0, and the four tensors of its bottleneck."""
    classifier = adapt(make_model(model_type), config)
    randomize(classifier)
    parameters = classifier.adapter_parameters()
    prefix = f"{config.method}.layers.0.ffn_out"
    names = ("down.weight", "down.bias", "up.weight", "up.bias")
    layer = classifier.encoder.layers()[0]
    return layer.get_submodule(classifier.encoder.spec.ffn_out), [
        parameters[f"{prefix}.{name}"] for name in names
    ]


def plain_ffn_out(model_type: str) -> Callable[[Tensor], Tensor]:
    encoder = adapt(make_model(model_type), AdapterConfig(method="head")).encoder
    return encoder.layers()[0].get_submodule(encoder.spec.ffn_out)


@pytest.mark.parametrize("model_type", TINY_CONFIGS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_output_is_the_dense_layers_plus_the_bottleneck_of_it(
    model_type: str, kind: str
) -> None:
    adapted, (down, down_bias, up, up_bias) = ffn_out(
        model_type, AdapterConfig(method=kind, dimension=5)
    )
    inner = torch.randn(2, 3, INTERMEDIATE)

    dense = plain_ffn_out(model_type)(inner)

    expected = dense + F.gelu(dense @ down.T + down_bias) @ up.T + up_bias
    torch.testing.assert_close(adapted(inner), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_the_bottleneck_takes_the_activation_that_is_asked_for(kind: str) -> None:
    adapted, (down, down_bias, up, up_bias) = ffn_out(
        "bert", AdapterConfig(method=kind, dimension=5, activation="tanh")
    )
    inner = torch.randn(3, INTERMEDIATE)

    dense = plain_ffn_out("bert")(inner)

    expected = dense + torch.tanh(dense @ down.T + down_bias) @ up.T + up_bias
    torch.testing.assert_close(adapted(inner), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_an_unknown_activation_is_refused_by_name(kind: str) -> None:
    with pytest.raises(ModelError, match="wiggle"):
        adapt(make_model("bert"), AdapterConfig(method=kind, activation="wiggle"))


@pytest.mark.parametrize("model_type", TINY_CONFIGS)
@pytest.mark.parametrize("kind", KINDS)
def test_at_step_0_the_logits_are_close_to_the_backbones(model_type: str, kind: str) -> None:
    expected = logits(make_model(model_type))

    adapted = adapt(make_model(model_type), AdapterConfig(method=kind, dimension=5))

    assert 0 < (logits(adapted.model) - expected).abs().max() < 0.05


@pytest.mark.parametrize("kind", KINDS)
def test_initial_weights_are_small_and_biases_zero(kind: str) -> None:
    classifier = adapt(make_model("bert"), AdapterConfig(method=kind, dimension=64))

    for name, parameter in classifier.adapter_parameters().items():
        if name.endswith("bias"):
            assert not parameter.any(), name
        else:
            assert parameter.abs().max() <= 0.02, name
            assert 0.007 < parameter.std() < 0.011, name


def test_dropout_acts_only_in_training() -> None:
    adapted, _ = ffn_out("bert", AdapterConfig(method="sequential", dimension=5, dropout=0.75))
    inner = torch.randn(8, INTERMEDIATE)
    dense = plain_ffn_out("bert")(inner)

    answered = adapted(inner) - dense
    adapted.train()  # type: ignore[attr-defined]
    dropped = adapted(inner) - dense

    kept = dropped.abs() > 1e-5
    assert (answered.abs() > 1e-5).all()
    assert 0 < kept.sum() < kept.numel() / 2
    torch.testing.assert_close(dropped[kept], 4 * answered[kept], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("kind", "sites"), [("sequential", 1), ("houlsby", 2)])
@pytest.mark.parametrize("model_type", TINY_CONFIGS)
def test_folding_reports_what_stays_and_what_it_costs(
    model_type: str, kind: str, sites: int
) -> None:
    classifier = adapt(make_model(model_type), AdapterConfig(method=kind, dimension=5))

    leftover = classifier.adapters[kind].fold()

    assert leftover == Leftover(
        parameters=LAYERS * sites * BOTTLENECK, macs_per_token=LAYERS * sites * 2 * HIDDEN * 5
    )


@pytest.mark.parametrize("kind", KINDS)
def test_folding_changes_no_logit(kind: str) -> None:
    classifier = adapt(make_model("bert"), AdapterConfig(method=kind, dimension=5))
    randomize(classifier)
    before = logits(classifier.model)

    classifier.adapters[kind].fold()

    assert torch.equal(logits(classifier.model), before)
