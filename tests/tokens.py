"""Token batches without a tokenizer."""

import torch
from torch import Tensor

from edgeadapt.text import TokenBatch

__all__ = ["token_batch"]


def token_batch(ids: Tensor | None = None) -> TokenBatch:
    """Four rows of different lengths, or the given ids of shape ``(batch, seq)``; 0 is padding."""
    if ids is None:
        mask = torch.arange(9) < torch.tensor([7, 4, 9, 1])[:, None]
        ids = torch.randint(5, 90, mask.shape, generator=torch.Generator().manual_seed(0)) * mask
    return TokenBatch(ids.numpy(), (ids != 0).long().numpy(), torch.zeros_like(ids).numpy())
