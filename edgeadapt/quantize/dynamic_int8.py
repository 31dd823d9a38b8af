"""Dynamic int8: weights are s8 with a scale per output channel, activations u8 at run time.

One scale per tensor is not enough for the weights: on SST-2 it changes 4 to 5 % of the labels,
one per channel about 2 %.
"""

import logging
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import onnx
from onnxruntime.quantization import QuantType, quantize_dynamic

from edgeadapt.quantize.products import without_gemm

__all__ = ["quantize_dynamic_int8"]


def quantize_dynamic_int8(
    model: onnx.ModelProto,
    *,
    per_channel: bool = True,
    reduce_range: bool = False,
    keep: Collection[str] = (),
) -> onnx.ModelProto:
    """Returns a copy whose products with weights are in int8.

    Args:
        model: Attention as one node or as products of its own.
        per_channel: One scale for each output channel of a weight, not one for the whole.
        reduce_range: Seven bits for weights: CPUs without VNNI add pairs of products in 16 bits,
            and cut what does not fit.
        keep: Names of nodes that stay as they are.
    """
    with tempfile.TemporaryDirectory() as folder, _without_advice():
        target = Path(folder) / "model.onnx"
        quantize_dynamic(
            without_gemm(model),  # onnxruntime does it too, and renames the nodes in ``keep``
            target,
            op_types_to_quantize=["MatMul", "Attention"],  # Gemm is MatMul by then
            nodes_to_exclude=list(keep),
            per_channel=per_channel,
            reduce_range=reduce_range,
            weight_type=QuantType.QInt8,
            # Without it, graphs with fused operators fail on weights whose type is not inferred.
            extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},
        )
        return onnx.load(target)


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
