"""Editing a graph: changes a copy only, keeps the order, removes unused parts."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgeadapt.errors import ExportError
from edgeadapt.graph.edit import Edited


@pytest.fixture
def model() -> onnx.ModelProto:
    """``y = -(x + one)``; ``spare`` is read by nobody."""
    nodes = [
        helper.make_node("Add", ["x", "one"], ["sum"], name="add"),
        helper.make_node("Neg", ["sum"], ["y"], name="negate"),
    ]
    one = numpy_helper.from_array(np.ones(1, dtype=np.float32), "one")
    values = {
        name: helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n"])
        for name in ("x", "spare", "y")
    }
    graph = helper.make_graph(nodes, "small", [values["x"], values["spare"]], [values["y"]], [one])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])


def test_who_makes_and_who_reads_a_tensor_is_known(model: onnx.ModelProto) -> None:
    edited = Edited(model)

    producer = edited.producer("sum")
    assert producer is not None
    assert producer.name == "add"
    assert [node.name for node in edited.readers("sum")] == ["negate"]
    assert edited.producer("x") is None
    assert edited.constant("one") == np.ones(1)
    assert edited.rank("one") == 1
    assert edited.constant("sum") is edited.rank("sum") is None


def test_a_node_that_is_added_late_is_put_where_it_is_needed(model: onnx.ModelProto) -> None:
    edited = Edited(model)

    twice = edited.add("Add", ["sum", "sum"], "twice")
    edited.redirect("sum", twice, [node for node in edited.graph.node if node.name == "negate"])

    assert [n.op_type for n in edited.finished().graph.node] == ["Add", "Add", "Neg"]


def test_what_nobody_needs_goes_and_the_original_stays(model: onnx.ModelProto) -> None:
    before = model.SerializeToString(deterministic=True)
    edited = Edited(model)

    edited.redirect("sum", "x", [node for node in edited.graph.node if node.name == "negate"])
    graph = edited.finished().graph

    assert [node.op_type for node in graph.node] == ["Neg"]
    assert [value.name for value in graph.input] == ["x"]
    assert len(graph.initializer) == 0
    assert model.SerializeToString(deterministic=True) == before


def test_a_cycle_is_told(model: onnx.ModelProto) -> None:
    edited = Edited(model)
    edited.redirect("x", "y", [node for node in edited.graph.node if node.name == "add"])

    with pytest.raises(ExportError, match="cycle at 'add'"):
        edited.finished()
