"""Export a single module as a small ONNX graph, to be spliced into a larger one."""

import io

import onnx
import torch
from torch import nn

from edgeadapt.exporters.quiet import quiet_tracing

__all__ = ["export_fragment"]


def export_fragment(module: nn.Module, *, hidden: int, opset: int) -> onnx.ModelProto:
    """Returns ``module`` as a graph from ``x`` to ``y``, both float32 (batch, seq, hidden).

    Args:
        module: A module with one input and one output of that shape.
        hidden: Width of the hidden states.
        opset: Opset of the larger graph.
    """
    file = io.BytesIO()
    with quiet_tracing():
        torch.onnx.export(
            module.eval(),
            (torch.zeros(2, 8, hidden),),
            file,  # type: ignore[arg-type]
            dynamo=False,
            opset_version=opset,
            input_names=["x"],
            output_names=["y"],
            dynamic_axes={name: {0: "batch", 1: "seq"} for name in ("x", "y")},
        )
    return onnx.load_from_string(file.getvalue())
