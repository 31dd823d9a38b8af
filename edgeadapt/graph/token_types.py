"""Adding the embedding of the first segment to that of every position, once and for all.

A model of single texts has one segment: looking its embedding up for every token and adding it
changes nothing from text to text.
"""

import numpy as np
import onnx
from numpy.typing import NDArray

from edgeadapt.graph.edit import Edited

__all__ = ["fold_token_types"]

_INPUT = "token_type_ids"


def fold_token_types(model: onnx.ModelProto) -> onnx.ModelProto:
    """Returns a copy without segment ids, for single texts; one that takes none is only copied.

    Args:
        model: Looks embeddings of segments up in a table and adds them to those of positions.
    """
    edited = Edited(model)
    for lookup in list(edited.graph.node):
        table = _table(edited, lookup)
        if table is not None and (lookup.input[1] == _INPUT or len(table) == 1):
            _fold(edited, lookup, table[0])
    return edited.finished()


def _table(edited: Edited, node: onnx.NodeProto) -> NDArray[np.float32] | None:
    """The table of embeddings that a node looks rows up in; ``None`` for any other node."""
    table = edited.constant(node.input[0]) if node.op_type == "Gather" else None
    return None if table is None or table.ndim != 2 else np.asarray(table, np.float32)


def _fold(edited: Edited, lookup: onnx.NodeProto, row: NDArray[np.float32]) -> None:
    """Adds a row to every row of the smallest other table of the sum that a look-up is part of."""
    readers = edited.readers(lookup.output[0])
    if len(readers) != 1 or readers[0].op_type != "Add":
        return
    (added,) = readers
    others = [
        (table, node)
        for node in _summands(edited, added)
        if node is not lookup and (table := _table(edited, node)) is not None
    ]
    if not others:
        return
    table, target = min(others, key=lambda each: len(each[0]))
    name = target.input[0]
    if len(edited.readers(name)) != 1 or len(edited.readers(target.output[0])) != 1:
        return
    target.input[0] = edited.add_constant(f"{name}_with_token_type", table + row)
    (left,) = (tensor for tensor in added.input if tensor != lookup.output[0])
    edited.redirect(added.output[0], left, edited.readers(added.output[0]))


def _summands(edited: Edited, node: onnx.NodeProto) -> list[onnx.NodeProto]:
    """The nodes, no sums themselves, whose outputs end in the same sum."""
    while len(readers := edited.readers(node.output[0])) == 1 and readers[0].op_type == "Add":
        (node,) = readers
    found: list[onnx.NodeProto] = []
    waiting = [node]
    while waiting:
        for tensor in waiting.pop().input:
            producer = edited.producer(tensor)
            if producer is not None:
                (waiting if producer.op_type == "Add" else found).append(producer)
    return found
