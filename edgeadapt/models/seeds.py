"""Set torch's seed and threads for a block of code, and restore the caller's."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["seeded"]


@contextmanager
def seeded(seed: int, *, threads: int | None = None) -> Iterator[None]:
    """Seeds torch, and sets its threads, for the block; restores both afterwards."""
    before = torch.get_num_threads()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        if threads is not None:
            torch.set_num_threads(threads)
        try:
            yield
        finally:
            torch.set_num_threads(before)
