"""Small graphs for the tests of quantization."""

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

WIDTH, INNER, LABELS, WORDS = 32, 64, 3, 40


def classifier_graph(seed: int = 0, *, outlier: float = 1.0) -> onnx.ModelProto:
    """Token ids -> embeddings -> two products with GELU between -> mean -> Gemm -> logits.

    Args:
        seed: Of the weights.
        outlier: Factor on one neuron between the products: the larger, the coarser are the levels
            of all others.
    """
    generator = np.random.default_rng(seed)

    def normal(*shape: int) -> NDArray[np.float32]:
        return (generator.normal(size=shape) / np.sqrt(shape[0])).astype(np.float32)

    weights = {
        "table": generator.normal(size=(WORDS, WIDTH)).astype(np.float32),
        "first": normal(WIDTH, INNER),
        "second": normal(INNER, WIDTH),
        "head": normal(WIDTH, LABELS).T,
        "bias": normal(LABELS),
    }
    weights["first"][:, 0] *= outlier
    weights["second"][0] /= outlier
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["words"]),
        helper.make_node("MatMul", ["words", "first"], ["inner"], name="/first"),
        helper.make_node("Relu", ["inner"], ["active"]),
        helper.make_node("MatMul", ["active", "second"], ["outer"], name="/second"),
        helper.make_node("ReduceMean", ["outer"], ["pooled"], axes=[1], keepdims=0),
        helper.make_node("Gemm", ["pooled", "head", "bias"], ["logits"], name="/head", transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "classifier",
        [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "seq"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", LABELS])],
        [numpy_helper.from_array(np.ascontiguousarray(v), name) for name, v in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def logits_of(model: onnx.ModelProto, ids: NDArray[np.int64]) -> NDArray[np.float32]:
    import onnxruntime

    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return np.asarray(session.run(["logits"], {"input_ids": ids})[0])


def written(model: onnx.ModelProto, path: Path) -> Path:
    onnx.save(model, path)
    return path
