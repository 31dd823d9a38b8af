"""Processes that train together: one, or those that ``accelerate launch`` started."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

__all__ = ["ALONE", "Team"]


@dataclass(frozen=True)
class Team:
    """This process and its place among those that train together.

    Each process computes a share of every batch, and gradients are averaged over the processes, so
    that the weights equal those of a single process up to rounding.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    """Rank among the processes of the same machine."""

    @classmethod
    def launched(cls) -> Self:
        """Returns the team that this process was launched in."""
        if int(os.environ.get("WORLD_SIZE", "1")) == 1:
            return cls()
        from accelerate import PartialState  # imported here, because it takes a second

        state = PartialState(cpu=not torch.cuda.is_available())
        return cls(state.process_index, state.num_processes, state.local_process_index)

    @property
    def leads(self) -> bool:
        """Whether this process is the leading one, which writes files and reports."""
        return self.rank == 0

    def share(self, items: Any) -> Any:
        """Returns this process's share of a sequence or array: every ``size``-th item."""
        return items[self.rank :: self.size]

    def weight(self, rows: np.ndarray) -> float:
        """Returns the factor for the mean over this process's share of some rows.

        With it, the mean over the processes is the mean over all rows, even if shares differ in
        size.
        """
        return self.size * len(self.share(rows)) / len(rows)

    def wrap(self, model: nn.Module, device: torch.device) -> nn.Module:
        """Wraps a model so that it averages gradients over the processes."""
        if self.size == 1:
            return model
        from accelerate import Accelerator

        # "no", because the recipe sets the precision, and accelerate would apply its own on top.
        accelerator = Accelerator(cpu=device.type == "cpu", mixed_precision="no")
        wrapped: nn.Module = accelerator.prepare_model(model)
        return wrapped

    def mean(self, value: Tensor) -> float:
        """Returns the mean of a scalar over the processes."""
        if self.size == 1:
            return float(value)
        from accelerate.utils import reduce

        return float(reduce(value.clone(), "mean"))

    def largest(self, number: int) -> int:
        """Returns the largest number of all processes."""
        return max(self.gathered([number])) if self.size > 1 else number

    def gathered(self, values: Sequence[Any]) -> list[Any]:
        """Returns the values of all processes, in the order of ranks."""
        if self.size == 1:
            return list(values)
        from accelerate.utils import gather_object

        return list(gather_object(list(values)))

    def agreed(self, value: Any) -> Any:
        """Returns the leading process's value; waits for all processes."""
        return self.gathered([value])[0]


ALONE = Team()
"""A team of one process."""
