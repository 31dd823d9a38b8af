"""Fuse each layer's attention into one node.

ONNX Runtime's fusion matches the exact pattern of attention, up to the dense layer and the
LayerNorm after it. A bottleneck in between breaks the pattern, so attention is fused before
bottlenecks are spliced in (``graph/splice.py``).
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import onnx
from onnx import helper
from onnxruntime.transformers.fusion_options import FusionOptions
from onnxruntime.transformers.optimizer import optimize_model

__all__ = ["count_attention", "fuse_attention"]

_LOGGERS = ("onnxruntime.transformers", "fusion_attention")
"""Loggers of the optimizer. It imports its modules of fusions without their package."""
_OPERATORS = ("Attention", "MultiHeadAttention", "QAttention")


def fuse_attention(model: onnx.ModelProto) -> onnx.ModelProto:
    """Returns a copy in which each attention is one ``Attention`` node.

    Attention that ONNX Runtime's fusion does not recognize is left unchanged. The fusion reads the
    number of heads from each layer's reshape; a pruned model has layers with different numbers.

    Args:
        model: A graph as written by an exporter.
    """
    options = FusionOptions("bert")
    # Keep the mask as input. The alternative, text lengths, would only support padding on the
    # right.
    options.use_raw_attention_mask(True)
    # SkipLayerNormalization is slower on CPUs than Add and LayerNormalization, and splicing needs
    # the Add. The other fusions are left to the session, which chooses them for its machine.
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
            num_heads=0,
            hidden_size=0,
            optimization_options=options,
            opt_level=0,
        )
    result: onnx.ModelProto = fused.model
    if count_attention(result):
        result.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    return result


def count_attention(model: onnx.ModelProto) -> int:
    """Returns the number of fused attention nodes."""
    return sum(node.op_type in _OPERATORS for node in model.graph.node)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silences the optimizer's log for the block; the parity gate checks the result."""
    before = {name: logging.getLogger(name).level for name in _LOGGERS}
    for name in before:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)
