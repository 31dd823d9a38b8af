"""Batches of texts of similar length, so that little of a batch is padding."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["bucketed", "in_parts"]

_POOL_BATCHES = 32
"""Batches whose texts are sorted together: larger wastes less padding, smaller mixes more."""


def bucketed(
    lengths: Sequence[int], batch_size: int, generator: np.random.Generator
) -> list[NDArray[np.int64]]:
    """Returns the row numbers of each batch of one epoch, in the order of training.

    All rows are shuffled, then sorted by length within pools, cut into batches, and the batches
    shuffled: every row once, texts of similar length together, no order from short to long.

    Args:
        lengths: Tokens per row.
        batch_size: Rows per batch; the last of a pool may be smaller.
        generator: Source of the shuffling.
    """
    order = generator.permutation(len(lengths))
    sizes = np.asarray(lengths)
    batches: list[NDArray[np.int64]] = []
    pool = batch_size * _POOL_BATCHES
    for start in range(0, len(order), pool):
        rows = order[start : start + pool]
        rows = rows[np.argsort(sizes[rows], kind="stable")]
        batches += [rows[at : at + batch_size] for at in range(0, len(rows), batch_size)]
    return [batches[position] for position in generator.permutation(len(batches))]


def in_parts(
    rows: NDArray[np.int64], lengths: Sequence[int], tokens: int
) -> list[NDArray[np.int64]]:
    """Returns the rows of a batch in parts of at most so many tokens, padding counted.

    The weighted sum of the parts' gradients is the batch's; only one part's activations are in
    memory at a time. A text that is longer than that is a part of its own.

    Args:
        rows: Row numbers of the batch.
        lengths: Tokens per row, of all rows.
        tokens: At least 1.
    """
    sizes = np.asarray(lengths)[rows]
    order = np.argsort(-sizes, kind="stable")
    parts: list[NDArray[np.int64]] = []
    at = 0
    while at < len(order):
        longest = max(1, int(sizes[order[at]]))
        end = at + max(1, tokens // longest)
        parts.append(rows[order[at:end]])
        at = end
    return parts
