"""When memory runs out: how much would have fitted."""

from collections.abc import Callable, Sequence

import numpy as np
import torch

from edgeadapt.errors import TrainingError
from edgeadapt.training.objectives import Objective

__all__ = ["out_of_memory"]


def out_of_memory(
    objective: Objective,
    batch_size: int,
    *,
    step: int,
    forget: Callable[[], None],
    alone: bool = True,
) -> TrainingError:
    """Tries smaller and smaller batches of the longest texts, and returns the error that tells.

    With nothing of the failed attempt left in memory, or it finds too little.

    Args:
        objective: The loss of a batch needed more memory than there is.
        batch_size: Texts in that batch.
        step: Its number, from 1.
        forget: Clears gradients.
        alone: Whether this is the only process: others would wait for what is tried here.
    """
    if not alone:
        return TrainingError(
            f"Memory ran out at step {step}, with {batch_size} texts over all processes.",
            hint="Try a smaller --batch-size, a smaller --max-length or "
            "--activation-checkpointing.",
        )
    lengths: Sequence[int] = objective.lengths
    longest = np.argsort(lengths)[::-1]
    size = batch_size
    while size := size // 2:
        forget()
        torch.cuda.empty_cache()
        try:
            objective.loss(longest[:size]).minimized.backward()  # type: ignore[no-untyped-call]
        except torch.OutOfMemoryError:
            continue
        break
    smaller = f"--batch-size {size}, " if size else ""
    return TrainingError(
        f"Memory ran out at step {step}, with {batch_size} texts: {size} of the longest, of up to "
        f"{lengths[longest[0]]} tokens, fit.",
        hint=f"Try {smaller}a smaller --max-length or --activation-checkpointing.",
    )
