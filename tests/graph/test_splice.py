"""Splicing: bottlenecks that do not fold are inserted into the graph of a stock model."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from edgeadapt.backbones import Reads
from edgeadapt.errors import ExportError
from edgeadapt.graph.splice import Splice, splice

WIDTH = 4
RNG = np.random.default_rng(0)
WEIGHTS = {
    "value": RNG.normal(size=(WIDTH, WIDTH)).astype(np.float32),
    "output": RNG.normal(size=(WIDTH, WIDTH)).astype(np.float32),
    "bias": RNG.normal(size=WIDTH).astype(np.float32),
}
DOUBLE = np.float32(2)


def stock() -> onnx.ModelProto:
    """A sublayer: ``y = relu((v(x) W + b) + x)``, its nodes named as exporters name them."""
    nodes = [
        helper.make_node("MatMul", ["x", "value"], ["v"], name="/net/layer.0/value/MatMul"),
        helper.make_node("MatMul", ["v", "output"], ["h0"], name="/net/layer.0/dense/MatMul"),
        helper.make_node("Add", ["bias", "h0"], ["h"], name="/net/layer.0/dense/Add"),
        helper.make_node("Add", ["h", "x"], ["sum"], name="/net/layer.0/Add"),
        helper.make_node("Relu", ["sum"], ["y"], name="/net/layer.0/norm/Relu"),
    ]
    return _model(nodes, {name: numpy_helper.from_array(w, name) for name, w in WEIGHTS.items()})


def fragment() -> onnx.ModelProto:
    """A bottleneck that doubles what it reads."""
    two = numpy_helper.from_array(DOUBLE, "two")
    return _model([helper.make_node("Mul", ["x", "two"], ["y"], name="/Mul")], {"two": two})


def _model(nodes: list[onnx.NodeProto], initializers: dict[str, TensorProto]) -> onnx.ModelProto:
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", "seq", WIDTH])
        for name in ("x", "y")
    ]
    graph = helper.make_graph(nodes, "g", values[:1], values[1:], list(initializers.values()))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def bottleneck(reads: Reads, dense: str = "net.layer.0.dense") -> Splice:
    return Splice(dense=dense, first="net.layer.0.value", reads=reads, fragment=fragment())


def run(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    return np.asarray(ReferenceEvaluator(model).run(None, {"x": x})[0])


@pytest.fixture
def x() -> np.ndarray:
    return RNG.normal(size=(2, 3, WIDTH)).astype(np.float32)


def dense_output(x: np.ndarray) -> np.ndarray:
    return x @ WEIGHTS["value"] @ WEIGHTS["output"] + WEIGHTS["bias"]


def test_a_bottleneck_can_read_the_output_of_the_dense_layer(x: np.ndarray) -> None:
    h = dense_output(x)

    found = run(splice(stock(), [bottleneck(Reads.OUTPUT)]), x)

    np.testing.assert_allclose(found, np.maximum(h + 2 * h + x, 0), rtol=1e-5)


def test_a_bottleneck_can_read_the_input_of_the_sublayer(x: np.ndarray) -> None:
    found = run(splice(stock(), [bottleneck(Reads.INPUT)]), x)

    np.testing.assert_allclose(found, np.maximum(dense_output(x) + 2 * x + x, 0), rtol=1e-5)


def test_a_bottleneck_can_read_the_residual_sum(x: np.ndarray) -> None:
    total = dense_output(x) + x

    found = run(splice(stock(), [bottleneck(Reads.NORMED)]), x)

    np.testing.assert_allclose(found, np.maximum(total + 2 * total, 0), rtol=1e-5)


def test_of_two_on_one_dense_layer_the_second_reads_what_the_first_gave(x: np.ndarray) -> None:
    first = dense_output(x) + 2 * x

    found = run(splice(stock(), [bottleneck(Reads.INPUT), bottleneck(Reads.OUTPUT)]), x)

    np.testing.assert_allclose(found, np.maximum(first + 2 * first + x, 0), rtol=1e-5)


def test_a_branch_that_reads_the_tensor_reads_the_new_one(x: np.ndarray) -> None:
    model = stock()
    out = helper.make_tensor_value_info("inner", TensorProto.FLOAT, None)
    branch = helper.make_graph(
        [helper.make_node("Identity", ["h"], ["inner"])], "branch", [], [out]
    )
    yes = numpy_helper.from_array(np.array(True), "yes")
    model.graph.initializer.append(yes)
    node = helper.make_node("If", ["yes"], ["picked"], then_branch=branch, else_branch=branch)
    del model.graph.node[3:]
    model.graph.node.extend(
        [node, helper.make_node("Identity", ["picked"], ["y"], name="/net/layer.0/Identity")]
    )
    h = dense_output(x)

    found = run(splice(model, [bottleneck(Reads.OUTPUT)]), x)

    np.testing.assert_allclose(found, 3 * h, rtol=1e-5)


def test_the_graph_stays_in_an_order_that_can_be_run() -> None:
    onnx.checker.check_model(splice(stock(), [bottleneck(Reads.OUTPUT)]), full_check=True)


def test_the_stock_graph_stays_as_it_was() -> None:
    model = stock()
    before = model.SerializeToString(deterministic=True)

    splice(model, [bottleneck(Reads.OUTPUT)])

    assert model.SerializeToString(deterministic=True) == before


def test_a_dense_layer_that_is_not_in_the_graph_is_named() -> None:
    with pytest.raises(ExportError, match=r"'net\.layer\.7\.dense'") as caught:
        splice(stock(), [bottleneck(Reads.OUTPUT, "net.layer.7.dense")])

    assert "--exporter" in caught.value.hint


def test_a_residual_sum_that_is_not_there_is_said() -> None:
    model = stock()
    del model.graph.node[3:]
    model.graph.node.append(helper.make_node("Relu", ["h"], ["y"], name="/net/layer.0/Relu"))

    with pytest.raises(ExportError, match=r"residual sum.*Relu"):
        splice(model, [bottleneck(Reads.NORMED)])
