"""Score head-only, adapter and full fine-tuning on the embedded reviews, three seeds each."""

from collections import defaultdict
from csv import DictReader
from importlib.resources import files
from statistics import fmean
from typing import Any

from common import WORK, Shown, load, save, table

from edgeadapt.data import read_rows
from edgeadapt.recipe import Recipe
from edgeadapt.store.run import Run

__all__ = ["SHOWN"]

METHODS = ("head", "parallel", "full")
SEEDS = (0, 1, 2)
THREADS = 1
"""One thread, so that other jobs can run at the same time; the number affects rounding."""


def main() -> None:
    from edgeadapt.pipeline.train import train

    rows = []
    for method in METHODS:
        for seed in SEEDS:
            recipe = Recipe.load("demo").updated(
                {"adapter": {"method": method}, "training": {"seed": seed, "threads": THREADS}},
                origin="benchmark",
            )
            run = train(recipe, output=WORK / "runs" / f"reviews-{method}-{seed}", force=True)
            rows.append(describe(run, method, seed))
            print(rows[-1], flush=True)
    save("reviews", {"rows": rows})


def describe(run: Run, method: str, seed: int) -> dict[str, Any]:
    info = run.info
    return {
        "method": method,
        "seed": seed,
        "trainable_parameters": info.trainable_parameters,
        "total_parameters": info.total_parameters,
        "learning_rate": info.recipe.training.learning_rate,
        "epochs": info.recipe.training.epochs,
        "validation_accuracy": info.validation.accuracy,
        "test_accuracy": info.test.accuracy,
        "test_macro_f1": info.test.macro_f1,
        "test_accuracy_by_kind": by_kind(run),
        "seconds": info.seconds,
    }


def by_kind(run: Run) -> dict[str, float]:
    """Accuracy on test per kind of text (negation, sarcasm …)."""
    with (files("edgeadapt") / "demo" / "test.csv").open(encoding="utf-8", newline="") as file:
        kinds = {row["text"]: row["kind"] for row in DictReader(file)}
    hits = defaultdict(list)
    for row in read_rows(run.path / "predictions.csv"):
        hits[kinds[row["text"]]].append(row["label"] == row["prediction"])
    return {kind: fmean(found) for kind, found in sorted(hits.items())}


def reviews() -> str:
    """Scores on the embedded reviews."""
    found = load("reviews")["rows"]
    kinds = list(found[0]["test_accuracy_by_kind"])
    lines = []
    for method in ("head", "parallel", "full"):
        mine = [row for row in found if row["method"] == method]
        share = mine[0]["trainable_parameters"] / mine[0]["total_parameters"]
        lines.append(
            (
                method,
                f"{share:.2%}",
                f"{fmean(row['test_accuracy'] for row in mine):.1%}",
                " / ".join(f"{row['test_accuracy']:.1%}" for row in mine),
                *(
                    f"{fmean(row['test_accuracy_by_kind'][kind] for row in mine):.0%}"
                    for kind in kinds
                ),
            )
        )
    return table(("method", "trained", "test accuracy", "three seeds", *kinds), lines)


SHOWN = Shown(tables={"docs/results/accuracy.md": {"reviews": reviews}})


if __name__ == "__main__":
    main()
