"""Export with torch only, where optimum is not installed."""

from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from edgeadapt.backbones import backbone_spec
from edgeadapt.exporters.quiet import quiet_tracing

__all__ = ["export"]

_OPSET = 17
"""The newest opset that all supported runtimes read. It includes LayerNormalization."""


class _LogitsOnly(nn.Module):
    """A model with positional inputs and one tensor as its output, as tracing requires."""

    def __init__(self, model: PreTrainedModel, names: list[str]) -> None:
        super().__init__()
        self.model, self.names = model, names

    def forward(self, *inputs: Tensor) -> Tensor:
        logits: Tensor = self.model(**dict(zip(self.names, inputs, strict=True))).logits
        return logits


def export(model: PreTrainedModel, path: Path) -> None:
    """Writes ``model`` to ``path`` with the TorchScript exporter.

    Not the newer dynamo exporter: attention in its graph cannot be fused, and it writes external
    data (torch 2.13).
    """
    names = ["input_ids", "attention_mask"]
    if backbone_spec(model.config.model_type).token_type_ids:
        names.append("token_type_ids")
    example = torch.ones(2, 8, dtype=torch.int64)
    with quiet_tracing():
        torch.onnx.export(
            _LogitsOnly(model, names).eval(),
            tuple(example.clone() for _ in names),
            str(path),
            dynamo=False,
            opset_version=_OPSET,
            input_names=names,
            output_names=["logits"],
            dynamic_axes={name: {0: "batch", 1: "seq"} for name in names}
            | {"logits": {0: "batch"}},
        )
