"""What quantizing and trimming cost on test text, over the adapter runs of ``accuracy.py``.

    python benchmarks/quantization.py                       # every run of DATASETS that is there
    python benchmarks/quantization.py trec:0 sst2:1         # some of them; the others' rows stay
    python benchmarks/quantization.py trec:0:default        # one way

Each is exported in the ways of ``WAYS``, with the gate at its default, and scored on all of its
test text, one text at a time, against its fp32 model. The bundles stay under ``artifacts/bundles``
as ``DATASET-adapter-SEED-WAY``. Where the run is trained on first, what it then loses and wins is
still counted against the fp32 model from before.
"""

import sys
from collections.abc import Mapping
from statistics import fmean
from typing import Any

from accuracy import SEEDS
from common import WORK, add_row

from edgeadapt.bundle import Bundle
from edgeadapt.data import read_rows
from edgeadapt.errors import GateError
from edgeadapt.metrics import drift
from edgeadapt.pipeline.export import ExportOptions, Quantization, Trimming, export
from edgeadapt.pipeline.restore import kept_examples, recipe_of
from edgeadapt.pipeline.train import train
from edgeadapt.recipe import Objective, Scheme
from edgeadapt.run import Run
from edgeadapt.runtime import load_engine
from edgeadapt.runtime.base import text_logits

DATASETS = ("sst2", "trec", "tweet_emotion", "banking77")
SMALL = Quantization(objective=Objective.SIZE)
SMALLEST = Quantization((Scheme.INT4_WEIGHTS,), Objective.SIZE)
WAYS: Mapping[str, ExportOptions] = {
    "default": ExportOptions(quantize=Quantization()),
    "trimmed": ExportOptions(quantize=SMALL, trim=Trimming()),
    "smallest": ExportOptions(quantize=SMALLEST, trim=Trimming(), max_drop=0.015),
    "one epoch more": ExportOptions(quantize=Quantization()),
    "one epoch more, quant-aware": ExportOptions(quantize=Quantization()),
}
FINISHES = {
    way: {"quant_aware": "quant-aware" in way, "epochs": 1, "learning_rate": 5e-4}
    for way in WAYS
    if "epoch" in way
}
"""Ways for which the run is trained on first, at a quarter of the adapters' rate."""


def main() -> None:
    asked = sys.argv[1:] or [
        f"{dataset}:{seed}"
        for dataset in DATASETS
        for seed in SEEDS
        if (WORK / "runs" / f"{dataset}-adapter-{seed}" / "run.json").is_file()
    ]
    for job in asked:
        dataset, seed, *ways = job.split(":")
        run = Run.open(WORK / "runs" / f"{dataset}-adapter-{seed}")
        plain = export(run, output=WORK / "bundles" / f"{run.name}-plain", force=True)
        for way in ways or WAYS:
            trained = finished(run, way) if way in FINISHES else run
            found = measure(run, plain, trained, way)
            row = {"dataset": dataset, "seed": int(seed), "way": way} | found
            print(row, flush=True)
            add_row("quantization", row, keys=("dataset", "way", "seed"))


def finished(run: Run, way: str) -> Run:
    """Returns the run, trained on."""
    recipe = recipe_of(run).updated(
        {"adapter": {"start": str(run.path)}, "training": FINISHES[way]}, origin="benchmark"
    )
    return train(recipe, output=WORK / "runs" / f"{run.name}-{_slug(way)}", force=True)


def _slug(way: str) -> str:
    return way.replace(",", "").replace(" ", "-")


def measure(run: Run, plain: Bundle, trained: Run, way: str) -> dict[str, Any]:
    target = WORK / "bundles" / f"{run.name}-{_slug(way)}"
    try:
        bundle = export(trained, options=WAYS[way], output=target, force=True)
    except GateError as error:
        return {"refused": error.message}
    manifest, chosen = bundle.manifest, bundle.default_variant()
    assert manifest.quantization is not None
    variant = manifest.variants[chosen]
    return {
        "chosen": manifest.quantization["chosen"],
        "embeddings": _embeddings(bundle),
        "model_bytes": manifest.files[variant.file].bytes,
        "tokenizer_bytes": manifest.files["tokenizer.json"].bytes,
        "fp32_bytes": plain.manifest.files["onnx/model.onnx"].bytes,
        "validation": manifest.parity["int8"],
        "test": drift_on_test(run, (plain, "fp32"), (bundle, chosen)),
        "as_scored": as_scored(trained, bundle),
    }


def _embeddings(bundle: Bundle) -> int:
    """Word pieces with embeddings of their own."""
    trimmed = bundle.manifest.parity.get("vocabulary")
    pieces = bundle.text_encoder().tokenizer.get_vocab_size()
    return trimmed["embeddings"] if trimmed else pieces


def as_scored(run: Run, bundle: Bundle) -> float:
    """Share of test texts that a quantized model labels as its run was scored.

    For a quant-aware run: as its simulation did.
    """
    rows = read_rows(run.path / "predictions.csv")
    engine, encoder = load_engine(bundle, bundle.default_variant()), bundle.text_encoder()
    found = text_logits(engine, encoder, kept_examples(run, "predictions.csv").texts).argmax(1)
    labels = [run.info.labels[label] for label in found]
    return fmean(row["prediction"] == label for row, label in zip(rows, labels, strict=True))


def drift_on_test(
    run: Run, before: tuple[Bundle, str], after: tuple[Bundle, str]
) -> dict[str, Any]:
    """Compares two bundles' variants on a run's whole test text."""
    test = kept_examples(run, "predictions.csv")
    logits = [
        text_logits(load_engine(bundle, variant), bundle.text_encoder(), test.texts)
        for bundle, variant in (before, after)
    ]
    return drift(*logits, test.known_labels(), task=run.info.task).to_dict()


if __name__ == "__main__":
    main()
