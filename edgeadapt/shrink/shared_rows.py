"""Word pieces that share a row of the embeddings with the piece whose row is most like theirs.

Texts are split as before, so that they get no longer; what a rare piece meant is taken for what its
neighbour means. The neighbours are chosen so that what is common keeps a row of its own, unless a
more common piece has nearly the same one: each piece counts by how often it occurs, times one minus
the cosine to the nearest among those that occur more often.
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
"""Rows that are compared with all others at once."""
_CONSIDERED = 32_768
"""Most common pieces, of which some keep their rows; comparing each with each takes seconds."""


@dataclass(frozen=True)
class Neighbours:
    """Which pieces are worth rows of their own, and how alike rows are."""

    directions: Tensor
    """Rows of length 1, of shape ``(pieces, width)``."""
    order: Tensor
    """Pieces, the one that is most worth a row first."""
    least: int
    """Pieces that keep their rows in any case."""

    @classmethod
    def of(cls, table: Tensor, weights: Tensor, *, always: Collection[int]) -> Self:
        """Compares the rows of a table.

        Args:
            table: Embeddings of shape ``(pieces, width)``.
            weights: How often each piece occurs, above 0, of shape ``(pieces,)``.
            always: Pieces that keep their rows.
        """
        directions = F.normalize(table.detach().float(), dim=1)
        common = torch.argsort(weights, descending=True, stable=True)[:_CONSIDERED]
        worth = torch.zeros(len(table))
        worth[common] = weights[common] * (1 - _likeness_to_earlier(directions[common]))
        worth[list(always)] = torch.inf
        order = torch.argsort(worth, descending=True, stable=True)
        return cls(directions, order, len(always))

    def rows(self, most: int) -> Tensor:
        """Returns the piece whose row each piece has if so many stay, of shape ``(pieces,)``."""
        kept = self.order[: max(most, self.least)].sort().values
        own = self.directions[kept].T
        nearest = [(part @ own).argmax(dim=1) for part in torch.split(self.directions, _AT_ONCE)]
        rows = kept[torch.cat(nearest)]
        rows[kept] = kept  # its own, also where another is the same
        return rows


def _likeness_to_earlier(directions: Tensor) -> Tensor:
    """The largest cosine of each row to one before it; 0 for the first."""
    found = torch.zeros(len(directions))
    for part, start in zip(
        torch.split(directions, _AT_ONCE), range(0, len(directions), _AT_ONCE), strict=True
    ):
        cosines = part @ directions[: start + len(part)].T
        later = torch.arange(cosines.shape[1]) >= torch.arange(start, start + len(part))[:, None]
        found[start : start + len(part)] = cosines.masked_fill(later, 0.0).amax(dim=1)
    return found


def use_rows(model: PreTrainedModel, rows: Tensor) -> None:
    """Gives each piece the embedding of another, in place.

    Args:
        model: A classifier.
        rows: The piece whose embedding each has, of shape ``(pieces,)``.
    """
    table = model.get_input_embeddings()
    assert isinstance(table, nn.Embedding)
    with torch.no_grad():
        table.weight.copy_(table.weight[rows].clone())
