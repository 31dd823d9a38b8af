"""Any ONNX file in plain onnxruntime; ``stock-int8`` is its own quantization at its defaults."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import onnxruntime
from harness import Answer, Ids, arrays, main


def prepare(source: Path, target: Path, texts: Sequence[Ids]) -> None:
    """Copies the plain export, or quantizes it where the target's name says int8."""
    if "int8" not in target.name:
        shutil.copy(source / "stock.onnx", target / "model.onnx")
        return
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(source / "stock.onnx", target / "model.onnx", weight_type=QuantType.QInt8)


def load(folder: Path, threads: int) -> Answer:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    # A default session uses all cores, spins, and may run operators in parallel.
    if not os.environ.get("DEFAULT_SESSION"):
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(
        str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"]
    )
    names = [value.name for value in session.get_inputs()]

    def answer(ids: Ids) -> object:
        given = arrays(ids)
        return session.run(None, {name: given[name] for name in names})[0]

    return answer


if __name__ == "__main__":
    main(load=load, prepare=prepare)
