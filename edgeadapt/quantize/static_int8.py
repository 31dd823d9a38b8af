"""Static int8: like dynamic int8, but the scales of activations come from a calibration set.

Written as QuantizeLinear and DequantizeLinear before each product, a form that other runtimes
support as well.
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
        model: The fp32 graph with unfused attention; fused attention would stay float32.
        texts: The calibration set: the graph's inputs for each text.
        calibration: How to compute ranges from the observed values.
        per_channel: Whether each output channel of a weight has its own scale.
        reduce_range: Whether weights have 7 bits.
        keep: Names of nodes that are not quantized.
    """
    model = without_gemm(model)
    names = [product.node for product in products(model) if product.operator == "MatMul"]
    names = [name for name in names if name not in keep]
    edited = Edited(model)
    read = {node.input[0] for node in edited.graph.node if node.name in names}
    ranges = activation_ranges(model, read, texts, method=calibration)
    calibrated = {
        tensor: TensorData(lowest=np.float32(low), highest=np.float32(high))
        for tensor, (low, high) in ranges.items()
    }
    quantizer = QDQQuantizer(
        edited.model,
        per_channel,
        reduce_range,
        QuantType.QInt8,
        QuantType.QUInt8,
        TensorsData(CalibrationMethod.MinMax, calibrated),
        names,
        [],
        ["MatMul"],
        # The outputs of products stay float32, because the operators that read them are float32.
        {
            "OpTypesToExcludeOutputQuantization": ["MatMul"],
            "MatMulConstBOnly": True,
            "DedicatedQDQPair": True,  # the residual sum reads the unquantized tensor
        },
    )
    quantizer.quantize_model()
    result: onnx.ModelProto = quantizer.model.model
    return result
