"""Measure what removing layers, heads and neurons costs in accuracy and wins in latency and size.

    python benchmarks/accuracy.py trec:adapter:0        # once: the runs
    python benchmarks/compression.py                    # every run that exists, every way
    python benchmarks/compression.py trec:0 sst2:1:auto # one run; one way of another
    python benchmarks/compression.py --time             # latency of the bundles: an idle machine

Each run of ``accuracy.py`` is exported in all ``WAYS`` and scored on all of its test text, one text
at a time, against its fp32 model. Test text chooses nothing. The bundles are kept as
``artifacts/bundles/DATASET-adapter-SEED-WAY``; rows that are recorded are not measured again
without ``--again``. ``--time`` compares each with the int8 bundle of the same run without
``--compress`` and with onnxruntime's own quantization of the plain export, in interleaved fresh
processes, and records ``results/compression-latency.json``.
"""

import argparse
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
from accuracy import SEEDS, add_row, spread
from common import WORK, Shown, recorded, table
from quantization import logits_on_test

from edgeadapt.data import read_rows
from edgeadapt.errors import GateError
from edgeadapt.metrics import Labels, Logits, drift
from edgeadapt.recipe import Objective, Scheme
from edgeadapt.recipe.reduction import Reduction
from edgeadapt.store.bundle import Bundle
from edgeadapt.store.run import Run

if TYPE_CHECKING:
    from edgeadapt.pipeline.export import ExportOptions

__all__ = ["SHOWN"]

DATASETS = ("sst2", "trec", "tweet_emotion", "banking77", "imdb")
WAYS = (
    "2.4 times",
    "3 times",
    "3 times, recovered",
    "auto",
    "auto, recovered",
    "smallest",
    "smallest in 4 bits",
)
UNPRUNED, STOCK = "whole", "stock int8"
THREADS = (1, 2)
LENGTHS = (16, 64, 128)
ROUNDS, WARMUP, REPEATS = 7, 10, 40
REAL_TEXTS = 24
RESAMPLES = 2_000
RECORD, TIMES = "compression", "compression-latency"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("jobs", nargs="*", help="DATASET:SEED[:WAY]; default: all runs that exist")
    parser.add_argument("--time", action="store_true", help="measure the latency of the bundles")
    parser.add_argument("--again", action="store_true", help="also measure what is recorded")
    asked = parser.parse_args()
    for dataset, seed, ways in _jobs(asked.jobs):
        name = f"{dataset}-adapter-{seed}"
        if asked.time:
            _time(dataset, seed, name)
            continue
        for way in ways:
            key = {"dataset": dataset, "seed": seed, "way": way}
            if not asked.again and any(key.items() <= row.items() for row in recorded(RECORD)):
                continue
            row = key | measure(Run.open(WORK / "runs" / name), way)
            print(row, flush=True)
            add_row(RECORD, row, keys=("dataset", "way", "seed"))


def _jobs(asked: Iterable[str]) -> list[tuple[str, int, tuple[str, ...]]]:
    every = [
        f"{dataset}:{seed}"
        for dataset in DATASETS
        for seed in SEEDS
        if (WORK / "runs" / f"{dataset}-adapter-{seed}" / "run.json").is_file()
    ]
    jobs = []
    for job in asked or every:
        dataset, seed, *ways = job.split(":")
        jobs.append((dataset, int(seed), tuple(ways) or WAYS))
    return jobs


def options(way: str) -> "ExportOptions":
    """Returns the export options of a way."""
    from edgeadapt.pipeline.export import ExportOptions, Quantization, Trimming

    small, in_4_bits = way.startswith("smallest"), way == "smallest in 4 bits"
    speedup = float(way.split(" times", maxsplit=1)[0]) if " times" in way else None
    quantize = Quantization(
        schemes=(Scheme.INT4_WEIGHTS,) if in_4_bits else (),
        objective=Objective.SIZE if small else Objective.LATENCY,
        threads=1,
    )
    return ExportOptions(
        quantize=quantize,
        reduction=Reduction(),
        speedup=speedup,
        recover=1 if way.endswith("recovered") else 0,
        trim=Trimming() if small else None,
        # At a given speed the drop is the result, not the condition.
        max_drop=0.03 if speedup else 0.02 if in_4_bits else 0.01,
    )


