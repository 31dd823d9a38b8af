"""torchao: int8 weights and activations, compiled, as in its README for inference."""

from functools import partial

import torch
from harness import main
from torch_compiled import compiled
from torch_eager import load, prepare
from torchao.quantization import Int8DynamicActivationInt8WeightConfig, quantize_


def quantized(model: torch.nn.Module) -> torch.nn.Module:
    quantize_(model, Int8DynamicActivationInt8WeightConfig())
    return compiled(model)


if __name__ == "__main__":
    main(load=partial(load, change=quantized), prepare=prepare)
