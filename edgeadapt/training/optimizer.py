"""AdamW with linear warm-up and linear decay of the learning rate."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import torch
from torch import Tensor, nn

from edgeadapt.recipe import TrainingConfig

__all__ = ["Optimizer", "rate_at"]


def rate_at(step: int, *, warmup_steps: int, total_steps: int) -> float:
    """Returns the learning rate at a step, counted from 0, as a factor of the peak rate.

    It rises linearly to 1 during the warm-up, then falls linearly to 0 at ``total_steps``.
    """
    if step < warmup_steps:
        return (step + 1) / (warmup_steps + 1)
    return max(0.0, (total_steps - step) / max(1, total_steps - warmup_steps))


@dataclass
class Optimizer:
    """AdamW with its schedule; each step sets the rate, clips the gradients and updates."""

    trained: Mapping[str, nn.Parameter]
    adamw: torch.optim.AdamW
    peak: float
    """The learning rate after the warm-up."""
    clip_norm: float
    warmup_steps: int
    total_steps: int
    steps: int = field(default=0, init=False)
    """Steps taken so far."""

    @classmethod
    def make(
        cls,
        trained: Mapping[str, nn.Parameter],
        config: TrainingConfig,
        *,
        total_steps: int,
        head: Collection[str] = (),
    ) -> Self:
        """Makes AdamW for the trained parameters; vectors have no weight decay.

        Args:
            trained: The parameters, by name.
            config: Learning rates and weight decay, resolved.
            total_steps: Steps after which the learning rate is 0.
            head: Names of the task head's parameters, which have their own learning rate.

        Source: Loshchilov and Hutter, Decoupled Weight Decay Regularization (arXiv 1711.05101).
        """
        assert config.learning_rate is not None, "the recipe is resolved before training"
        # Whether in the head, whether decayed -> a parameter group as torch takes it.
        groups: dict[tuple[bool, bool], dict[str, Any]] = {}
        for name, parameter in trained.items():
            in_head, decays = name in head, parameter.ndim > 1
            group = {
                "params": [],
                "weight_decay": config.weight_decay if decays else 0.0,
                "factor": config.head_rate if in_head else 1.0,
            }
            groups.setdefault((in_head, decays), group)["params"].append(parameter)
        return cls(
            trained,
            # fused: one pass over memory instead of about ten, which saves a fifth of a step of
            # full fine-tuning.
            torch.optim.AdamW(list(groups.values()), lr=config.learning_rate, fused=True),
            config.learning_rate,
            config.clip_norm,
            round(config.warmup * total_steps),
            total_steps,
        )

    @property
    def rate(self) -> float:
        """The learning rate of the next step, for all parameters but the head's."""
        factor = rate_at(self.steps, warmup_steps=self.warmup_steps, total_steps=self.total_steps)
        return self.peak * factor

    def step(self) -> None:
        """Applies the accumulated gradients and clears them."""
        for group in self.adamw.param_groups:
            group["lr"] = self.rate * group["factor"]
        nn.utils.clip_grad_norm_(list(self.trained.values()), self.clip_norm)
        self.adamw.step()
        self.steps += 1
        self.forget()

    def forget(self) -> None:
        """Clears the accumulated gradients."""
        self.adamw.zero_grad(set_to_none=True)

    def tensors(self) -> dict[str, Tensor]:
        """Returns AdamW's moments and step counts as ``KEY/NAME``."""
        state = self.adamw.state
        return {
            f"{key}/{name}": tensor
            for name, parameter in self.trained.items()
            for key, tensor in state[parameter].items()
        }

    def load(self, tensors: Mapping[str, Tensor], *, steps: int) -> None:
        """Restores the result of ``tensors``, saved after ``steps`` steps."""
        self.steps = steps
        for path, tensor in tensors.items():
            key, _, name = path.partition("/")
            parameter = self.trained[name]
            self.adamw.state[parameter][key] = tensor.to(parameter.device, copy=True)
