"""When GPU memory runs out, find the batch size that fits."""

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
    """Returns an error that names the largest batch of the longest texts that fits, by halving.

    Call it when the tensors of the failed attempt are no longer referenced, since they would
    reduce the result.

    Args:
        objective: The objective whose loss ran out of memory.
        batch_size: Number of texts in the failed batch.
        step: Number of the step, from 1.
        forget: Clears gradients.
        alone: Whether this is the only process. With several nothing is tried, because every
            backward pass waits for all of them.
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
