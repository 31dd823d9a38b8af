"""Edit an ONNX graph: find producers, readers and constants; add, remove and sort nodes."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from edgeadapt.errors import ExportError

__all__ = ["Edited", "reads", "rename_inputs", "sort"]


class Edited:
    """A copy of a model, with methods to change its graph.

    Args:
        model: Copied; it is not changed.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = onnx.ModelProto()
        self.model.CopyFrom(model)

    @property
    def graph(self) -> onnx.GraphProto:
        """The copy's graph."""
        return self.model.graph

    def producer(self, tensor: str) -> onnx.NodeProto | None:
        """Returns the node that computes a tensor; ``None`` for inputs and initializers."""
        return next((node for node in self.graph.node if tensor in node.output), None)

    def readers(self, tensor: str) -> list[onnx.NodeProto]:
        """Returns the nodes that read a tensor, in branches and loop bodies too."""
        return [node for node in self.graph.node if tensor in reads(node)]

    def is_output(self, tensor: str) -> bool:
        """Returns whether a tensor is an output of the model."""
        return any(value.name == tensor for value in self.graph.output)

    def constant(self, tensor: str) -> NDArray[np.generic] | None:
        """Returns the value of an initializer or ``Constant``; ``None`` for other tensors."""
        for initializer in self.graph.initializer:
            if initializer.name == tensor:
                return np.asarray(numpy_helper.to_array(initializer))
        node = self.producer(tensor)
        if node is None or node.op_type != "Constant":
            return None
        values = [a.t for a in node.attribute if a.name == "value"]
        return np.asarray(numpy_helper.to_array(values[0])) if values else None

    def rank(self, tensor: str) -> int | None:
        """Returns the number of dimensions of a constant; ``None`` for other tensors."""
        for initializer in self.graph.initializer:
            if initializer.name == tensor:
                return len(initializer.dims)
        value = self.constant(tensor)
        return None if value is None else value.ndim

    def tables(self, *operators: str) -> Iterator[tuple[onnx.NodeProto, NDArray[np.generic]]]:
        """Yields each node that reads rows of a constant matrix, with that matrix.

        Matrices that other nodes read as well are left out. The graph may be changed between two
        items.

        Args:
            operators: Operators of the nodes, such as ``Gather``.
        """
        for node in [node for node in self.graph.node if node.op_type in operators]:
            name = node.input[0]
            axis = next((setting.i for setting in node.attribute if setting.name == "axis"), 0)
            if axis or self.rank(name) != 2 or len(self.readers(name)) != 1:
                continue
            table = self.constant(name)
            if table is not None:
                yield node, table

    def add_constant(self, name: str, value: NDArray[np.generic]) -> str:
        """Adds an initializer and returns its name."""
        self.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def add(self, operator: str, inputs: Sequence[str], output: str, **attributes: object) -> str:
        """Adds a node with one output and returns the output's name; ``finished`` sorts it in."""
        node = helper.make_node(operator, inputs, [output], name=f"{output}_{operator}")
        node.attribute.extend(helper.make_attribute(k, v) for k, v in sorted(attributes.items()))
        self.graph.node.append(node)
        return output

    def redirect(self, old: str, new: str, nodes: Iterable[onnx.NodeProto]) -> None:
        """Makes nodes read the tensor ``new`` instead of ``old``."""
        for node in nodes:
            rename_inputs(node, old, new)

    def remove(self, node: onnx.NodeProto) -> None:
        """Removes a node."""
        self.graph.node.remove(node)

    def use(self, domain: str) -> None:
        """Imports a domain, so that nodes can use its operators."""
        if all(opset.domain != domain for opset in self.model.opset_import):
            self.model.opset_import.append(helper.make_opsetid(domain, 1))

    def finished(self) -> onnx.ModelProto:
        """Returns the model with its nodes sorted and unused nodes, constants and inputs removed.

        Raises:
            ExportError: The graph has a cycle.
        """
        sort(self.graph)
        self._drop_unused()
        return self.model

    def _drop_unused(self) -> None:
        needed = {value.name for value in self.graph.output}
        kept = []
        for node in reversed(self.graph.node):
            if needed.intersection(node.output):
                kept.append(node)
                needed |= reads(node)
        del self.graph.node[:]
        self.graph.node.extend(reversed(kept))
        for values in (self.graph.initializer, self.graph.input):
            unused = [value for value in values if value.name not in needed]
            for value in unused:
                values.remove(value)


def reads(node: onnx.NodeProto) -> set[str]:
    """Returns the names of all tensors that a node reads, including those its subgraphs read."""
    names = set(node.input)
    for subgraph in _subgraphs(node):
        own = {value.name for value in (*subgraph.input, *subgraph.initializer)}
        own |= {name for inner in subgraph.node for name in inner.output}
        names |= {name for inner in subgraph.node for name in reads(inner)} - own
    return names


def rename_inputs(node: onnx.NodeProto, old: str, new: str) -> None:
    """Makes a node, and its subgraphs, read the tensor ``new`` instead of ``old``."""
    for position, name in enumerate(node.input):
        if name == old:
            node.input[position] = new
    for subgraph in _subgraphs(node):
        for inner in subgraph.node:
            rename_inputs(inner, old, new)


def sort(graph: onnx.GraphProto) -> None:
    """Sorts nodes topologically: each comes after those whose outputs it reads.

    Raises:
        ExportError: The graph has a cycle.
    """
    available = {value.name for value in (*graph.input, *graph.initializer)} | {""}
    waiting, ordered = list(graph.node), []
    while waiting:
        ready = [node for node in waiting if reads(node) <= available]
        if not ready:
            raise ExportError(f"The graph has a cycle at {waiting[0].name!r}.")
        ordered += ready
        available |= {name for node in ready for name in node.output}
        waiting = [node for node in waiting if not set(node.output) <= available]
    del graph.node[:]
    graph.node.extend(ordered)


def _subgraphs(node: onnx.NodeProto) -> list[onnx.GraphProto]:
    """Returns the branches of an ``If`` or body of a ``Loop``, which may read outer tensors."""
    return [attribute.g for attribute in node.attribute if attribute.HasField("g")]
