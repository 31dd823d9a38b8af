"""torch.compile, fp32, for every length at once: inductor's C++ for the CPU."""

from functools import partial

import torch
from harness import main
from torch_eager import load, prepare


def compiled(model: torch.nn.Module) -> torch.nn.Module:
    torch._inductor.config.freezing = True  # as its documentation advises for inference on CPUs
    return torch.compile(model, dynamic=True)


if __name__ == "__main__":
    main(load=partial(load, change=compiled), prepare=prepare)
