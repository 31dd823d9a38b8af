"""Insert bottlenecks into the graph of a stock model, each after the dense layer that it adapts.

A merged model with bottlenecks that did not fold is exported without them, so that fusions
recognize the stock graph. The bottlenecks are inserted afterwards.
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
    """A bottleneck and its place."""

    dense: str
    """Dotted name of the dense layer; the bottleneck's output is added to this layer's."""
    first: str
    """Dotted name of a dense layer that reads the sublayer's input."""
    reads: Reads
    """What the bottleneck takes as its input."""
    fragment: onnx.ModelProto
    """The bottleneck as a graph with one float input and one output, both (batch, seq, hidden)."""


def splice(model: onnx.ModelProto, splices: Sequence[Splice]) -> onnx.ModelProto:
    """Returns a copy of a stock graph with all bottlenecks inserted.

    Raises:
        ExportError: A dense layer is not in the graph, or nothing reads its output.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    for number, insertion in enumerate(splices):
        _insert(result.graph, insertion, number)
    sort(result.graph)
    return result


def _insert(graph: onnx.GraphProto, insertion: Splice, number: int) -> None:
    """Adds one bottleneck: ``output -> output + bottleneck(source)``."""
    output = _scope(graph, insertion.dense)[-1].output[0]
    if insertion.reads is Reads.NORMED:
        # The bottleneck reads the same tensor as the LayerNorm: the residual sum.
        output = _only_reader(graph, output, insertion.dense).output[0]
    source = _input(graph, insertion) if insertion.reads is Reads.INPUT else output
    # Named in the dense layer's scope, so that the next bottleneck on that layer is added to it.
    prefix = f"/{insertion.dense.replace('.', '/')}/adapter.{number}"
    fragment = compose.add_prefix(insertion.fragment, f"{prefix}/").graph
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


def _input(graph: onnx.GraphProto, insertion: Splice) -> str:
    """Returns the name of the tensor that the sublayer reads."""
    producers = {name: node for node in graph.node for name in node.output}
    above = producers.get(_scope(graph, insertion.dense)[0].input[0])
    if above is not None and above.op_type == "Attention":
        return str(above.input[0])  # the fused node contains the dense layers that read the input
    initializers = {tensor.name for tensor in graph.initializer}
    reader = _scope(graph, insertion.first)[0]
    return next(str(name) for name in reader.input if name not in initializers)


def _scope(graph: onnx.GraphProto, name: str) -> list[onnx.NodeProto]:
    """Returns the nodes that an exporter wrote for one module, in order."""
    ending = f".{name}"
    nodes = [
        node
        for node in graph.node
        if node.name.rpartition("/")[0].replace("/", ".").endswith(ending)
    ]
    if not nodes:
        raise ExportError(
            f"The exported graph has no nodes for the dense layer {name!r}: expected nodes called "
            f"…/{name.replace('.', '/')}/….",
            hint="Try the other --exporter, or a --method that folds completely, such as parallel.",
        )
    return nodes


def _only_reader(graph: onnx.GraphProto, tensor: str, name: str) -> onnx.NodeProto:
    readers = [node for node in graph.node if tensor in node.input]
    if len(readers) != 1 or readers[0].op_type != "Add":
        raise ExportError(
            f"Expected one residual sum to read the output of {name!r}, found "
            f"{', '.join(node.op_type for node in readers) or 'nothing'}."
        )
    return readers[0]
