"""Static int8: like dynamic int8, with the activations' scales fixed ahead from real texts.

Written with QuantizeLinear and DequantizeLinear in front of each product, which other runtimes
read as well.
"""

from collections.abc import Collection, Sequence

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationMethod, QuantType
from onnxruntime.quantization.calibrate import TensorData, TensorsData
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

from edgeadapt.graph.edit import Edited
from edgeadapt.quantize.calibration import Inputs, activation_ranges
from edgeadapt.quantize.products import products, without_gemm
from edgeadapt.recipe import Calibration

__all__ = ["quantize_static"]


def quantize_static(
    model: onnx.ModelProto,
    texts: Sequence[Inputs],
    *,
    calibration: Calibration,
    per_channel: bool = True,
    reduce_range: bool = False,
    keep: Collection[str] = (),
) -> onnx.ModelProto:
    """Returns a copy whose products with weights are in int8.

    Args:
        model: Attention as products of its own: as one node it stays float32.
        texts: The graph's inputs for each text to calibrate with.
        calibration: How ranges follow from what was seen.
        per_channel: One scale for each output channel of a weight, not one for the whole.
        reduce_range: Seven bits for weights.
        keep: Names of nodes that stay as they are.
    """
    model = without_gemm(model)
    names = [each.node for each in products(model) if each.operator == "MatMul"]
    names = [name for name in names if name not in keep]
    edited = Edited(model)
    read = {node.input[0] for node in edited.graph.node if node.name in names}
    ranges = activation_ranges(model, read, texts, method=calibration)
    found = {
        tensor: TensorData(lowest=np.float32(low), highest=np.float32(high))
        for tensor, (low, high) in ranges.items()
    }
    quantizer = QDQQuantizer(
        edited.model,
        per_channel,
        reduce_range,
        QuantType.QInt8,
        QuantType.QUInt8,
        TensorsData(CalibrationMethod.MinMax, found),
        names,
        [],
        ["MatMul"],
        # Products come out as float32: what reads them is not quantized.
        {
            "OpTypesToExcludeOutputQuantization": ["MatMul"],
            "MatMulConstBOnly": True,
            "DedicatedQDQPair": True,  # a residual sum reads the tensor as it was
        },
    )
    quantizer.quantize_model()
    result: onnx.ModelProto = quantizer.model.model
    return result
