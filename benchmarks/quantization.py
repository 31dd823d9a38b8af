"""Measure the accuracy cost of quantization and trimming on test text, for all runs.

    python benchmarks/quantization.py                       # every run of DATASETS that exists
    python benchmarks/quantization.py trec:0 sst2:1         # two of them; other rows stay
    python benchmarks/quantization.py trec:0:default        # one way

Each run of ``accuracy.py`` is exported in all ``WAYS``, with the default gate, and scored on all of
its test text, one text at a time, against its fp32 model. The bundles are kept as
``artifacts/bundles/DATASET-adapter-SEED-WAY``. For ways with further training, the reference is
still the fp32 model before it.
"""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any

from accuracy import SEEDS, SST2, add_row, shares, spread
from common import WORK, Aim, Headline, Shown, load, rows_of, table

from edgeadapt.data import read_rows
from edgeadapt.errors import GateError
from edgeadapt.metrics import Logits, drift
from edgeadapt.recipe import Objective, Scheme
from edgeadapt.runtime import load_engine
from edgeadapt.runtime.base import text_logits
from edgeadapt.store.bundle import Bundle
from edgeadapt.store.run import Run

if TYPE_CHECKING:
    from edgeadapt.pipeline.export import ExportOptions

__all__ = ["SHOWN", "drift_on_test", "logits_on_test"]

DATASETS = ("sst2", "trec", "tweet_emotion", "banking77")
AWARE = "one epoch more, quant-aware"
WAYS = ("default", "trimmed", "smallest", "one epoch more", AWARE)
FINISHES = {
    way: {"quant_aware": way == AWARE, "epochs": 1, "learning_rate": 5e-4}
    for way in WAYS
    if "epoch" in way
}
"""Ways that first train the run for another epoch, at a quarter of the learning rate."""


def main() -> None:
    from edgeadapt.pipeline.export import export

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


def options(way: str) -> "ExportOptions":
    """Returns the export options of a way."""
    from edgeadapt.pipeline.export import ExportOptions, Quantization, Trimming

    if way == "trimmed":
        return ExportOptions(quantize=Quantization(objective=Objective.SIZE), trim=Trimming())
    if way == "smallest":
        smallest = Quantization((Scheme.INT4_WEIGHTS,), Objective.SIZE)
        return ExportOptions(quantize=smallest, trim=Trimming(), max_drop=0.015)
    return ExportOptions(quantize=Quantization())


def finished(run: Run, way: str) -> Run:
    """Returns the run after another epoch of training."""
    from edgeadapt.pipeline.train import train

    recipe = run.info.recipe.updated(
        {"adapter": {"start": str(run.path)}, "training": FINISHES[way]}, origin="benchmark"
    )
    return train(recipe, output=WORK / "runs" / f"{run.name}-{_slug(way)}", force=True)


def _slug(way: str) -> str:
    return way.replace(",", "").replace(" ", "-")


def measure(run: Run, plain: Bundle, trained: Run, way: str) -> dict[str, Any]:
    from edgeadapt.pipeline.export import export

    target = WORK / "bundles" / f"{run.name}-{_slug(way)}"
    try:
        bundle = export(trained, options=options(way), output=target, force=True)
    except GateError as error:
        return {"refused": error.message}
    manifest, chosen = bundle.manifest, bundle.default_variant()
    assert manifest.compression is not None
    quantized = manifest.compression.step("quantize")
    assert quantized is not None
    spent = manifest.compression.spent
    variant = manifest.variants[chosen]
    return {
        "chosen": quantized.chosen,
        "embeddings": _embeddings(bundle),
        "model_bytes": manifest.files[variant.file].bytes,
        "tokenizer_bytes": manifest.files["tokenizer.json"].bytes,
        "fp32_bytes": plain.manifest.files["onnx/model.onnx"].bytes,
        "validation": {
            "scheme": variant.scheme,
            "max_drop": manifest.compression.max_drop,
            **spent.to_dict(),
        },
        "test": drift_on_test(run, (plain, "fp32"), (bundle, chosen)),
        "as_scored": as_scored(trained, bundle),
    }


def _embeddings(bundle: Bundle) -> int:
    """Number of distinct rows in the embedding table."""
    compression = bundle.manifest.compression
    trimmed = compression.step("vocabulary") if compression else None
    pieces = bundle.text_encoder().tokenizer.get_vocab_size()
    return int(str(trimmed.taken.settings["embeddings"])) if trimmed else pieces


def as_scored(run: Run, bundle: Bundle) -> float:
    """Share of test texts with the same predictions as in the scores of training.

    Scores of a quant-aware run are from simulated int8.
    """
    from edgeadapt.models.opened import OpenedRun

    rows = read_rows(run.path / "predictions.csv")
    engine, encoder = load_engine(bundle, bundle.default_variant()), bundle.text_encoder()
    found = text_logits(engine, encoder, OpenedRun(run).test.texts).argmax(1)
    labels = [run.info.labels[label] for label in found]
    return fmean(row["prediction"] == label for row, label in zip(rows, labels, strict=True))


def logits_on_test(run: Run, *variants: tuple[Bundle, str]) -> list[Logits]:
    """Returns the logits of bundles' variants for all of a run's test text."""
    from edgeadapt.models.opened import OpenedRun

    texts = OpenedRun(run).test.texts
    return [
        text_logits(load_engine(bundle, variant), bundle.text_encoder(), texts)
        for bundle, variant in variants
    ]


def drift_on_test(
    run: Run, before: tuple[Bundle, str], after: tuple[Bundle, str]
) -> dict[str, Any]:
    """Compares two bundles' variants on all of a run's test text."""
    from edgeadapt.models.opened import OpenedRun

    labels = OpenedRun(run).test.known_labels()
    return drift(*logits_on_test(run, before, after), labels, task=run.info.task).to_dict()


