"""Static int8: fixed scales, what stays in float, and unchanged predictions."""

import numpy as np
import pytest
from onnx import numpy_helper

from edgeadapt.quantize.static_int8 import quantize_static
from edgeadapt.recipe import Calibration
from tests.quantize.graphs import INNER, WORDS, classifier_graph, logits_of

pytestmark = pytest.mark.versions

IDS = np.random.default_rng(1).integers(0, WORDS, (12, 9))
TEXTS = [{"input_ids": row[None, : 3 + number % 6]} for number, row in enumerate(IDS)]


@pytest.mark.parametrize("calibration", Calibration)
def test_the_answers_stay_close_to_fp32s(calibration: Calibration) -> None:
    model = classifier_graph()

    found = logits_of(quantize_static(model, TEXTS, calibration=calibration), IDS)

    expected = logits_of(model, IDS)
    assert 0 < np.abs(found - expected).max() < 0.15 * np.abs(expected).max()


def test_scales_are_constants_and_a_weight_has_one_for_each_channel() -> None:
    model = quantize_static(classifier_graph(), TEXTS, calibration=Calibration.MIN_MAX)

    found = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    assert found["first_scale"].shape == (INNER,)
    assert found["first_quantized"].dtype == np.int8
    assert found["words_scale"].shape == ()
    assert "DynamicQuantizeLinear" not in {node.op_type for node in model.graph.node}


def test_only_what_enters_a_product_is_quantized() -> None:
    model = quantize_static(classifier_graph(), TEXTS, calibration=Calibration.MIN_MAX)

    quantized = {n.input[0] for n in model.graph.node if n.op_type == "QuantizeLinear"}
    assert quantized == {"words", "active", "pooled"}


def test_seven_bits_reach_half_as_far() -> None:
    model = quantize_static(
        classifier_graph(), TEXTS, calibration=Calibration.MIN_MAX, reduce_range=True
    )

    found = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    assert np.abs(found["first_quantized"].astype(int)).max() <= 64


def test_what_is_kept_stays_in_fp32() -> None:
    model = quantize_static(
        classifier_graph(), TEXTS, calibration=Calibration.MIN_MAX, keep=["/first", "/head"]
    )

    names = {tensor.name for tensor in model.graph.initializer}
    assert {"first", "second_quantized"} <= names
    assert "first_quantized" not in names
