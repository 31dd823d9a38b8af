"""A graph that is being changed: who makes a tensor, who reads it, what is constant."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from edgeadapt.errors import ExportError

__all__ = ["Edited", "reads", "rename_inputs", "sort"]


class Edited:
    """A copy of a model, and what is needed to change it.

    Args:
        model: Stays as it is.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = onnx.ModelProto()
        self.model.CopyFrom(model)

    @property
    def graph(self) -> onnx.GraphProto:
        """The copy's graph."""
        return self.model.graph

    def producer(self, tensor: str) -> onnx.NodeProto | None:
        """Returns the node that makes a tensor; ``None`` for inputs and initializers."""
        return next((node for node in self.graph.node if tensor in node.output), None)

    def readers(self, tensor: str) -> list[onnx.NodeProto]:
        """Returns the nodes that read a tensor, in branches and loop bodies too."""
        return [node for node in self.graph.node if tensor in reads(node)]

    def is_output(self, tensor: str) -> bool:
        """Returns whether the model gives the tensor."""
        return any(value.name == tensor for value in self.graph.output)

    def constant(self, tensor: str) -> NDArray[np.generic] | None:
        """Returns the value of an initializer or a ``Constant``; ``None`` for what is computed."""
        for initializer in self.graph.initializer:
            if initializer.name == tensor:
                return np.asarray(numpy_helper.to_array(initializer))
        node = self.producer(tensor)
        if node is None or node.op_type != "Constant":
            return None
        values = [a.t for a in node.attribute if a.name == "value"]
        return np.asarray(numpy_helper.to_array(values[0])) if values else None

    def rank(self, tensor: str) -> int | None:
        """Returns the number of a constant's dimensions; ``None`` for what is computed."""
        for initializer in self.graph.initializer:
            if initializer.name == tensor:
                return len(initializer.dims)
        value = self.constant(tensor)
        return None if value is None else value.ndim

    def tables(self, *operators: str) -> Iterator[tuple[onnx.NodeProto, NDArray[np.generic]]]:
        """Yields nodes that take rows of a constant matrix which nothing else reads, and that.

        Args:
            operators: What the nodes are; the graph may be changed in between.
        """
        for node in [node for node in self.graph.node if node.op_type in operators]:
            name = node.input[0]
            axis = next((each.i for each in node.attribute if each.name == "axis"), 0)
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
        """Adds a node of one output, at the end until ``finished`` puts it in its place."""
        node = helper.make_node(operator, inputs, [output], name=f"{output}_{operator}")
        node.attribute.extend(helper.make_attribute(k, v) for k, v in sorted(attributes.items()))
        self.graph.node.append(node)
        return output

    def redirect(self, old: str, new: str, nodes: Iterable[onnx.NodeProto]) -> None:
        """Lets nodes read one tensor in place of another."""
        for node in nodes:
            rename_inputs(node, old, new)

    def remove(self, node: onnx.NodeProto) -> None:
        """Removes a node."""
        self.graph.node.remove(node)

    def use(self, domain: str) -> None:
        """Lets nodes be of another domain's operators."""
        if all(opset.domain != domain for opset in self.model.opset_import):
            self.model.opset_import.append(helper.make_opsetid(domain, 1))

    def finished(self) -> onnx.ModelProto:
        """Returns the model with its nodes in order, and without what nobody needs any more.

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
    """Returns the names of all tensors that a node needs from outside."""
    names = set(node.input)
    for subgraph in _subgraphs(node):
        own = {value.name for value in (*subgraph.input, *subgraph.initializer)}
        own |= {name for inner in subgraph.node for name in inner.output}
        names |= {name for inner in subgraph.node for name in reads(inner)} - own
    return names


def rename_inputs(node: onnx.NodeProto, old: str, new: str) -> None:
    """Lets a node, and its branches, read one tensor in place of another."""
    for position, name in enumerate(node.input):
        if name == old:
            node.input[position] = new
    for subgraph in _subgraphs(node):
        for inner in subgraph.node:
            rename_inputs(inner, old, new)


def sort(graph: onnx.GraphProto) -> None:
    """Orders nodes so that each comes after those whose outputs it reads.

    Raises:
        ExportError: There is a cycle.
    """
    known = {value.name for value in (*graph.input, *graph.initializer)} | {""}
    waiting, ordered = list(graph.node), []
    while waiting:
        ready = [node for node in waiting if reads(node) <= known]
        if not ready:
            raise ExportError(f"The graph has a cycle at {waiting[0].name!r}.")
        ordered += ready
        known |= {name for node in ready for name in node.output}
        waiting = [node for node in waiting if not set(node.output) <= known]
    del graph.node[:]
    graph.node.extend(ordered)


def _subgraphs(node: onnx.NodeProto) -> list[onnx.GraphProto]:
    """Branches of an ``If`` or bodies of a ``Loop``, which read the tensors around them too."""
    return [attribute.g for attribute in node.attribute if attribute.HasField("g")]
