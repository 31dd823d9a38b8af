"""``edgeadapt train --folds K``: cross-validation, where the data is too small to hold some out."""

from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from edgeadapt.config import Recipe
from edgeadapt.errors import UsageError
from edgeadapt.pipeline import places
from edgeadapt.pipeline.train import run_stem, train
from edgeadapt.progress import SILENT, Progress
from edgeadapt.run import Run
from edgeadapt.storage import write_json

__all__ = ["CrossValidation", "cross_validate"]


@dataclass(frozen=True)
class CrossValidation:
    """A run per part of the data, each tested on its own part."""

    runs: tuple[Run, ...]
    path: Path
    """Where ``to_dict`` is saved."""

    def scores(self, name: str) -> list[float]:
        """Returns one of the test scores per run, such as ``accuracy``, 0 to 1."""
        return [run.info.test[name] for run in self.runs]

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values for JSON: mean and standard deviation over the parts."""
        return {
            "runs": [str(run.path) for run in self.runs],
            **{
                name: {
                    "mean": fmean(self.scores(name)),
                    "standard_deviation": stdev(self.scores(name)),
                    "folds": self.scores(name),
                }
                for name in ("accuracy", "macro_f1")
            },
        }


def cross_validate(
    recipe: Recipe,
    *,
    folds: int,
    output: Path | None = None,
    force: bool = False,
    progress: Progress = SILENT,
) -> CrossValidation:
    """Trains as many times as there are parts, and tests each time on another one.

    Train and validation examples are the pool that is parted: stratified, seeded, duplicates kept
    together. The data's own test examples, where it has any, are left alone.

    Args:
        recipe: What to train on what, and how.
        folds: How many parts, at least 2.
        output: Beginning of the runs' folders, which end in ``-fold-1`` and so on, and of the
            summary beside them, ``-folds.json``; a free name under ``artifacts/runs`` where none
            is given.
        force: Replace existing runs.
        progress: Where to report.

    Raises:
        UsageError: There are fewer than two parts.
        EdgeAdaptError: Whatever ``train`` raises.
    """
    if folds < 2:
        raise UsageError(
            f"--folds: expected at least 2, found {folds}.",
            hint="5 is usual: every text is tested on once, by a model trained on 4 of 5 parts.",
        )
    base = output or places.new_name(places.runs(), run_stem(recipe))
    runs = []
    for number in range(1, folds + 1):
        progress.say(f"Fold {number} of {folds}")
        part = replace(recipe, data=replace(recipe.data, fold=f"{number}/{folds}"))
        target = base.with_name(f"{base.name}-fold-{number}")
        runs.append(train(part, output=target, force=force, progress=progress))
    found = CrossValidation(tuple(runs), base.with_name(f"{base.name}-folds.json"))
    write_json(found.path, found.to_dict())
    return found
