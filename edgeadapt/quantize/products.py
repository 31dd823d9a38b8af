"""Find the products with weights in a graph, which are what quantization changes."""

from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper

from edgeadapt.graph.edit import Edited

__all__ = ["Product", "products", "without_gemm"]

_OPERATORS = ("MatMul", "Gemm", "Attention")


@dataclass(frozen=True)
class Product:
    """A node that multiplies by a matrix of weights."""

    node: str
    """Name of the node."""
    operator: str
    """``MatMul``, ``Gemm`` or ``Attention``."""
    weights: int
    """Number of weights."""


def products(model: onnx.ModelProto) -> list[Product]:
    """Returns all products with weights, in order of computation; a classifier's head is last."""
    edited = Edited(model)
    listed = []
    for node in edited.graph.node:
        if node.op_type in _OPERATORS and edited.rank(node.input[1]) == 2:
            weight = edited.constant(node.input[1])
            assert weight is not None
            listed.append(Product(node.name, node.op_type, weight.size))
    return listed


def without_gemm(model: onnx.ModelProto) -> onnx.ModelProto:
    """Returns a copy in which every ``Gemm`` is a ``MatMul`` and an ``Add``.

    Nodes keep their names. A ``Gemm`` with a scale or a transposed activation is not changed.
    """
    edited = Edited(model)
    for node in [node for node in edited.graph.node if node.op_type == "Gemm"]:
        how = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        weight = edited.constant(node.input[1])
        scaled = how.get("alpha", 1.0) != 1 or how.get("beta", 1.0) != 1
        if weight is None or scaled or how.get("transA", 0):
            continue
        bias, output = [*node.input[2:], ""][0], node.output[0]
        if how.get("transB", 0):
            name = f"{node.input[1]}_transposed"
            node.input[1] = edited.add_constant(name, np.asarray(weight).T)
        del node.input[2:], node.attribute[:]
        node.op_type = "MatMul"
        if bias:
            node.output[0] = f"{output}_product"
            edited.add("Add", [node.output[0], bias], output)
    return edited.finished()
