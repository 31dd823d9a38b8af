"""Random numbers and threads of torch for a block of code, the caller's own untouched."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["seeded"]


@contextmanager
def seeded(seed: int, *, threads: int | None = None) -> Iterator[None]:
    """Seeds torch, and sets its threads, for the block; the caller's state comes back after it."""
    before = torch.get_num_threads()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        if threads is not None:
            torch.set_num_threads(threads)
        try:
            yield
        finally:
            torch.set_num_threads(before)
