"""Reduce an embedding table by letting rare word pieces share the row of a similar piece.

Texts are tokenized as before, so they do not become longer; a rare piece takes the embedding of its
nearest neighbour. A common piece keeps its own row unless a more common one has nearly the same:
pieces are ranked by their count times one minus the cosine to the nearest more common piece.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedModel

__all__ = ["Neighbours", "use_rows"]

_AT_ONCE = 2_048
"""Rows compared with all others at a time, to limit memory."""
_CONSIDERED = 32_768
"""Number of most common pieces that may keep their rows; comparing all pairs takes seconds."""


@dataclass(frozen=True)
class Neighbours:
    """The ranking of word pieces by which they keep their own rows, and their directions."""

    directions: Tensor
    """Embeddings normalized to length 1, of shape ``(pieces, width)``."""
    order: Tensor
    """Piece ids by rank, the first to keep its row first."""
    least: int
    """Number of pieces that always keep their rows."""

    @classmethod
    def of(cls, table: Tensor, weights: Tensor, *, always: Collection[int]) -> Self:
        """Compares the rows of a table.

        Args:
            table: Embeddings of shape ``(pieces, width)``.
            weights: Count of each piece, above 0, of shape ``(pieces,)``.
            always: Pieces that always keep their rows.
        """
        directions = F.normalize(table.detach().float(), dim=1)
        common = torch.argsort(weights, descending=True, stable=True)[:_CONSIDERED]
        worth = torch.zeros(len(table))
        worth[common] = weights[common] * (1 - _likeness_to_earlier(directions[common]))
        worth[list(always)] = torch.inf
        order = torch.argsort(worth, descending=True, stable=True)
        return cls(directions, order, len(always))

    def rows(self, most: int) -> Tensor:
        """Returns the piece whose row each piece takes, of shape ``(pieces,)``.

        Args:
            most: Number of rows to keep.
        """
        kept = self.order[: max(most, self.least)].sort().values
        own = self.directions[kept].T
        nearest = [(part @ own).argmax(dim=1) for part in torch.split(self.directions, _AT_ONCE)]
        rows = kept[torch.cat(nearest)]
        rows[kept] = kept  # its own row, even if another kept row is equal
        return rows


def _likeness_to_earlier(directions: Tensor) -> Tensor:
    """Returns the largest cosine of each row to an earlier row; 0 for the first."""
    largest = torch.zeros(len(directions))
    for part, start in zip(
        torch.split(directions, _AT_ONCE), range(0, len(directions), _AT_ONCE), strict=True
    ):
        cosines = part @ directions[: start + len(part)].T
        later = torch.arange(cosines.shape[1]) >= torch.arange(start, start + len(part))[:, None]
        largest[start : start + len(part)] = cosines.masked_fill(later, 0.0).amax(dim=1)
    return largest


def use_rows(model: PreTrainedModel, rows: Tensor) -> None:
    """Gives each piece the embedding of another, in place.

    Args:
        model: A classifier.
        rows: The piece whose embedding each piece takes, of shape ``(pieces,)``.
    """
    table = model.get_input_embeddings()
    assert isinstance(table, nn.Embedding)
    with torch.no_grad():
        table.weight.copy_(table.weight[rows].clone())
