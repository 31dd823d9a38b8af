"""Dynamic int8: weights are s8 with a scale per output channel, activations u8 at run time.

One scale per tensor is not enough for the weights: on SST-2 it changes 4 to 5 % of the labels,
one per channel about 2 %. Embeddings have a scale per row.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import onnx
from onnxruntime.quantization import QuantType, quantize_dynamic

from edgeadapt.quantize.embeddings import quantize_embeddings

__all__ = ["quantize"]


def quantize(source: Path, target: Path) -> None:
    """Writes ``source`` with every MatMul, Gemm and embedding table in int8 to ``target``."""
    with _without_advice():
        quantize_dynamic(
            quantize_embeddings(onnx.load(source)),
            target,
            op_types_to_quantize=["MatMul", "Attention"],  # and Gemm, which becomes MatMul
            per_channel=True,
            weight_type=QuantType.QInt8,
            # Without it, graphs with fused operators fail on weights whose type is not inferred.
            extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},
        )


_ADVICE = (
    "pre-processing before quantization",
    # Of tensors that are no floats: they are left as they are, which is right.
    "Inference failed or unsupported type to quantize",
)


@contextmanager
def _without_advice() -> Iterator[None]:
    """Drops what onnxruntime logs at the root logger and nobody can act on."""

    def keep(record: logging.LogRecord) -> bool:
        return not any(words in record.getMessage() for words in _ADVICE)

    root = logging.getLogger()
    root.addFilter(keep)
    try:
        yield
    finally:
        root.removeFilter(keep)
