"""The products with weights in a graph: what quantization is about."""

from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper

from edgeadapt.graph.edit import Edited

__all__ = ["Product", "products", "without_gemm"]

_OPERATORS = ("MatMul", "Gemm", "Attention")


@dataclass(frozen=True)
class Product:
    """A node that multiplies with a matrix of weights."""

    node: str
    """Its name."""
    operator: str
    """``MatMul``, ``Gemm`` or ``Attention``."""
    weights: int
    """Number of weights."""


def products(model: onnx.ModelProto) -> list[Product]:
    """Returns every product with weights, in the order in which they are computed.

    The last of a classifier is its head.
    """
    edited = Edited(model)
    found = []
    for node in edited.graph.node:
        if node.op_type in _OPERATORS and edited.rank(node.input[1]) == 2:
            weight = edited.constant(node.input[1])
            assert weight is not None
            found.append(Product(node.name, node.op_type, weight.size))
    return found


def without_gemm(model: onnx.ModelProto) -> onnx.ModelProto:
    """Returns a copy in which every ``Gemm`` is a ``MatMul`` and an ``Add``.

    Names of nodes stay. One that scales, or transposes what is computed, stays as it is.
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
