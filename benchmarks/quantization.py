"""What quantizing and trimming cost on test text, over the adapter runs of ``accuracy.py``.

    python benchmarks/quantization.py                       # every run that is there
    python benchmarks/quantization.py trec:0 sst2:1         # some of them; the others' rows stay

Each is exported in the ways of ``WAYS``, with the gate at its default, and scored on all of its
test text, one text at a time. The runs are under ``artifacts/runs`` as ``DATASET-adapter-SEED``.
"""

import sys
from collections.abc import Mapping
from typing import Any

from accuracy import DATASETS, SEEDS
from common import WORK, add_row

from edgeadapt.bundle import Bundle
from edgeadapt.config import Objective, Scheme
from edgeadapt.errors import GateError
from edgeadapt.metrics import drift
from edgeadapt.pipeline.export import ExportOptions, Quantization, Trimming, export
from edgeadapt.pipeline.restore import kept_examples
from edgeadapt.run import Run
from edgeadapt.runtime import load_engine
from edgeadapt.runtime.base import text_logits

SMALLEST = Quantization((Scheme.INT4_WEIGHTS,), Objective.SIZE, max_drop=0.015)
WAYS: Mapping[str, ExportOptions] = {
    "default": ExportOptions(quantize=Quantization()),
    "trimmed": ExportOptions(quantize=Quantization(), trim=Trimming()),
    "smallest": ExportOptions(quantize=SMALLEST, trim=Trimming()),
}


def main() -> None:
    asked = sys.argv[1:] or [
        f"{dataset}:{seed}"
        for dataset in DATASETS
        for seed in SEEDS
        if (WORK / "runs" / f"{dataset}-adapter-{seed}" / "run.json").is_file()
    ]
    for job in asked:
        dataset, seed = job.split(":")
        run = Run.open(WORK / "runs" / f"{dataset}-adapter-{seed}")
        plain = export(run, output=WORK / "bundles" / "plain", force=True)
        for way in WAYS:
            row = {"dataset": dataset, "seed": int(seed), "way": way} | measure(run, plain, way)
            print(row, flush=True)
            add_row("quantization", row, keys=("dataset", "way", "seed"))


def measure(run: Run, plain: Bundle, way: str) -> dict[str, Any]:
    try:
        bundle = export(
            run, options=WAYS[way], output=WORK / "bundles" / f"{run.name}-{way}", force=True
        )
    except GateError as error:
        return {"refused": error.message}
    test = kept_examples(run, "predictions.csv")
    before, after = (
        text_logits(load_engine(each, variant), each.text_encoder(), test.texts)
        for each, variant in ((plain, "fp32"), (bundle, bundle.default_variant()))
    )
    manifest = bundle.manifest
    assert manifest.quantization is not None
    variant = manifest.variants[bundle.default_variant()]
    return {
        "chosen": manifest.quantization["chosen"],
        "pieces": bundle.text_encoder().tokenizer.get_vocab_size(),
        "model_bytes": manifest.files[variant.file].bytes,
        "tokenizer_bytes": manifest.files["tokenizer.json"].bytes,
        "fp32_bytes": plain.manifest.files["onnx/model.onnx"].bytes,
        "validation": manifest.parity["int8"],
        "test": drift(before, after, test.known_labels(), task=run.info.task).to_dict(),
    }


if __name__ == "__main__":
    main()
