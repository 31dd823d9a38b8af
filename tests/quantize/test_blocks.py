"""Weights in blocks: accuracy, size, and what is not quantized."""

import numpy as np
import onnx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import numpy_helper

from edgeadapt.quantize.blocks import Blocks, packed_blocks, quantize_blocks
from tests.quantize.graphs import INNER, WIDTH, WORDS, classifier_graph, logits_of

IDS = np.random.default_rng(1).integers(0, WORDS, (2, 9))


def unpacked(blocks: Blocks, bits: int, rows: int) -> NDArray[np.float32]:
    """The matrix that the blocks stand for, by the operator's description."""
    values = blocks.values
    if bits == 4:
        values = np.stack([values & 15, values >> 4], axis=-1).reshape(*values.shape[:2], -1)
    levels = values.astype(np.float32) - 2 ** (bits - 1)
    return (levels * blocks.scales[..., None]).reshape(len(values), -1).T[:rows]


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    bits=st.sampled_from([4, 8]),
    rows=st.integers(1, 70),
    columns=st.integers(1, 5),
)
@example(seed=518904797, bits=4, rows=24, columns=5)  # several weights opposite the largest
def test_no_block_is_further_off_than_plain_rounding_would_be(
    seed: int, bits: int, rows: int, columns: int
) -> None:
    generator = np.random.default_rng(seed)
    weight = (generator.normal(size=(rows, columns)) * generator.lognormal(size=columns)).astype(
        np.float32
    )

    found = unpacked(packed_blocks(weight, bits=bits, block_size=16), bits, rows)

    for start in range(0, rows, 16):
        block, middle = weight[start : start + 16], 2 ** (bits - 1)
        largest = np.take_along_axis(block, np.abs(block).argmax(axis=0)[None], axis=0)
        # The largest weight gets the lowest level; there is one level fewer on the other side.
        step = -largest / middle
        plain = np.clip(np.rint(block / step), -middle, middle - 1) * step
        worst = np.square(plain - block).sum(axis=0) * (1 + 1e-5) + 1e-9
        assert (np.square(found[start : start + 16] - block).sum(axis=0) <= worst).all()


@pytest.mark.parametrize("bits", [4, 8])
def test_a_block_of_zeros_stays_one(bits: int) -> None:
    weight = np.zeros((32, 3), np.float32)

    assert not unpacked(packed_blocks(weight, bits=bits, block_size=32), bits, 32).any()


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("block_size", [16, 32])
def test_the_operator_multiplies_with_what_the_blocks_stand_for(bits: int, block_size: int) -> None:
    model = classifier_graph()
    found = quantize_blocks(model, bits=bits, block_size=block_size, int8_compute=False)
    expected = onnx.ModelProto()
    expected.CopyFrom(model)
    for tensor in expected.graph.initializer:
        value = numpy_helper.to_array(tensor)
        if tensor.name in ("first", "second", "head"):
            matrix = value.T if tensor.name == "head" else value
            blocks = packed_blocks(matrix, bits=bits, block_size=block_size)
            restored = unpacked(blocks, bits, len(matrix))
            restored = restored.T if tensor.name == "head" else restored
            tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(restored), tensor.name))

    np.testing.assert_allclose(logits_of(found, IDS), logits_of(expected, IDS), atol=1e-5)


def test_multiplying_in_int8_stays_close_and_is_not_the_same() -> None:
    exact, int8 = (
        logits_of(
            quantize_blocks(classifier_graph(), bits=8, block_size=32, int8_compute=compute), IDS
        )
        for compute in (False, True)
    )

    assert 0 < np.abs(exact - int8).max() < 0.05


def test_four_bits_take_half_the_bytes_of_eight() -> None:
    sizes = {}
    for bits in (4, 8):
        model = quantize_blocks(classifier_graph(), bits=bits, block_size=32, int8_compute=True)
        sizes[bits] = {
            t.name: len(t.raw_data) for t in model.graph.initializer if t.name == f"first_q{bits}"
        }

    assert sizes == {4: {"first_q4": WIDTH * INNER // 2}, 8: {"first_q8": WIDTH * INNER}}


def test_what_is_kept_stays_in_fp32() -> None:
    model = quantize_blocks(
        classifier_graph(), bits=8, block_size=32, int8_compute=True, keep=["/first", "/head"]
    )

    operators = {node.name: node.op_type for node in model.graph.node}
    assert (operators["/first"], operators["/second"]) == ("MatMul", "MatMulNBits")
    assert operators["/head"] == "MatMul"
