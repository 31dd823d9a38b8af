"""Compare adapters with full fine-tuning on five data sets, all kinds on SST-2, and trials.

    python benchmarks/accuracy.py                             # the table: RECIPES, three seeds
    python benchmarks/accuracy.py trec:adapter:0 sst2:full:1  # two rows; the others stay
    python benchmarks/accuracy.py --search trec:lr=1e-3,epochs=8:0   # a trial, on validation text

A trial is a recipe changed by ``KEY=VALUE``. It is recorded in ``results/ablation.json`` with both
scores and is chosen by its validation score alone. Two jobs run at the same time, with one thread
each (``--processes``). Results of a GPU are recorded in ``results/NAME-gpu.json``, those of another
``--backbone`` in ``results/NAME-FOLDER.json``.

The runs of the table are kept as ``artifacts/runs/DATASET-RECIPE-SEED`` for ``quantization.py``,
``kinds.py`` and ``bench.py``.
"""

import argparse
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean, stdev
from tempfile import TemporaryDirectory
from typing import Any

from common import (
    WORK,
    Aim,
    Headline,
    Shown,
    data_folder,
    load,
    machine_name,
    recorded,
    rows_of,
    save,
    table,
)

__all__ = ["KINDS", "SEEDS", "SHOWN", "SST2", "add_row", "shares", "spread"]

DATASETS = ("sst2", "trec", "tweet_emotion", "banking77", "imdb")
SCREENED = ("trec", "tweet_emotion")
"""Data sets for screening: only good trials are also run on the larger ones."""
SST2 = {"dataset": "sst2"}
KINDS = ("parallel", "lora", "ia3", "bitfit", "layernorm", "sequential", "houlsby", "compacter")
RECIPES: dict[str, dict[str, dict[str, Any]]] = {
    "adapter": {},
    **{method: {"adapter": {"method": method}} for method in ("full", "head", *KINDS)},
}
SEEDS = (0, 1, 2)
DRAWN = {"imdb": {"train.csv": 5_000, "validation.csv": 1_000}}
"""Number of texts sampled from large files; test files are used in full."""
SHORT = {
    "method": ("adapter", str),
    "dim": ("adapter", "dimension", int),
    "scale": ("adapter", "scaling", float),
    "drop": ("adapter", "dropout", float),
    "rank": ("adapter", "rank", int),
    "targets": ("adapter", "targets", str),
    "lr": ("training", "learning_rate", float),
    "head": ("training", "head_rate", float),
    "epochs": ("training", "epochs", int),
    "batch": ("training", "batch_size", int),
    "smooth": ("training", "label_smoothing", float),
    "decay": ("training", "weight_decay", float),
    "warmup": ("training", "warmup", float),
    "precision": ("training", "precision", str),
    **{
        name: ("variant", name, str)
        for name in ("rdrop", "teacher", "pooler", "layerwise", "rates", "freeze", "emb", "average")
    },
    "bdrop": ("training", "backbone_dropout", str),
}
"""Key of a trial -> table and field of the recipe, and type of the value."""
MOST_BELOW = 0.4
"""Largest allowed deficit to full fine-tuning on one data set, in points."""


def main() -> None:
    import torch

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("jobs", nargs="*", help="DATASET:RECIPE:SEED; default: the table's")
    parser.add_argument("--search", action="store_true", help="the recipes are trials")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--backbone", help="folder of a checkpoint; default: the embedded one")
    asked = parser.parse_args()
    name = "ablation" if asked.search else "accuracy"
    name += "-gpu" if torch.cuda.is_available() else ""
    name += f"-{Path(asked.backbone).name}" if asked.backbone else ""
    jobs = [job.split(":") for job in asked.jobs] or table_jobs()
    failures = []
    with ProcessPoolExecutor(asked.processes, mp_context=get_context("spawn")) as processes:
        running = [processes.submit(measure, *job, asked.backbone) for job in jobs]
        for done in as_completed(running):
            if failure := done.exception():
                failures.append(failure)
                print(f"FAILED: {failure!r}", flush=True)
                continue
            row = done.result()
            print(row, flush=True)
            add_row(name, row, keys=("dataset", "recipe", "seed"))
    if failures:
        sys.exit(f"{len(failures)} of {len(jobs)} jobs failed.")


def table_jobs() -> list[list[str]]:
    """Returns data set, recipe and seed of every row of the tables."""
    compared = [
        [dataset, recipe, str(seed)]
        for dataset in DATASETS
        for recipe in ("adapter", "full")
        for seed in SEEDS
        if dataset != "imdb" or seed == 0
    ]
    return [*compared, *(["sst2", kind, "0"] for kind in ("head", *KINDS))]


