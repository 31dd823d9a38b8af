"""Olive: its transformer optimization and dynamic quantization, run in plain onnxruntime."""

import shutil
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory

from harness import Ids, main
from onnxruntime_session import load


def prepare(source: Path, target: Path, texts: Sequence[Ids]) -> None:
    from olive.workflows import run

    with TemporaryDirectory() as folder, redirect_stdout(sys.stderr):
        cpu = {"device": "cpu", "execution_providers": ["CPUExecutionProvider"]}
        run(
            {
                "input_model": {"type": "ONNXModel", "model_path": str(source / "stock.onnx")},
                "systems": {"here": {"type": "LocalSystem", "accelerators": [cpu]}},
                "passes": {
                    "optimize": {"type": "OrtTransformersOptimization", "model_type": "bert"},
                    "quantize": {"type": "OnnxDynamicQuantization"},
                },
                "host": "here",
                "target": "here",
                "cache_dir": f"{folder}/cache",
                "output_dir": f"{folder}/out",
            }
        )
        (made,) = Path(folder, "out").rglob("*.onnx")
        shutil.copy(made, target / "model.onnx")


if __name__ == "__main__":
    main(load=load, prepare=prepare)
