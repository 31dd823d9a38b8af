"""Every kind on SST-2: accuracy in fp32 and int8; parallel adapters with three seeds.

    python benchmarks/sst2.py                          # all of them, one after the other
    python benchmarks/sst2.py parallel+bitfit:1 full:0 # some of them; the others' rows stay

The runs and bundles stay under ``artifacts/`` as ``sst2-METHOD-SEED``; ``latency.py`` and
``footprint.py`` measure those of seed 0.
"""

import sys
from typing import Any

import numpy as np
from common import WORK, add_row, data_folder

from edgeadapt.bundle import Bundle
from edgeadapt.config import Recipe, Task
from edgeadapt.data import read_rows, to_examples
from edgeadapt.metrics import agreement, largest_shift, score
from edgeadapt.pipeline.export import ExportOptions, Quantization, export
from edgeadapt.pipeline.train import train
from edgeadapt.runtime import load_engine
from edgeadapt.runtime.base import text_logits

THREADS = 1
"""One, so that several jobs can run side by side; it decides the rounding, too."""
JOBS = (
    *(f"{method}:{seed}" for method in ("parallel+bitfit", "parallel") for seed in range(3)),
    "full:0",
    *(
        f"{kind}:0"
        for kind in (
            "head",
            "lora",
            "ia3",
            "bitfit",
            "layernorm",
            "sequential",
            "houlsby",
            "compacter",
        )
    ),
)


def main() -> None:
    for job in sys.argv[1:] or JOBS:
        method, seed = job.split(":")
        add_row("sst2", measure(method, int(seed)), keys=("method", "seed"))


def measure(method: str, seed: int) -> dict[str, Any]:
    recipe = Recipe.load("sst2").updated(
        {
            "data": {"dataset": str(data_folder("sst2"))},
            "adapter": {"method": method},
            "training": {"seed": seed, "threads": THREADS},
        },
        origin="benchmark",
    )
    name = f"sst2-{method}-{seed}"
    run = train(recipe, output=WORK / "runs" / name, force=True)
    # The gate is reported, not enforced: the figure is wanted whatever it is.
    options = ExportOptions(quantize=Quantization(max_drop=1.0), with_torch=method == "full")
    bundle = export(run, options=options, output=WORK / "bundles" / name, force=True)
    row = {
        "method": method,
        "seed": seed,
        "trainable_parameters": run.info.trainable_parameters,
        "total_parameters": run.info.total_parameters,
        "learning_rate": run.info.recipe["training"]["learning_rate"],
        "epochs": run.info.recipe["training"]["epochs"],
        "best_epoch": run.info.best_epoch,
        "validation_accuracy": run.info.validation["accuracy"],
        "test_accuracy_torch": run.info.test["accuracy"],
        "merge_difference": bundle.manifest.parity["merge"]["max_difference"],
        "onnx_difference": bundle.manifest.parity["onnx"]["max_difference"],
        "int8_validation_drop": bundle.manifest.parity["int8"]["accuracy_drop"],
        **int8_against_fp32(bundle),
    }
    print(row, flush=True)
    return row


def int8_against_fp32(bundle: Bundle) -> dict[str, Any]:
    """Scores both variants on the whole test set in ONNX Runtime, one text at a time."""
    path = data_folder("sst2") / "test.csv"
    examples = to_examples(
        read_rows(path),
        text_column="text",
        label_column="label",
        label_names=bundle.manifest.labels,
        where=str(path),
    )
    encoder = bundle.text_encoder()
    logits = {
        variant: text_logits(load_engine(bundle, variant), encoder, examples.texts)
        for variant in ("fp32", "int8")
    }
    scores = {
        name: score(found, examples.known_labels(), task=Task.SINGLE_LABEL)
        for name, found in logits.items()
    }
    return {
        "test_texts": len(examples),
        "test_accuracy_fp32": scores["fp32"].accuracy,
        "test_accuracy_int8": scores["int8"].accuracy,
        "test_macro_f1_fp32": scores["fp32"].macro_f1,
        "test_macro_f1_int8": scores["int8"].macro_f1,
        "int8_agreement": agreement(logits["fp32"], logits["int8"], task=Task.SINGLE_LABEL),
        "int8_largest_shift": largest_shift(logits["fp32"], logits["int8"]),
        "int8_flipped": int(np.sum(logits["fp32"].argmax(axis=1) != logits["int8"].argmax(axis=1))),
    }


if __name__ == "__main__":
    sys.exit(main())