def changes(recipe: str) -> dict[str, dict[str, Any]]:
    """Returns the tables of a named recipe, or of one written as ``KEY=VALUE,…``."""
    if recipe in RECIPES:
        return RECIPES[recipe]
    tables: dict[str, dict[str, Any]] = {}
    for pair in recipe.split(","):
        key, _, value = pair.partition("=")
        table, *field, kind = SHORT[key]
        tables.setdefault(str(table), {})[str(field[0]) if field else key] = kind(value)
    return tables


def measure(dataset: str, recipe: str, seed: str, backbone: str | None) -> dict[str, Any]:
    """Trains once, and returns the scores on validation and test text."""
    from variants import varied

    from edgeadapt.pipeline.train import train
    from edgeadapt.recipe import Recipe

    tables = dict(changes(recipe))
    variants = tables.pop("variant", {})
    training = {"seed": int(seed), "threads": 1, **tables.get("training", {})}
    with TemporaryDirectory() as folder:
        lasting = (WORK / "data" / dataset).resolve()  # compression reads a run's data again
        data = str(drawn(data_folder(dataset), DRAWN.get(dataset, {}), lasting))
        tables |= {"data": {"dataset": data}, "training": training}
        if backbone:
            tables["model"] = {"id": backbone}
        asked = Recipe().updated(tables, origin="benchmark")
        kept = recipe in RECIPES and not backbone
        runs = WORK / "runs" if kept else Path(folder)
        with varied(variants, asked):
            info = train(asked, output=runs / f"{dataset}-{recipe}-{seed}", force=True).info
    return {
        "dataset": dataset,
        "recipe": recipe,
        "seed": int(seed),
        "settings": {name: info.recipe.to_dict()[name] for name in ("adapter", "training")},
        "examples": dict(info.data.examples),
        "trainable_parameters": info.trainable_parameters,
        "total_parameters": info.total_parameters,
        "best_epoch": info.best_epoch,
        "validation_accuracy": info.validation.accuracy,
        "validation_macro_f1": info.validation.macro_f1,
        "test_accuracy": info.test.accuracy,
        "test_macro_f1": info.test.macro_f1,
        "test_calibration_error": info.test.calibration_error,
        "device": info.machine.device,
        "seconds": info.seconds,
        "examples_per_second": info.examples_per_second,
    }


def drawn(source: Path, counts: Mapping[str, int], target: Path) -> Path:
    """Returns a folder in which some files are random samples of the original.

    Args:
        source: Folder of a data set.
        counts: Name of a file -> number of texts to sample; other files are copied.
        target: The folder to write, unless it exists; without counts, ``source`` is returned
            instead.
    """
    if not counts:
        return source
    if target.is_dir():
        return target
    import numpy as np

    from edgeadapt.data import read_rows, write_csv

    partial = target.with_name(f"{target.name}.partial")
    shutil.copytree(source, partial, dirs_exist_ok=True)
    for name, count in counts.items():
        rows = read_rows(source / name)
        picked = np.random.default_rng(0).permutation(len(rows))[:count]
        columns = {column: [rows[row][column] for row in picked] for column in rows[0]}
        write_csv(partial / name, columns)
    return partial.rename(target)


def add_row(name: str, row: dict[str, Any], *, keys: Sequence[str]) -> None:
    """Adds a row to ``results/NAME.json``; one with the same values of ``keys`` is replaced.

    Rows may come from several days and machines, so each records its machine.
    """
    from edgeadapt.measure.machine import describe_machine

    row = {**row, "machine": machine_name(asdict(describe_machine()))}
    rows = recorded(name)
    rows = [other for other in rows if any(other[key] != row[key] for key in keys)]
    save(name, {"rows": sorted([*rows, row], key=lambda r: [r[key] for key in keys])})


def accuracy() -> str:
    """Adapters against full fine-tuning on every data set."""
    found = load("accuracy")
    lines, means = [], []
    for dataset in DATASETS:
        sides = [
            [r for r in found["rows"] if (r["dataset"], r["recipe"]) == (dataset, recipe)]
            for recipe in ("adapter", "full")
        ]
        if not all(sides):
            continue
        adapter, full = ([100 * row["test_accuracy"] for row in side] for side in sides)
        apart = fmean(adapter) - fmean(full)
        means.append((fmean(adapter), fmean(full), apart))
        share = sides[0][0]["trainable_parameters"] / sides[0][0]["total_parameters"]
        seeds = " and ".join(dict.fromkeys(str(len(side)) for side in sides))
        lines.append(
            (dataset, spread(adapter), spread(full), f"{apart:+.2f}", seeds, f"{share:.1%}")
        )
    mean = [fmean(column) for column in zip(*means, strict=True)]
    lines.append(("**mean**", f"**{mean[0]:.2f}**", f"**{mean[1]:.2f}**", f"**{mean[2]:+.2f}**"))
    headers = ("test accuracy, %", "adapters", "full fine-tuning", "difference", "seeds", "trained")
    return table(headers, [(*line, *[""] * (len(headers) - len(line))) for line in lines])


