"""Pairs of texts and multi-label data, with runs and bundles of tiny models trained on them."""

from functools import cache
from pathlib import Path

import pytest

from edgeadapt.data import write_csv
from edgeadapt.pipeline.export import ExportOptions, Quantization, export
from edgeadapt.pipeline.train import train
from edgeadapt.recipe import Exporter, Recipe
from edgeadapt.store.bundle import Bundle
from edgeadapt.store.run import Run
from tests.conftest import review
from tests.lively import lively_checkpoint
from tests.steady import steady_latencies

PAIRS, MULTI_LABEL = "pairs", "multi-label"
TOPICS = ("film", "meal", "room")
"""Labels of the multi-label data: a text has those that are among its words."""


def pair(number: int) -> tuple[str, str, str]:
    """Two texts, and whether they are of one mind."""
    (first, mood), (second, other) = review(number), review(3 * number // 2 + 5)
    return first, second, "agree" if mood == other else "differ"


def topical(number: int) -> str:
    """A text; those of neighbouring numbers have different topics."""
    return review(37 * number % 997)[0]


def topics_of(text: str) -> list[str]:
    return [topic for topic in TOPICS if topic in text.split()]


def write_pairs(folder: Path) -> Path:
    """Writes train, validation and test files with the columns ``first``, ``second``, ``label``."""
    folder.mkdir(parents=True)
    for name, start, stop in (("train", 0, 64), ("validation", 64, 88), ("test", 88, 112)):
        columns = zip(*map(pair, range(start, stop)), strict=True)
        write_csv(
            folder / f"{name}.csv",
            dict(zip(("first", "second", "label"), columns, strict=True)),
        )
    return folder


def write_multi_label(folder: Path, *, pairs: bool = False) -> Path:
    """Writes the same files with any number of topics per text, joined by ``|``."""
    folder.mkdir(parents=True)
    for name, start, stop in (("train", 0, 96), ("validation", 96, 128), ("test", 128, 160)):
        texts = [topical(number) for number in range(start, stop)]
        columns = {"text": texts, "label": ["|".join(topics_of(text)) for text in texts]}
        if pairs:
            columns["second"] = [topical(number + 500) for number in range(start, stop)]
        write_csv(folder / f"{name}.csv", columns)
    return folder


def task_recipe(
    folder: Path, kind: str, *, model_type: str = "bert", method: str = "parallel"
) -> Recipe:
    """Writes a checkpoint and data; ``kind`` is ``pairs``, ``multi-label`` or both, by ``+``."""
    if kind == PAIRS:
        data = {
            "dataset": str(write_pairs(folder / "data")),
            "text_column": "first",
            "text_pair_column": "second",
        }
    else:
        both = PAIRS in kind
        data = {"dataset": str(write_multi_label(folder / "data", pairs=both)), "multi_label": True}
        if both:
            data["text_pair_column"] = "second"
    checkpoint = lively_checkpoint(folder / "checkpoint", model_type)
    return Recipe.from_dict(
        {
            "model": {"id": str(checkpoint), "max_length": 32},
            "data": data,
            "adapter": {"method": method, "dimension": 4},
            "training": {
                "epochs": 20 if kind == MULTI_LABEL else 2,  # full fine-tuning learns it
                "batch_size": 8,
                "device": "cpu",
                "learning_rate": 5e-3,
            },
        },
        origin="test",
    )


def task_run(
    factory: pytest.TempPathFactory,
    kind: str,
    *,
    model_type: str = "bert",
    method: str = "parallel",
) -> Run:
    """Trains once per test session. Do not change the run: copy it first."""
    return _run(factory.getbasetemp() / f"{kind}-{model_type}-{method}", kind, model_type, method)


def task_bundle(
    factory: pytest.TempPathFactory,
    kind: str,
    *,
    model_type: str = "bert",
    method: str = "parallel",
) -> Bundle:
    """Exports that run, with torch where it folds. Do not change the bundle: copy it first."""
    folder = factory.getbasetemp() / f"{kind}-{model_type}-{method}"
    return _bundle(folder, kind, model_type, method)


@cache
def _run(folder: Path, kind: str, model_type: str, method: str) -> Run:
    recipe = task_recipe(folder, kind, model_type=model_type, method=method)
    return train(recipe, output=folder / "run")


@cache
def _bundle(folder: Path, kind: str, model_type: str, method: str) -> Bundle:
    options = ExportOptions(
        quantize=Quantization(),
        max_drop=1.0,
        with_torch="houlsby" not in method,
        exporter=Exporter.TORCH,
    )
    run = _run(folder, kind, model_type, method)
    with steady_latencies():
        return export(run, options=options, output=folder / "bundle")
