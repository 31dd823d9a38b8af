"""optimum's quantizer with its own settings for this CPU, run in plain onnxruntime."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from harness import Ids, main
from onnxruntime_session import load


def prepare(source: Path, target: Path, texts: Sequence[Ids]) -> None:
    from optimum.onnxruntime import ORTQuantizer
    from optimum.onnxruntime.configuration import AutoQuantizationConfig

    with TemporaryDirectory() as folder:
        shutil.copy(source / "stock.onnx", Path(folder) / "model.onnx")
        shutil.copy(source / "config.json", folder)
        quantizer = ORTQuantizer.from_pretrained(folder, file_name="model.onnx")
        how = AutoQuantizationConfig.avx512_vnni(is_static=False, per_channel=True)
        quantizer.quantize(save_dir=folder, quantization_config=how)
        shutil.copy(Path(folder) / "model_quantized.onnx", target / "model.onnx")


if __name__ == "__main__":
    main(load=load, prepare=prepare)
