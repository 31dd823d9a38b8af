"""Store equal rows of embedding tables once.

After a vocabulary was reduced by letting word pieces share embeddings, many rows of the table are
equal. Each is stored once, and a second table maps ids to rows.
"""

from hashlib import blake2b

import numpy as np
import onnx

from edgeadapt.graph.edit import Edited

__all__ = ["share_rows"]


def share_rows(model: onnx.ModelProto) -> onnx.ModelProto:
    """Returns a copy whose tables hold equal rows once, if that makes them smaller.

    A table that other nodes read as well is left unchanged.
    """
    edited = Edited(model)
    for lookup, table in edited.tables("Gather"):
        name, ids = lookup.input
        numbers: dict[bytes, int] = {}
        digests = (blake2b(row.tobytes(), digest_size=16).digest() for row in table)
        row_of = np.array([numbers.setdefault(key, len(numbers)) for key in digests], np.int32)
        firsts = np.unique(row_of, return_index=True)[1]
        if table[firsts].nbytes + row_of.nbytes >= table.nbytes:
            continue
        rows = edited.add_constant(f"{name}_row_of", row_of)
        lookup.input[0] = edited.add_constant(f"{name}_shared", table[firsts])
        lookup.input[1] = edited.add("Gather", [rows, ids], f"{lookup.output[0]}_row_of")
    return edited.finished()
