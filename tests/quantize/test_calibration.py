"""Fixed ranges of activations: coverage, and robustness against outliers."""

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from edgeadapt.quantize.calibration import activation_ranges
from edgeadapt.recipe import Calibration

Values = list[dict[str, NDArray[np.int64]]]


def identity() -> onnx.ModelProto:
    """``inner`` is the input as float; what it is used for does not matter."""
    nodes = [
        helper.make_node("Cast", ["ids"], ["inner"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["inner"], ["logits"], keepdims=0),
    ]
    graph = helper.make_graph(
        nodes,
        "identity",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, ["batch", "seq"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, None)],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def texts_with(values: NDArray[np.int64]) -> Values:
    """Texts of different lengths that hold all values."""
    pieces = np.split(values, [3, 10, len(values) // 2])
    return [{"ids": piece[None]} for piece in pieces]


def bell(count: int = 40_000) -> NDArray[np.int64]:
    return np.random.default_rng(0).normal(scale=1_000, size=count).astype(np.int64)


def range_of(values: NDArray[np.int64], method: Calibration) -> tuple[float, float]:
    return activation_ranges(identity(), ["inner"], texts_with(values), method=method)["inner"]


def test_min_max_is_the_smallest_and_the_largest_of_all_texts() -> None:
    values = bell()

    assert range_of(values, Calibration.MIN_MAX) == (values.min(), values.max())


@pytest.mark.parametrize("method", Calibration)
@pytest.mark.parametrize("sign", [1, -1])
def test_zero_is_always_within(method: Calibration, sign: int) -> None:
    low, high = range_of(sign * np.arange(500, 900), method)

    assert low <= 0 <= high
    assert max(high, -low) > 400


def test_percentile_cuts_one_in_ten_thousand() -> None:
    values = np.concatenate([bell(), [1_000_000]])

    low, high = range_of(values, Calibration.PERCENTILE)

    assert np.quantile(values, 0.9999) <= high < 10_000
    assert low >= values.min()


def test_entropy_does_not_spend_its_levels_on_a_single_outlier() -> None:
    values = np.concatenate([bell(), [20_000]])

    low, high = range_of(values, Calibration.ENTROPY)

    assert 3_000 < high < 15_000
    assert low < -1_000


def test_entropy_keeps_a_range_that_is_filled_evenly() -> None:
    values = np.arange(-20_000, 20_000)

    low, high = range_of(values, Calibration.ENTROPY)

    assert low < -0.95 * 20_000
    assert high > 0.95 * 20_000


@pytest.mark.parametrize("method", Calibration)
def test_a_tensor_of_zeros_has_a_range(method: Calibration) -> None:
    low, high = range_of(np.zeros(40, dtype=np.int64), method)

    assert low <= 0 <= high
    assert high > low


def test_the_order_of_texts_does_not_matter() -> None:
    texts = texts_with(bell())

    found = [
        activation_ranges(identity(), ["inner"], each, method=Calibration.ENTROPY)
        for each in (texts, texts[::-1])
    ]

    assert found[0] == found[1]


def test_without_texts_there_is_no_range() -> None:
    with pytest.raises(ValueError, match="at least one text"):
        activation_ranges(identity(), ["inner"], [], method=Calibration.MIN_MAX)


def test_the_graph_stays_as_it_was() -> None:
    model = identity()
    before = model.SerializeToString()

    activation_ranges(model, ["inner"], texts_with(bell()), method=Calibration.MIN_MAX)

    assert model.SerializeToString() == before
