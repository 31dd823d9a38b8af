"""Layer costs are measured in the form in which the model will run."""

from math import isfinite

import pytest

from edgeadapt.graph.layer_stack import EncoderShape
from edgeadapt.quantize.layer_costs import SPEED_TOKENS, layer_costs
from edgeadapt.quantize.options import Quantization
from edgeadapt.recipe import Scheme
from edgeadapt.store.structure import Structure

FULL = Structure((2, 2), (64, 64))
SHAPE = EncoderShape(hidden=16, head_size=8)


@pytest.mark.parametrize(
    "asked", [None, Quantization(), Quantization((Scheme.STATIC_INT8,))], ids=str
)
def test_every_form_has_costs(asked: Quantization | None) -> None:
    found = layer_costs(asked, SHAPE, FULL, max_length=512, threads=1)

    assert found.tokens == SPEED_TOKENS
    assert 0 < found.of(FULL) < float("inf")
    assert isfinite(found.of(Structure((1,), (0,))))


def test_no_more_tokens_are_measured_than_the_model_takes() -> None:
    assert layer_costs(None, SHAPE, FULL, max_length=20, threads=1).tokens == 20
