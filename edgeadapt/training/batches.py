"""Form batches of texts of similar length, to reduce padding."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["bucketed", "in_parts"]

_POOL_BATCHES = 32
"""Batches whose texts are sorted together: more reduces padding, fewer gives better shuffling."""


def bucketed(
    lengths: Sequence[int], batch_size: int, generator: np.random.Generator
) -> list[NDArray[np.int64]]:
    """Returns the row numbers of each batch of one epoch, in the order of training.

    All rows are shuffled, then sorted by length within pools of several batches; the pools are cut
    into batches, and the batches are shuffled. Every row occurs once.

    Args:
        lengths: Tokens per row.
        batch_size: Rows per batch; the last of a pool may be smaller.
        generator: Random numbers for the shuffling.
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
    """Splits a batch into micro-batches of at most ``tokens`` tokens, padding included.

    The weighted sum of their gradients is the gradient of the batch, and only the activations of
    one micro-batch are in memory at a time. A longer text is a micro-batch of its own.

    Args:
        rows: Row numbers of the batch.
        lengths: Tokens per row, for all rows of the data.
        tokens: Largest number of tokens; at least 1.
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
