"""Putting bottlenecks into the graph of a stock model, each behind the dense layer it adapts.

A merged model whose bottlenecks did not fold is exported without them, so that the graph is the
stock one that every fusion knows, and gets them back here.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import onnx
from onnx import compose, helper

from edgeadapt.backbones import Reads
from edgeadapt.errors import ExportError
from edgeadapt.graph.edit import rename_inputs, sort

__all__ = ["Splice", "splice"]


@dataclass(frozen=True)
class Splice:
    """A bottleneck and where it goes."""

    dense: str
    """Dotted name of the dense layer to whose output the bottleneck's is added."""
    first: str
    """Dotted name of a dense layer that reads the sublayer's input."""
    reads: Reads
    fragment: onnx.ModelProto
    """The bottleneck as a graph of one float input and one output, both (batch, seq, hidden)."""


def splice(model: onnx.ModelProto, splices: Sequence[Splice]) -> onnx.ModelProto:
    """Returns a copy of a stock graph with every bottleneck in its place.

    Raises:
        ExportError: A dense layer is not in the graph, or nothing reads its output.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    for number, each in enumerate(splices):
        _insert(result.graph, each, number)
    sort(result.graph)
    return result


def _insert(graph: onnx.GraphProto, each: Splice, number: int) -> None:
    """Adds one bottleneck: ``output -> output + bottleneck(what it reads)``."""
    output = _scope(graph, each.dense)[-1].output[0]
    if each.reads is Reads.NORMED:
        # LayerNorm reads the residual sum, and so does the bottleneck.
        output = _only_reader(graph, output, each.dense).output[0]
    source = _input(graph, each) if each.reads is Reads.INPUT else output
    # The sum belongs to the dense layer's scope, where the next bottleneck on it finds it.
    prefix = f"/{each.dense.replace('.', '/')}/adapter.{number}"
    fragment = compose.add_prefix(each.fragment, f"{prefix}/").graph
    changed = f"{prefix}_sum"
    for node in graph.node:
        rename_inputs(node, output, changed)
    for node in fragment.node:
        rename_inputs(node, fragment.input[0].name, source)
    graph.initializer.extend(fragment.initializer)
    graph.node.extend(fragment.node)
    graph.node.append(
        helper.make_node("Add", [output, fragment.output[0].name], [changed], name=f"{prefix}_Add")
    )


def _input(graph: onnx.GraphProto, each: Splice) -> str:
    """Name of the tensor that the sublayer reads."""
    producers = {name: node for node in graph.node for name in node.output}
    above = producers.get(_scope(graph, each.dense)[0].input[0])
    if above is not None and above.op_type == "Attention":
        return str(above.input[0])  # its own dense layers are in the node
    initializers = {tensor.name for tensor in graph.initializer}
    reader = _scope(graph, each.first)[0]
    return next(str(name) for name in reader.input if name not in initializers)


def _scope(graph: onnx.GraphProto, name: str) -> list[onnx.NodeProto]:
    """The nodes that an exporter wrote for one module, in their order."""
    ending = f".{name}"
    found = [
        node
        for node in graph.node
        if node.name.rpartition("/")[0].replace("/", ".").endswith(ending)
    ]
    if not found:
        raise ExportError(
            f"The exported graph has no nodes for the dense layer {name!r}: expected nodes called "
            f"…/{name.replace('.', '/')}/….",
            hint="Try the other --exporter, or a --method that folds wholly, such as parallel.",
        )
    return found


def _only_reader(graph: onnx.GraphProto, tensor: str, name: str) -> onnx.NodeProto:
    readers = [node for node in graph.node if tensor in node.input]
    if len(readers) != 1 or readers[0].op_type != "Add":
        raise ExportError(
            f"Expected one residual sum to read the output of {name!r}, found "
            f"{', '.join(node.op_type for node in readers) or 'nothing'}."
        )
    return readers[0]
