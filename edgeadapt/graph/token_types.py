"""Fold the embedding of the first segment into another embedding table.

In a model for single texts, every token has the same segment, so its embedding is a constant that
need not be looked up and added at run time.
"""

import numpy as np
import onnx
from numpy.typing import NDArray

from edgeadapt.graph.edit import Edited

__all__ = ["fold_token_types"]

_INPUT = "token_type_ids"


def fold_token_types(model: onnx.ModelProto) -> onnx.ModelProto:
    """Returns a copy without segment ids; a model without segments is copied unchanged.

    Args:
        model: A model for single texts.
    """
    edited = Edited(model)
    for lookup in list(edited.graph.node):
        table = _table(edited, lookup)
        if table is not None and (lookup.input[1] == _INPUT or len(table) == 1):
            _fold(edited, lookup, table[0])
    return edited.finished()


def _table(edited: Edited, node: onnx.NodeProto) -> NDArray[np.float32] | None:
    """Returns the embedding table that a node looks up rows of; ``None`` for other nodes."""
    table = edited.constant(node.input[0]) if node.op_type == "Gather" else None
    return None if table is None or table.ndim != 2 else np.asarray(table, np.float32)


def _fold(edited: Edited, lookup: onnx.NodeProto, row: NDArray[np.float32]) -> None:
    """Removes a look-up, adding its row to the smallest other table in the same sum.

    The smallest, because it is stored anew. Nothing changes if another node reads that table.
    """
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
    table, target = min(others, key=lambda other: len(other[0]))
    name = target.input[0]
    if len(edited.readers(name)) != 1 or len(edited.readers(target.output[0])) != 1:
        return
    target.input[0] = edited.add_constant(f"{name}_with_token_type", table + row)
    (left,) = (tensor for tensor in added.input if tensor != lookup.output[0])
    edited.redirect(added.output[0], left, edited.readers(added.output[0]))


def _summands(edited: Edited, node: onnx.NodeProto) -> list[onnx.NodeProto]:
    """Returns all nodes, other than sums, whose outputs are added up in the same sum."""
    while len(readers := edited.readers(node.output[0])) == 1 and readers[0].op_type == "Add":
        (node,) = readers
    summands: list[onnx.NodeProto] = []
    waiting = [node]
    while waiting:
        for tensor in waiting.pop().input:
            producer = edited.producer(tensor)
            if producer is not None:
                (waiting if producer.op_type == "Add" else summands).append(producer)
    return summands
