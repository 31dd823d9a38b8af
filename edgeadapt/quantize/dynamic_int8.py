"""Dynamic int8: weights are s8 with a scale per output channel, activations become u8 at run time.

One scale per weight tensor is too coarse: on SST-2 it changes 4 to 5 % of the predicted labels, one
scale per channel about 2 %.
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
        model: The fp32 graph, with fused or unfused attention.
        per_channel: Whether each output channel of a weight has its own scale.
        reduce_range: Whether weights have 7 bits: CPUs without VNNI add pairs of products in 16
            bits, which saturate with 8-bit weights.
        keep: Names of nodes that are not quantized.
    """
    with tempfile.TemporaryDirectory() as folder, _without_advice():
        target = Path(folder) / "model.onnx"
        quantize_dynamic(
            without_gemm(model),  # onnxruntime does this as well, but renames nodes in ``keep``
            target,
            op_types_to_quantize=["MatMul", "Attention"],  # Gemm is MatMul by then
            nodes_to_exclude=list(keep),
            per_channel=per_channel,
            reduce_range=reduce_range,
            weight_type=QuantType.QInt8,
            # Needed for graphs with fused operators, whose output types are not inferred.
            extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},
        )
        return onnx.load(target)


_ADVICE = (
    "pre-processing before quantization",
    # Logged for tensors that are not floats, which correctly stay unchanged.
    "Inference failed or unsupported type to quantize",
)


@contextmanager
def _without_advice() -> Iterator[None]:
    """Drops messages for the block that onnxruntime logs and that a user cannot act on."""

    def keep(record: logging.LogRecord) -> bool:
        return not any(words in record.getMessage() for words in _ADVICE)

    root = logging.getLogger()
    root.addFilter(keep)
    try:
        yield
    finally:
        root.removeFilter(keep)
