"""Fusing each layer's attention into one node, before anything that hides it is put in.

ONNX Runtime's fusion looks for attention's exact shape, up to the dense layer and the LayerNorm
behind it. A bottleneck in between hides it; so fuse first, splice then (``graph/splice.py``).
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import onnx
from onnx import helper
from onnxruntime.transformers.fusion_options import FusionOptions
from onnxruntime.transformers.optimizer import optimize_model

__all__ = ["count_attention", "fuse_attention"]

_OPERATORS = ("Attention", "MultiHeadAttention", "QAttention")


def fuse_attention(model: onnx.ModelProto, *, heads: int, hidden: int) -> onnx.ModelProto:
    """Returns a copy in which every attention that ONNX Runtime knows is one ``Attention`` node.

    Architectures that it does not know come back with the attention they had.

    Args:
        model: As an exporter wrote it.
        heads: Attention heads of each layer.
        hidden: Width of the hidden states.
    """
    options = FusionOptions("bert")
    # The whole mask, as every loader gives it: lengths alone would ask for padding on the right.
    options.use_raw_attention_mask(True)
    # SkipLayerNormalization is slower on CPUs than Add and LayerNormalization, and a splice needs
    # the Add. The rest is left to the session, which fuses it for the machine that it runs on.
    options.enable_skip_layer_norm = False
    options.enable_bias_skip_layer_norm = False
    options.enable_embed_layer_norm = False
    options.enable_gelu = False
    options.enable_bias_gelu = False
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    with _quiet():
        fused = optimize_model(
            copy,
            model_type="bert",
            num_heads=heads,
            hidden_size=hidden,
            optimization_options=options,
            opt_level=0,
        )
    result: onnx.ModelProto = fused.model
    if count_attention(result):
        result.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    return result


def count_attention(model: onnx.ModelProto) -> int:
    """Returns the number of nodes that are a whole attention."""
    return sum(node.op_type in _OPERATORS for node in model.graph.node)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps the optimizer from telling of every node; the parity gate judges what it did."""
    root = logging.getLogger("onnxruntime.transformers")
    before = root.level
    root.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        root.setLevel(before)
