"""Whether a merged checkpoint gives the same logits in CTranslate2 and OpenVINO.

pip install ctranslate2 openvino
python benchmarks/accuracy.py sst2:adapter:0      # the run
python benchmarks/converters.py
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import ctranslate2
import numpy as np
import openvino
import torch
from common import WORK, data_folder, save
from ctranslate2.converters import TransformersConverter
from transformers import AutoModelForSequenceClassification, PreTrainedModel

from edgeadapt.data import read_rows
from edgeadapt.models.inference import torch_logits
from edgeadapt.models.opened import OpenedRun
from edgeadapt.pipeline.merge import merge_run
from edgeadapt.store.run import Run
from edgeadapt.text import TokenBatch

RUN = "sst2-adapter-0"
TEXTS = 256


def main() -> None:
    torch.set_num_threads(1)  # spinning thread pools would slow each other down
    run = Run.open(WORK / "runs" / RUN)
    encoder = OpenedRun(run).encoder
    texts = [row["text"] for row in read_rows(data_folder("sst2") / "test.csv")[:TEXTS]]
    reference = torch_logits(OpenedRun(run).classifier().model, encoder, texts, batch_size=1)
    rows = []
    with TemporaryDirectory() as folder:
        checkpoint = merge_run(run, output=Path(folder) / "checkpoint")
        model = AutoModelForSequenceClassification.from_pretrained(checkpoint.path)
        for name, version, ask in (
            ("ctranslate2", ctranslate2.__version__, _ctranslate2(checkpoint.path, model)),
            ("openvino", openvino.__version__, _openvino(model)),
        ):
            found = np.concatenate([ask(encoder.batch([text])) for text in texts])
            rows.append(_row(name, version, found, reference))
            print(rows[-1], flush=True)
    save("converters", {"run": RUN, "texts": TEXTS, "rows": rows})


def _row(name: str, version: str, found: np.ndarray, reference: np.ndarray) -> dict[str, Any]:
    return {
        "converter": name,
        "version": version,
        "largest_difference": float(np.abs(found - reference).max()),
        "labels_the_same": float((found.argmax(axis=1) == reference.argmax(axis=1)).mean()),
    }


def _ctranslate2(checkpoint: Path, model: PreTrainedModel) -> Any:
    """Converts encoder and pooler for CTranslate2; numpy computes the last dense layer."""
    target = checkpoint.parent / "ctranslate2"
    TransformersConverter(str(checkpoint)).convert(str(target))
    encoder = ctranslate2.Encoder(
        str(target), device="cpu", compute_type="float32", intra_threads=1
    )
    weight, bias = (p.detach().numpy() for p in model.classifier.parameters())

    def ask(batch: TokenBatch) -> np.ndarray:
        output = encoder.forward_batch(batch.input_ids.tolist())
        return np.asarray(output.pooler_output) @ weight.T + bias

    return ask


def _openvino(model: PreTrainedModel) -> Any:
    names = ("input_ids", "attention_mask", "token_type_ids")
    example = {name: torch.ones(1, 8, dtype=torch.int64) for name in names}
    converted = openvino.convert_model(model.eval(), example_input=example)
    compiled = openvino.compile_model(
        converted, "CPU", {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    )

    def ask(batch: TokenBatch) -> np.ndarray:
        return np.asarray(compiled(batch.select(names))[0])

    return ask


if __name__ == "__main__":
    sys.exit(main())
