"""Refitting: what is left of a layer computes what the whole layer did, as well as it can."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from edgeadapt.backbones import BACKBONES, backbone_spec
from edgeadapt.models.text_model import TextModel
from edgeadapt.runtime.resized import KeptWidths, keep_layers, resize
from edgeadapt.shrink.least_squares import NormalEquations, fit_dense
from edgeadapt.shrink.refit import HeadTargets, SublayerTargets
from tests.shrink.small import NEURONS, examples, text_model

TEXTS = examples(60).texts
WITH_NEURONS = [name for name, spec in BACKBONES.items() if spec.groups_key is None]


def pruned(model: TextModel, *widths: KeptWidths) -> TextModel:
    smaller = copy.deepcopy(model.merged.model)
    resize(smaller, backbone_spec(smaller.config.model_type), widths)
    return TextModel(model.merged.resized(smaller), model.encoder)


def shift(model: TextModel, other: TextModel) -> float:
    return float(abs(model.logits(TEXTS) - other.logits(TEXTS)).max())


@given(
    seed=st.integers(0, 10_000),
    rows=st.integers(8, 200),
    width=st.integers(1, 40),
    bias=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_fitting_never_raises_the_error_on_held_out_rows(
    seed: int, rows: int, width: int, bias: bool
) -> None:
    drawn = torch.Generator().manual_seed(seed)
    dense = nn.Linear(width, 3, bias=bias)
    inputs = torch.randn(rows, width, generator=drawn)
    targets = torch.randn(rows, 3, generator=drawn)
    held_out = torch.arange(rows) % 5 == 0

    def error() -> float:
        with torch.no_grad():
            return float((dense(inputs) - targets)[held_out].square().mean())

    before = error()
    found = fit_dense(dense, inputs, targets, held_out, name="dense")

    assert found.error <= found.error_before
    assert found.error_before == pytest.approx(before, rel=1e-4)
    # The held-out rows were added to the fit once they had chosen its strength.
    assert error() <= found.error * (1 + 1e-3) + 1e-6


def test_a_layer_learns_what_can_be_computed_from_its_inputs() -> None:
    drawn = torch.Generator().manual_seed(0)
    truth, dense = nn.Linear(8, 4), nn.Linear(8, 4)
    inputs = torch.randn(500, 8, generator=drawn)

    found = fit_dense(
        dense, inputs, truth(inputs).detach(), torch.arange(500) % 5 == 0, name="dense"
    )

    assert found.error < 1e-4 * found.error_before
    torch.testing.assert_close(dense.weight, truth.weight, atol=0.01, rtol=0.01)


def test_what_is_large_and_constant_in_the_inputs_does_not_hide_the_rest() -> None:
    drawn = torch.Generator().manual_seed(0)
    truth, dense = nn.Linear(8, 4), nn.Linear(8, 4)
    inputs = torch.randn(500, 8, generator=drawn) + 1e3 * torch.randn(8, generator=drawn)
    rows = torch.arange(500)

    equations = NormalEquations(dense)
    with torch.no_grad():
        targets = truth(inputs - inputs.mean(0))
        for part in rows.split(100):
            held_out = part % 5 == 0
            equations.add(inputs[part], targets[part], torch.ones(100), held_out)
    found = equations.solve("dense")

    assert found.error < 1e-4 * found.error_before
    torch.testing.assert_close(dense.weight, truth.weight, atol=0.01, rtol=0.01)


def test_a_layer_is_fitted_where_rounding_makes_the_held_out_rows_singular() -> None:
    drawn = torch.Generator().manual_seed(0)
    truth, dense = nn.Linear(32, 4, bias=False), nn.Linear(32, 4, bias=False)
    inputs, held_out = torch.randn(500, 32, generator=drawn), torch.arange(500) % 5 == 0
    inputs[held_out] = 1e6 * torch.randn(100, 1, generator=drawn) * torch.randn(32, generator=drawn)

    found = fit_dense(dense, inputs, truth(inputs).detach(), held_out, name="dense")

    assert found.error < 1e-4 * found.error_before
    torch.testing.assert_close(dense.weight, truth.weight, atol=0.01, rtol=0.01)


@pytest.mark.parametrize("value", [1.0, 0.1])
def test_inputs_that_are_always_the_same_change_nothing(value: float) -> None:
    dense = nn.Linear(4, 2)
    before = copy.deepcopy(dense.weight)

    inputs = torch.full((20, 4), value)
    fit_dense(dense, inputs, torch.zeros(20, 2), torch.arange(20) < 4, name="dense")

    assert torch.equal(dense.weight, before)


@pytest.mark.parametrize("model_type", WITH_NEURONS)
def test_a_model_from_which_nothing_was_removed_stays_as_it_is(model_type: str) -> None:
    model = text_model(model_type)
    same = TextModel(model.merged.resized(copy.deepcopy(model.merged.model)), model.encoder)

    SublayerTargets(model, TEXTS, first_position=False).fit(same.merged.model, range(3))
    HeadTargets(model, TEXTS).fit(same.merged.model)

    assert shift(model, same) < 1e-5


@pytest.mark.parametrize("model_type", WITH_NEURONS)
def test_a_neuron_that_repeats_another_is_not_missed(model_type: str) -> None:
    model = text_model(model_type)
    spec = backbone_spec(model.merged.model.config.model_type)
    first = next(model.merged.model.get_submodule(spec.layers).children())
    with torch.no_grad():
        dense = first.get_submodule(spec.ffn_in)
        for start in (0,) if spec.gate_bias_key is None else (0, NEURONS):
            dense.weight[start + 5] = dense.weight[start + 4]
            if dense.bias is not None:
                dense.bias[start + 5] = dense.bias[start + 4]
    others = KeptWidths(None, None)
    without = KeptWidths(None, [n for n in range(NEURONS) if n != 5])
    smaller = pruned(model, without, others, others)
    before = shift(model, smaller)

    SublayerTargets(model, TEXTS, first_position=False).fit(smaller.merged.model, range(3))

    assert shift(model, smaller) < 0.2 * before


@pytest.mark.parametrize("model_type", ["bert", "distilbert", "modernbert"])
def test_narrower_layers_compute_more_of_what_the_whole_ones_did(model_type: str) -> None:
    model = text_model(model_type)
    half = KeptWidths([0, 2, 3], range(0, NEURONS, 2))
    smaller = pruned(model, half, half, half)
    targets = SublayerTargets(model, TEXTS, first_position=False)

    fitted = targets.fit(smaller.merged.model, range(3))

    # Three layers: two outputs, the FFN's first layer, and but for the first layer, of which the
    # inputs are as before, queries, keys and values, in ModernBERT one dense layer.
    assert len(fitted) == (11 if model_type == "modernbert" else 15)
    assert all(found.error <= found.error_before for found in fitted)
    assert sum(found.error < 0.9 * found.error_before for found in fitted) >= 3


def test_a_dropped_sublayer_keeps_the_mean_of_what_it_computed() -> None:
    model = text_model()
    nothing, others = KeptWidths([], []), KeptWidths(None, None)
    smaller = pruned(model, others, nothing, others)
    before = smaller.merged.model.bert.encoder.layer[1].output.dense.bias.clone()

    fitted = SublayerTargets(model, TEXTS, first_position=True).fit(smaller.merged.model, range(3))

    assert all(found.error <= found.error_before for found in fitted)
    assert not torch.equal(smaller.merged.model.bert.encoder.layer[1].output.dense.bias, before)


@pytest.mark.parametrize("model_type", BACKBONES)
def test_the_head_of_a_shallower_model_is_fitted_to_what_it_read_before(model_type: str) -> None:
    model = text_model(model_type)
    shorter = copy.deepcopy(model.merged.model)
    keep_layers(shorter, backbone_spec(shorter.config.model_type), range(2))

    found = HeadTargets(model, TEXTS).fit(shorter)

    assert found.error < found.error_before


def test_fitting_twice_gives_the_same_weights() -> None:
    model = text_model()
    half = KeptWidths([0, 1], range(40))
    weights = []
    for _ in range(2):
        smaller = pruned(model, half, half, half)
        SublayerTargets(model, TEXTS, first_position=True).fit(smaller.merged.model, range(3))
        weights.append(smaller.merged.model.state_dict())

    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