def quantization() -> str:
    """The accuracy cost of each way on the test text of every data set."""
    found = load("quantization")["rows"]
    lines = []
    for way, dataset in dict.fromkeys((row["way"], row["dataset"]) for row in found):
        rows = [row for row in found if (row["way"], row["dataset"]) == (way, dataset)]
        done = [row for row in rows if "test" in row]
        if not done:
            lines.append((way, dataset, "refused", "", "", "", "", len(rows)))
            continue
        drops = [100 * row["test"]["accuracy_drop"] for row in done]
        megabytes = fmean(row["model_bytes"] + row["tokenizer_bytes"] for row in done) / 1e6
        lines.append(
            (
                way,
                dataset,
                spread(drops),
                f"{fmean(100 * row['test']['label_agreement'] for row in done):.2f}",
                f"{fmean(100 * row['as_scored'] for row in done):.2f}",
                f"{fmean(row['model_bytes'] / row['fp32_bytes'] for row in done):.1%}",
                f"{megabytes:.1f}",
                f"{len(done)} of {len(rows)}" if len(done) < len(rows) else len(rows),
            )
        )
    headers = (
        "way",
        "data",
        "drop, points",
        "= fp32, %",
        "= training's, %",
        "of fp32's file",
        "MB",
        "seeds",
    )
    return table(headers, sorted(lines, key=lambda line: line[0] != "default"))


@dataclass(frozen=True)
class Limit:
    """An aim for one way: a figure, averaged over the seeds of each data set."""

    way: str
    what: str
    figure: Callable[[Mapping[str, Any]], float]
    limit: float
    least: bool = False
    """Whether the figure has to be at least the limit; else at most."""
    digits: int = 2

    def judged(self) -> Aim:
        """Returns the worst figure, and the data sets that miss the limit."""
        rows = rows_of("quantization", way=self.way)
        figures: dict[str, float] = {
            dataset: fmean(
                self.figure(row) for row in rows if row["dataset"] == dataset and "test" in row
            )
            for dataset in dict.fromkeys(row["dataset"] for row in rows)
        }
        # The aim is checked against the rounded figure, as it is shown.
        shown = {name: round(value, self.digits) for name, value in figures.items()}
        missed = [
            name
            for name, value in shown.items()
            if (value < self.limit if self.least else value > self.limit)
        ]
        worst = (min if self.least else max)(shown, key=shown.__getitem__)
        return Aim(
            self.what,
            f"{shown[worst]:.{self.digits}f} ({worst})",
            f"**missed by {', '.join(missed)}**" if missed else "met",
        )


def _drop(row: Mapping[str, Any]) -> float:
    return 100 * float(row["test"]["accuracy_drop"])


def _kept(row: Mapping[str, Any]) -> float:
    """Accuracy after, as a share of accuracy before, in percent."""
    test = row["test"]
    return 100 * float(test["accuracy_after"]) / float(test["accuracy_before"])


def _agreement(row: Mapping[str, Any]) -> float:
    return 100 * float(row["test"]["label_agreement"])


def _as_scored(row: Mapping[str, Any]) -> float:
    return 100 * float(row["as_scored"])


def _size(row: Mapping[str, Any]) -> float:
    """Bytes of the file, as a share of fp32's, in percent."""
    return 100 * float(row["model_bytes"] / row["fp32_bytes"])


def _megabytes(row: Mapping[str, Any]) -> float:
    return float(row["model_bytes"] + row["tokenizer_bytes"]) / 1e6


LIMITS = (
    Limit("default", "drop ≤ 0.3 points", _drop, 0.3),
    Limit("default", "labels = fp32's ≥ 98 %", _agreement, 98, least=True),
    Limit("default", "file ≤ 26 % of fp32's", _size, 26),
    Limit(AWARE, "labels = training's ≥ 99.5 %", _as_scored, 99.5, least=True),
    Limit(AWARE, "no drop", _drop, 0),
    Limit("trimmed", "≤ 15 MB", _megabytes, 15, digits=1),
    Limit("trimmed", "≥ 99 % of the accuracy", _kept, 99, least=True),
    Limit("smallest", "≤ 9 MB", _megabytes, 9, digits=1),
    Limit("smallest", "≥ 98.5 % of the accuracy", _kept, 98.5, least=True),
)


def aims() -> list[Aim]:
    """Every aim, named after its way."""
    found = [(limit.way, limit.judged()) for limit in LIMITS]
    return [Aim(f"{way}: {aim.what}", aim.measured, aim.verdict) for way, aim in found]


def aims_table() -> str:
    """Every aim, with the data set that is furthest from it."""
    found = [(limit.way, limit.judged()) for limit in LIMITS]
    lines = [(way, aim.what, aim.measured, aim.verdict) for way, aim in found]
    return table(("way", "aim", "worst data set", ""), lines)


def int8_drop() -> str:
    drops = [_drop(row) for row in rows_of("quantization", **SST2, way="default")]
    seeds = ", ".join(f"{value:.2f}" for value in drops)
    return f"**{fmean(drops):.2f} points** ({seeds})"


def int8_agreement() -> str:
    rows = rows_of("quantization", **SST2, way="default")
    return shares(row["test"]["label_agreement"] for row in rows)


SHOWN = Shown(
    tables={
        "docs/results/quantization.md": {
            "quantization": quantization,
            "quantization-aims": aims_table,
        }
    },
    aims={"quantization": aims},
    headlines=(
        Headline("int8 against fp32, same test set: accuracy drop", "≤ 0.5 points", int8_drop),
        Headline("… labels the same", "≥ 97 %", int8_agreement),
    ),
)


if __name__ == "__main__":
    main()