def whole(run: Run) -> Bundle:
    """Returns today's bundle of a run, without ``--compress``."""
    from edgeadapt.pipeline.export import ExportOptions, Quantization, export

    path = WORK / "bundles" / f"{run.name}-whole"
    if (path / "manifest.json").is_file():
        return Bundle.open(path)
    return export(run, options=ExportOptions(quantize=Quantization()), output=path, force=True)


def measure(run: Run, way: str) -> dict[str, Any]:
    """Exports a run in one way and scores it on its test text."""
    from edgeadapt.pipeline.export import export

    before, started = whole(run), perf_counter()
    target = WORK / "bundles" / f"{run.name}-{_slug(way)}"
    try:
        bundle = export(run, options=options(way), output=target, force=True)
    except GateError as error:
        return {"refused": error.message, "seconds": perf_counter() - started}
    manifest, chosen = bundle.manifest, bundle.default_variant()
    compression = manifest.compression
    assert compression is not None
    assert compression.shrunk is not None
    structure = compression.step("structure")
    assert structure is not None
    return _on_test(run, before, bundle) | {
        "seconds": perf_counter() - started,
        "after": compression.shrunk.after.__dict__,
        "recovered": structure.taken.settings["recovered"],
        "tried": len(structure.trials),
        "predicted": compression.shrunk.predicted,
        "max_drop": compression.max_drop,
        "model_bytes": manifest.files[manifest.variants[chosen].file].bytes,
        "tokenizer_bytes": manifest.files["tokenizer.json"].bytes,
        "validation": compression.spent.to_dict(),
    }


def _on_test(run: Run, before: Bundle, after: Bundle) -> dict[str, Any]:
    """Compares a bundle, and today's int8 one, with the fp32 model on all of the test text."""
    from edgeadapt.models.opened import OpenedRun

    labels = OpenedRun(run).test.known_labels()
    fp32, int8, smaller = logits_on_test(
        run,
        (before, "fp32"),
        (before, before.default_variant()),
        (after, after.default_variant()),
    )
    task = run.info.task
    return {
        "test": drift(fp32, smaller, labels, task=task).to_dict(),
        "int8_test": drift(fp32, int8, labels, task=task).to_dict(),
        "lost": _numbers(fp32, smaller, labels),
        "gained": _numbers(smaller, fp32, labels),
    }


def _numbers(right: Logits, wrong: Logits, labels: Labels) -> list[int]:
    """Returns the numbers of the texts that only the first of two models labels correctly."""
    only = (right.argmax(axis=1) == labels) & (wrong.argmax(axis=1) != labels)
    return [int(number) for number in np.flatnonzero(only)]


def _slug(way: str) -> str:
    return way.replace(",", "").replace(" ", "-")


def _time(dataset: str, seed: int, name: str) -> None:
    """Compares the latency of all bundles of a run."""
    paths = {way: WORK / "bundles" / f"{name}-{_slug(way)}" for way in (UNPRUNED, *WAYS)}
    bundles = {
        way: Bundle.open(path) for way, path in paths.items() if (path / "manifest.json").exists()
    }
    plain = stock(Run.open(WORK / "runs" / name))
    for threads in THREADS:
        same = {"dataset": dataset, "seed": seed, "threads": threads}
        for way, medians in _medians(bundles, plain, threads).items():
            row = {"way": way, "process_medians_ms": medians}
            add_row(TIMES, same | row, keys=("dataset", "way", "seed", "threads"))


