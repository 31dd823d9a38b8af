"""Processes that train together: one, or as many as ``accelerate launch`` started."""

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
    """The own process among those that train together.

    Each takes a share of every batch; gradients are averaged over them, so that the weights are
    those of one process with the whole batch, up to rounding.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    """Among the processes of the same machine."""

    @classmethod
    def launched(cls) -> Self:
        """Finds out how this process was started."""
        if int(os.environ.get("WORLD_SIZE", "1")) == 1:
            return cls()
        from accelerate import PartialState  # only here, because it takes a second

        state = PartialState(cpu=not torch.cuda.is_available())
        return cls(state.process_index, state.num_processes, state.local_process_index)

    @property
    def leads(self) -> bool:
        """Whether this process is the one that writes and reports."""
        return self.rank == 0

    def share(self, items: Any) -> Any:
        """Returns this process's part of a sequence or an array, every ``size``-th of it."""
        return items[self.rank :: self.size]

    def weight(self, rows: np.ndarray) -> float:
        """Returns what the mean over this process's share counts in the mean of all processes."""
        return self.size * len(self.share(rows)) / len(rows)

    def wrap(self, model: nn.Module, device: torch.device) -> nn.Module:
        """Returns the model to run, which averages gradients over the processes."""
        if self.size == 1:
            return model
        from accelerate import Accelerator

        # The precision is the recipe's own: what accelerate is configured for would come on top.
        accelerator = Accelerator(cpu=device.type == "cpu", mixed_precision="no")
        wrapped: nn.Module = accelerator.prepare_model(model)
        return wrapped

    def mean(self, value: Tensor) -> float:
        """Returns the mean of every process's value, a scalar."""
        if self.size == 1:
            return float(value)
        from accelerate.utils import reduce

        return float(reduce(value.clone(), "mean"))

    def largest(self, number: int) -> int:
        """Returns the largest of every process's number."""
        return max(self.gathered([number])) if self.size > 1 else number

    def gathered(self, values: Sequence[Any]) -> list[Any]:
        """Returns every process's values, by rank."""
        if self.size == 1:
            return list(values)
        from accelerate.utils import gather_object

        return list(gather_object(list(values)))

    def agreed(self, value: Any) -> Any:
        """Returns the leading process's value."""
        return self.gathered([value])[0]


ALONE = Team()
"""No others."""
