"""Replace the look-up of position embeddings by a slice of their table.

Positions are 0, 1, 2 …, since texts are not padded on the left: their embeddings are the first rows
of the table.
"""

import numpy as np
import onnx

from edgeadapt.graph.edit import Edited

__all__ = ["slice_positions"]


def slice_positions(model: onnx.ModelProto) -> onnx.ModelProto:
    """Returns a copy that slices the table of position embeddings.

    A model with other position ids, such as RoBERTa, is copied unchanged.
    """
    edited = Edited(model)
    for lookup in [node for node in edited.graph.node if node.op_type == "Gather"]:
        length = _length(edited, lookup)
        if length is None:
            continue
        output = lookup.output[0]
        edges = [
            edited.add_constant(f"{output}_{name}", np.array([0], dtype=np.int64))
            for name in ("start", "axis")
        ]
        count = edited.add("Shape", [length], f"{output}_count", start=1, end=2)
        edited.remove(lookup)
        edited.add("Slice", [lookup.input[0], edges[0], count, edges[1]], output)
    return edited.finished()


def _length(edited: Edited, lookup: onnx.NodeProto) -> str | None:
    """Returns the tensor whose second dimension is the number of first rows that a node looks up.

    ``None`` if the node does not look up the first rows of a table.
    """
    numbers = edited.producer(lookup.input[1])
    if edited.rank(lookup.input[0]) != 2 or numbers is None or numbers.op_type != "Slice":
        return None
    constants = [edited.constant(name) for name in (numbers.input[0], *numbers.input[1:2])]
    if any(value is None for value in constants):
        return None
    iota, start = (np.ravel(np.asarray(value)) for value in constants)
    if start.tolist() != [0] or iota.tolist() != list(range(len(iota))):
        return None
    return _second_size(edited, numbers.input[2])


def _second_size(edited: Edited, tensor: str) -> str | None:
    """Returns x if ``tensor`` is x's second dimension: ``Unsqueeze(Gather(Shape(x), 1))``."""
    for operator in ("Unsqueeze", "Gather", "Shape"):
        node = edited.producer(tensor)
        if node is None or node.op_type != operator:
            return None
        if operator == "Gather":
            position = edited.constant(node.input[1])
            if position is None or np.ravel(position).tolist() != [1]:
                return None
        if operator == "Shape" and node.attribute:
            return None
        tensor = node.input[0]
    return tensor