def stock(run: Run) -> Path:
    """Returns the plain export of a run's merged model, quantized by onnxruntime's defaults."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    from edgeadapt.exporters import export_onnx
    from edgeadapt.models.merge import merge
    from edgeadapt.models.opened import OpenedRun
    from edgeadapt.recipe import Exporter

    target = WORK / "compression" / run.name / "stock-int8.onnx"
    if not target.is_file():
        source = target.parent / "merged"
        saved = merge(OpenedRun.of(run).classifier()).save(source)
        export_onnx(saved, source / "stock.onnx", exporter=Exporter.AUTO)
        quantize_dynamic(source / "stock.onnx", target, weight_type=QuantType.QInt8)
    return target


def _medians(
    bundles: Mapping[str, Bundle], plain: Path, threads: int
) -> dict[str, dict[str, list[float]]]:
    """Way -> input -> the median of each process in milliseconds; for real texts, their mean."""
    from edgeadapt.compress.timing import spread as spread_texts
    from edgeadapt.measure.child import run_job
    from edgeadapt.measure.timed_jobs import FixedInput, GraphJob
    from edgeadapt.recipe import EngineName

    generator = np.random.default_rng(0)
    fixed = [
        [101, *generator.integers(1_000, 3_900, length - 2).tolist(), 102] for length in LENGTHS
    ]
    jobs = {}
    files = {way: _file(bundle) for way, bundle in bundles.items()} | {STOCK: plain}
    for way, file in files.items():
        bundle = bundles[UNPRUNED if way == STOCK else way]
        tokens = bundle.text_encoder().encode([row["text"] for row in _evaluation(bundle)])
        real = [tokens[row].ids for row in spread_texts(tokens, REAL_TEXTS)]
        jobs[way] = GraphJob(
            model=str(file),
            engine=EngineName.ONNXRUNTIME,
            threads=threads,
            fixed=[FixedInput(ids, [0] * len(ids)) for ids in (*fixed, *real)],
            warmup=WARMUP,
            repeats=REPEATS,
        )
    found: dict[str, dict[str, list[float]]] = {way: defaultdict(list) for way in jobs}
    for number in range(ROUNDS):
        for way, job in jobs.items():
            medians = [float(np.median(runs)) / 1e6 for runs in run_job(job).latency_ns]
            for length, median in zip(LENGTHS, medians, strict=False):
                found[way][str(length)].append(median)
            found[way]["text"].append(fmean(medians[len(LENGTHS) :]))
        print(f"{threads} threads, round {number + 1} of {ROUNDS}", flush=True)
    return found


def _file(bundle: Bundle) -> Path:
    return bundle.file(bundle.manifest.variants[bundle.default_variant()].file)


def _evaluation(bundle: Bundle) -> list[dict[str, str]]:
    return read_rows(bundle.file("evaluation.csv"))


def compression() -> str:
    """Accuracy and predicted speed of every way on every data set, over the seeds."""
    lines = []
    for way, datasets in _by_way().items():
        done = {name: rows for name, found in datasets.items() if (rows := _measured(found))}
        for dataset, found in datasets.items():
            rows = done.get(dataset, [])
            seeds = f"{len(rows)} of {len(found)}" if len(rows) < len(found) else len(found)
            if not rows:
                lines.append((way, dataset, "refused", "", "", "", "", seeds))
                continue
            drops = spread([100 * row["test"]["accuracy_drop"] for row in rows])
            lines.append((way, dataset, drops, _interval([rows]), *_means(rows), seeds))
        if len(done) > 1:
            every = [row for rows in done.values() for row in rows]
            drop = fmean(
                fmean(100 * row["test"]["accuracy_drop"] for row in rows) for rows in done.values()
            )
            interval = _interval(list(done.values()))
            lines.append((way, "mean", f"{drop:.2f}", interval, *_means(every), len(every)))
    headers = (
        "way",
        "data",
        "drop, points",
        "interval",
        "times as fast, predicted",
        "MB",
        "seconds",
        "seeds",
    )
    return table(headers, lines)


def _by_way() -> dict[str, dict[str, list[dict[str, Any]]]]:
    """Way -> data set -> rows, in the order of the benchmark."""
    found: dict[str, dict[str, list[dict[str, Any]]]] = {}
    rows = [row for row in recorded(RECORD) if row["way"] in WAYS]
    for row in sorted(rows, key=lambda row: (WAYS.index(row["way"]), row["dataset"], row["seed"])):
        found.setdefault(row["way"], {}).setdefault(row["dataset"], []).append(row)
    return found


def _measured(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row for row in rows if "test" in row]


def _means(rows: Sequence[Mapping[str, Any]]) -> tuple[str, str, str]:
    return (
        f"{fmean(row['predicted'] for row in rows):.2f}",
        f"{fmean(_megabytes(row) for row in rows):.1f}",
        f"{fmean(row['seconds'] for row in rows):.0f}",
    )


def _interval(datasets: Sequence[Sequence[Mapping[str, Any]]]) -> str:
    """A 95 % interval of the mean drop in points: paired, over texts and seeds.

    The bootstrap of both, and the mean over data sets (``RESAMPLES`` times): seeds are drawn with
    replacement, and so are texts, which all seeds share.
    """
    generator, means = np.random.default_rng(0), np.zeros(RESAMPLES)
    for rows in datasets:
        texts = rows[0]["test"]["texts"]
        changes = np.zeros((texts, len(rows)))
        for number, row in enumerate(rows):
            changes[row["lost"], number] = 1
            changes[row["gained"], number] = -1
        weights = generator.multinomial(texts, np.full(texts, 1 / texts), RESAMPLES) / texts
        seeds = generator.integers(0, len(rows), (RESAMPLES, len(rows)))
        means += np.take_along_axis(weights @ changes, seeds, axis=1).mean(axis=1) / len(datasets)
    low, high = np.quantile(100 * means, [0.025, 0.975])
    return f"{low:.2f} to {high:.2f}"


def _megabytes(row: Mapping[str, Any]) -> float:
    return float(row["model_bytes"] + row["tokenizer_bytes"]) / 1e6


def latency() -> str:
    """How many times as fast as today's int8 bundle of the same run every way is, measured."""
    rows, lines = recorded(TIMES), []
    if not rows:
        return "Not measured yet.\n"
    times = {(*_key(row), row["way"]): row["process_medians_ms"] for row in rows}

    def ratio(found: Iterable[Mapping[str, Any]], way: str, name: str) -> str:
        return f"{fmean(_ratio(times[*_key(row), way], row, name) for row in found):.2f}"

    for key in dict.fromkeys((row["way"], row["dataset"], row["threads"]) for row in rows):
        if key[0] == UNPRUNED:
            continue
        found = [row for row in rows if (row["way"], row["dataset"], row["threads"]) == key]
        ratios = [ratio(found, UNPRUNED, name) for name in (*_LENGTHS, "text")]
        lines.append((*key, len(found), *ratios, ratio(found, STOCK, _LENGTHS[-1])))
    lengths = (*(f"{name} tokens" for name in _LENGTHS), "texts")
    headers = ("way", "data", "threads", "seeds", *lengths, f"{_LENGTHS[-1]} tokens, over stock")
    return table(headers, sorted(lines))


def _ratio(before: Mapping[str, list[float]], row: Mapping[str, Any], name: str) -> float:
    return min(before[name]) / min(row["process_medians_ms"][name])


_LENGTHS = tuple(map(str, LENGTHS))


def _key(row: Mapping[str, Any]) -> tuple[object, ...]:
    return row["dataset"], row["seed"], row["threads"]


SHOWN = Shown(
    tables={
        "docs/results/compression.md": {"compression": compression, "compression-speed": latency}
    }
)


if __name__ == "__main__":
    main()
