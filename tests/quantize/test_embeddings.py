"""Embeddings in int8: every row has its own scale."""

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edgeadapt.quantize.embeddings import quantize_embeddings

ROWS, WIDTH = 24, 8


def model_of(table: NDArray[np.float32], *, read_twice: bool = False) -> onnx.ModelProto:
    """``words = table[ids]``; where the table is read twice, also ``scores = words · tableᵀ``."""
    nodes = [helper.make_node("Gather", ["table", "ids"], ["words"])]
    outputs = [helper.make_tensor_value_info("words", TensorProto.FLOAT, ["batch", "seq", WIDTH])]
    if read_twice:
        nodes.append(helper.make_node("Transpose", ["table"], ["across"], perm=[1, 0]))
        outputs.append(helper.make_tensor_value_info("across", TensorProto.FLOAT, None))
    ids = helper.make_tensor_value_info("ids", TensorProto.INT64, ["batch", "seq"])
    graph = helper.make_graph(
        nodes, "table", [ids], outputs, [numpy_helper.from_array(table, "table")]
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def looked_up(model: onnx.ModelProto, ids: NDArray[np.int64]) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return np.asarray(session.run(["words"], {"ids": ids})[0])


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_a_value_is_off_by_half_a_step_of_its_own_row_at_most(seed: int) -> None:
    generator = np.random.default_rng(seed)
    sizes = np.logspace(-4, 3, ROWS)[:, None]
    table = (generator.normal(size=(ROWS, WIDTH)) * sizes).astype(np.float32)
    ids = generator.integers(0, ROWS, (3, 5))

    found = looked_up(quantize_embeddings(model_of(table)), ids)

    step = np.abs(table).max(axis=1, keepdims=True) / 127
    assert (np.abs(found - table[ids]) <= 0.501 * step[ids]).all()


def test_a_row_of_zeros_stays_one() -> None:
    table = np.zeros((ROWS, WIDTH), dtype=np.float32)

    assert not looked_up(quantize_embeddings(model_of(table)), np.array([[0, 5]])).any()


def test_a_table_takes_a_byte_a_value_and_a_float_a_row() -> None:
    table = np.ones((ROWS, WIDTH), dtype=np.float32)

    graph = quantize_embeddings(model_of(table)).graph

    found = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    assert {name: (v.dtype, v.shape) for name, v in found.items()} == {
        "table_rows": (np.int8, (ROWS, WIDTH)),
        "table_row_scales": (np.float32, (ROWS, 1)),
    }


def test_what_is_sliced_off_a_table_is_float16_there() -> None:
    table = np.random.default_rng(0).normal(size=(ROWS, WIDTH)).astype(np.float32)
    model = model_of(table)
    graph = model.graph
    del graph.node[:], graph.input[:]
    ends = {"zero": [0], "three": [3]}
    graph.initializer.extend(numpy_helper.from_array(np.array(v), k) for k, v in ends.items())
    graph.node.append(helper.make_node("Slice", ["table", "zero", "three", "zero"], ["words"]))

    quantized = quantize_embeddings(model)

    session = onnxruntime.InferenceSession(
        quantized.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    np.testing.assert_array_equal(
        session.run(["words"], {})[0], table[:3].astype(np.float16).astype(np.float32)
    )
    assert TensorProto.FLOAT16 in {tensor.data_type for tensor in quantized.graph.initializer}


@pytest.mark.parametrize("case", ["read twice", "few rows", "another axis"])
def test_other_tables_stay_as_they_are(case: str) -> None:
    rows = 4 if case == "few rows" else ROWS
    table = np.ones((rows, WIDTH), dtype=np.float32)
    model = model_of(table, read_twice=case == "read twice")
    if case == "another axis":
        model.graph.node[0].attribute.append(helper.make_attribute("axis", 1))

    assert [t.name for t in quantize_embeddings(model).graph.initializer] == ["table"]


def test_the_model_that_was_passed_in_stays_as_it_was() -> None:
    model = model_of(np.ones((ROWS, WIDTH), dtype=np.float32))
    before = model.SerializeToString(deterministic=True)

    quantize_embeddings(model)

    assert model.SerializeToString(deterministic=True) == before
