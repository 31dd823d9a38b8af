"""``edgeadapt train --folds K``: cross-validation, where the data is too small to hold some out."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean, stdev

from edgeadapt.errors import MissingError, OutputExistsError, UsageError
from edgeadapt.metrics import Score, wilson_interval
from edgeadapt.pipeline.train import complete, recipe_at, run_stem, train
from edgeadapt.progress import SILENT, Progress
from edgeadapt.recipe import Recipe
from edgeadapt.store import artifacts
from edgeadapt.store.files import write_json
from edgeadapt.store.folders import held
from edgeadapt.store.run import Run
from edgeadapt.training.resumable import is_blank
from edgeadapt.training.team import Team

__all__ = ["CrossValidation", "begun_folds", "cross_validate", "resume_folds"]


@dataclass(frozen=True)
class CrossValidation:
    """A run per part of the data, each tested on its own part."""

    runs: tuple[Run, ...]
    path: Path
    """Where ``to_dict`` is saved."""

    def scores(self, name: str) -> list[float]:
        """Returns one of the test scores per run, such as ``accuracy``, 0 to 1."""
        return [getattr(test, name) for test in self._tests]

    @property
    def _tests(self) -> list[Score]:
        return [run.info.test for run in self.runs if run.info.test]

    @property
    def texts(self) -> int:
        """All texts; each was tested on once."""
        return sum(test.texts for test in self._tests)

    @property
    def accuracy(self) -> float:
        """Share of all texts that were answered right, 0 to 1."""
        right = (test.accuracy * test.texts for test in self._tests)
        return float(sum(right)) / self.texts

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of ``accuracy``."""
        return wilson_interval(self.accuracy, self.texts)

    def mean(self, name: str) -> float:
        """Returns the mean over the runs of one of the test scores."""
        return fmean(self.scores(name))

    def deviation(self, name: str) -> float:
        """Returns the standard deviation over the runs of one of the test scores."""
        return stdev(self.scores(name))

    def to_dict(self) -> dict[str, object]:
        """Returns plain values for JSON: scores of all texts together, and over the parts."""
        together = {
            "texts": self.texts,
            "accuracy": self.accuracy,
            "interval": list(self.interval),
        }
        return {
            "runs": [str(run.path) for run in self.runs],
            "together": together,
            **{
                name: {
                    "mean": self.mean(name),
                    "standard_deviation": self.deviation(name),
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
    base = Team.launched().agreed(output or artifacts.new_name(artifacts.runs(), run_stem(recipe)))
    if not force and Team.launched().leads:
        _check_not_begun(base)
    first = replace(recipe, data=replace(recipe.data, fold=f"1/{folds}"))
    return _validate(
        first,
        base,
        lambda part, target: train(part, output=target, force=force, progress=progress),
        progress,
    )


def _check_not_begun(base: Path) -> None:
    """Says how to go on with a cross-validation that was stopped.

    Raises:
        OutputExistsError: One was, and something would be lost if another one began.
    """
    finished = _summary(base).exists()
    if begun_folds(base) and not finished and not is_blank(_folder(base, 1)):
        raise OutputExistsError(
            f"{base} holds a cross-validation that was not finished.",
            hint=f"Go on with: edgeadapt train --resume {base}  or begin anew with --force.",
        )


def resume_folds(base: Path, *, progress: Progress = SILENT) -> CrossValidation:
    """Goes on with a cross-validation that was stopped: trains what is left of it.

    Args:
        base: ``output`` of the one that was begun.
        progress: Where to report.

    Raises:
        MissingError: None was begun there.
        EdgeAdaptError: Whatever ``resume`` and ``train`` raise.
    """
    first = recipe_at(_folder(base, 1))
    if first is None or first.data.fold is None:
        raise MissingError(
            f"{base} is no cross-validation: nothing to go on with.",
            hint="Begin one with: edgeadapt train --folds 5",
        )
    return _validate(
        first, base, lambda part, target: complete(part, target, progress=progress), progress
    )


def begun_folds(base: Path) -> bool:
    """Returns whether a cross-validation was begun there."""
    return _folder(base, 1).is_dir()


def _validate(
    first: Recipe, base: Path, run_of: Callable[[Recipe, Path], Run], progress: Progress
) -> CrossValidation:
    """Gets the run of every fold, given the recipe of the first."""
    folds, runs = first.data.fold_of[1], []
    for number in range(1, folds + 1):
        progress.say(f"Fold {number} of {folds}")
        part = replace(first, data=replace(first.data, fold=f"{number}/{folds}"))
        try:
            runs.append(run_of(part, _folder(base, number)))
        except (KeyboardInterrupt, SystemExit):
            progress.warn(f"All that is left of {folds} folds: edgeadapt train --resume {base}")
            raise
    found = CrossValidation(tuple(runs), _summary(base))
    if Team.launched().leads:
        with held(found.path):
            write_json(found.path, found.to_dict())
    return found


def _summary(base: Path) -> Path:
    return base.with_name(f"{base.name}-folds.json")


def _folder(base: Path, number: int) -> Path:
    return base.with_name(f"{base.name}-fold-{number}")
