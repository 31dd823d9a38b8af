"""Tables of embeddings without the rows that they hold twice.

A vocabulary that was made smaller by letting word pieces share rows leaves a table in which many
rows are alike. Each is kept once, behind a list that says which row an id has.
"""

from hashlib import blake2b

import numpy as np
import onnx

from edgeadapt.graph.edit import Edited

__all__ = ["share_rows"]


def share_rows(model: onnx.ModelProto) -> onnx.ModelProto:
    """Returns a copy whose tables hold rows that are alike once, where that makes them smaller.

    A table that something else reads too is only copied.
    """
    edited = Edited(model)
    for lookup, table in edited.tables("Gather"):
        name, ids = lookup.input
        numbers: dict[bytes, int] = {}
        hashes = (blake2b(row.tobytes(), digest_size=16).digest() for row in table)
        row_of = np.array([numbers.setdefault(each, len(numbers)) for each in hashes], np.int32)
        firsts = np.unique(row_of, return_index=True)[1]
        if table[firsts].nbytes + row_of.nbytes >= table.nbytes:
            continue
        rows = edited.add_constant(f"{name}_row_of", row_of)
        lookup.input[0] = edited.add_constant(f"{name}_shared", table[firsts])
        lookup.input[1] = edited.add("Gather", [rows, ids], f"{lookup.output[0]}_row_of")
    return edited.finished()
