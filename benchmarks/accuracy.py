"""Adapters against full fine-tuning on five data sets; every kind on SST-2; and what was tried.

    python benchmarks/accuracy.py                             # the table: RECIPES, three seeds
    python benchmarks/accuracy.py trec:adapter:0 sst2:full:1  # some of it; the others' rows stay
    python benchmarks/accuracy.py --search trec:lr=1e-3,epochs=8:0   # a trial, on validation text

A trial is a recipe changed by ``KEY=VALUE``; it goes into ``results/ablation.json`` with both
scores, and is chosen by its validation score alone. Two jobs run side by side, one thread each
(``--processes``). What a GPU computed goes into ``results/NAME-gpu.json``, what comes of another
``--backbone`` into ``results/NAME-FOLDER.json``.

The other runs stay under ``artifacts/runs`` as ``DATASET-RECIPE-SEED``, for what is measured of
them later (``quantization.py``, ``kinds.py``, ``bench.py``).
"""

import argparse
import shutil
import sys
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from common import WORK, add_row, data_folder

DATASETS = ("sst2", "trec", "tweet_emotion", "banking77", "imdb")
KINDS = ("parallel", "lora", "ia3", "bitfit", "layernorm", "sequential", "houlsby", "compacter")
RECIPES: dict[str, dict[str, dict[str, Any]]] = {
    "adapter": {},
    **{method: {"adapter": {"method": method}} for method in ("full", "head", *KINDS)},
}
SEEDS = (0, 1, 2)
DRAWN = {"imdb": {"train.csv": 5_000, "validation.csv": 1_000}}
"""Texts that are drawn from files which would take all day; of tests every text counts."""
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("jobs", nargs="*", help="DATASET:RECIPE:SEED; all of the table's")
    parser.add_argument("--search", action="store_true", help="the recipes are trials")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--backbone", help="folder of a checkpoint; the embedded one")
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

    from edgeadapt.config import Recipe
    from edgeadapt.pipeline.train import train

    tables = dict(changes(recipe))
    variants = tables.pop("variant", {})
    training = {"seed": int(seed), "threads": 1, **tables.get("training", {})}
    with TemporaryDirectory() as folder:
        data = str(drawn(data_folder(dataset), DRAWN.get(dataset, {}), Path(folder) / "data"))
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
        "settings": {name: info.recipe[name] for name in ("adapter", "training")},
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
    """Returns a folder with so many texts of some files, drawn at random, and all other files."""
    if not counts:
        return source
    from edgeadapt.data import read_rows, write_csv

    shutil.copytree(source, target)
    for name, count in counts.items():
        rows = read_rows(source / name)
        picked = np.random.default_rng(0).permutation(len(rows))[:count]
        columns = {column: [rows[row][column] for row in picked] for column in rows[0]}
        write_csv(target / name, columns)
    return target


if __name__ == "__main__":
    main()