def aims() -> list[Aim]:
    """The mean over the data sets, and the data set that is furthest below full fine-tuning."""
    means: dict[tuple[str, str], float] = {}
    rows = load("accuracy")["rows"]
    for key in {(row["dataset"], row["recipe"]) for row in rows}:
        mine = [row for row in rows if (row["dataset"], row["recipe"]) == key]
        means[key] = 100 * fmean(row["test_accuracy"] for row in mine)
    apart = {
        name: round(value - means[name, "full"], 2)
        for (name, recipe), value in means.items()
        if recipe == "adapter" and (name, "full") in means
    }
    mean, below = fmean(apart.values()), [name for name, by in apart.items() if by < -MOST_BELOW]
    return [
        Aim(
            "a mean at or above full fine-tuning's",
            f"{mean:+.2f} points",
            "met" if mean >= 0 else "**missed**",
        ),
        Aim(
            f"no data set more than {MOST_BELOW} points below it",
            f"{min(apart.values()):+.2f} points at worst",
            f"**missed by {', '.join(sorted(below))}**" if below else "met",
        ),
    ]


def aims_table() -> str:
    lines = [(aim.what, aim.measured, aim.verdict) for aim in aims()]
    return table(("aim", "measured", ""), lines)


def ablation() -> str:
    """All trials on validation text: first those on all data sets, best first, then the others."""
    trials: dict[tuple[str, int], dict[str, tuple[float, float]]] = {}
    for row in load("ablation")["rows"]:
        scores = 100 * row["validation_accuracy"], 100 * row["test_accuracy"]
        trials.setdefault((row["recipe"], row["seed"]), {})[row["dataset"]] = scores
    searched = [name for name in DATASETS if any(name in found for found in trials.values())]

    def mean(found: Mapping[str, tuple[float, float]], names: Sequence[str], which: int) -> float:
        """0 where one of the sets is missing."""
        whole = all(name in found for name in names)
        return fmean(found[name][which] for name in names) if whole else 0.0

    def rank(trial: tuple[object, Mapping[str, tuple[float, float]]]) -> tuple[float, float]:
        return -mean(trial[1], searched, 0), -mean(trial[1], SCREENED, 0)

    def shown(value: float) -> str:
        return f"{value:.2f}" if value else ""

    lines = [
        (
            f"`{recipe}`" + (f", seed {seed}" if seed else ""),
            *(f"{found[name][0]:.1f}" if name in found else "" for name in searched),
            *(shown(mean(found, names, 0)) for names in (SCREENED, searched)),
            shown(mean(found, searched, 1)),
        )
        for (recipe, seed), found in sorted(trials.items(), key=rank)
    ]
    means = (f"mean of {' and '.join(SCREENED)}", "mean of all", "… on test")
    return table(("recipe", *searched, *means), lines)


def on_sst2(recipe: str) -> Callable[[], str]:
    """Returns the function that formats a recipe's accuracy on the test text of SST-2."""

    def figure() -> str:
        return shares(row["test_accuracy"] for row in rows_of("accuracy", **SST2, recipe=recipe))

    return figure


def trained_share() -> str:
    """Share of the parameters that the default adapters train."""
    row, *_ = rows_of("accuracy", **SST2, recipe="adapter")
    return f"**{row['trainable_parameters'] / row['total_parameters']:.2%}**"


def rounded_share() -> str:
    """The same in whole percent, for a sentence."""
    rows = rows_of("accuracy", **SST2, recipe="adapter")
    return f"{fmean(row['trainable_parameters'] / row['total_parameters'] for row in rows):.0%}"


def shares(values: Iterable[float]) -> str:
    """Returns the mean over the seeds and each seed's value, in percent."""
    values = list(values)
    return f"**{fmean(values):.2%}** ({', '.join(f'{value:.2%}' for value in values)})"


def spread(values: Sequence[float]) -> str:
    """Returns mean and standard deviation over the seeds."""
    mean = round(fmean(values), 2) + 0.0  # not -0.00
    return f"{mean:.2f}" + (f" ± {stdev(values):.2f}" if len(values) > 1 else "")


SHOWN = Shown(
    tables={
        "docs/results/accuracy.md": {"accuracy": accuracy, "accuracy-aims": aims_table},
        "benchmarks/notes/training.md": {"ablation": ablation},
    },
    figures={"trained-share": rounded_share},
    aims={"accuracy": aims},
    headlines=(
        Headline("SST-2 test accuracy, the default adapters", "≥ 87.5 %", on_sst2("adapter")),
        Headline("… of full fine-tuning", "", on_sst2("full")),
        Headline("… share of parameters trained", "≤ 4 %", trained_share),
    ),
)


if __name__ == "__main__":
    main()
