"""``edgeadapt train --folds K``: cross-validation, for data too small to hold some out."""

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
    """One run per fold, each tested on its fold."""

    runs: tuple[Run, ...]
    path: Path
    """File of the summary, with the content of ``to_dict``."""

    def scores(self, name: str) -> list[float]:
        """Returns one of the test scores per run, such as ``accuracy``, 0 to 1."""
        return [getattr(test, name) for test in self._tests]

    @property
    def _tests(self) -> list[Score]:
        return [run.info.test for run in self.runs if run.info.test]

    @property
    def texts(self) -> int:
        """Number of texts; each was tested on once."""
        return sum(test.texts for test in self._tests)

    @property
    def accuracy(self) -> float:
        """Share of all texts that were classified correctly, 0 to 1."""
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
        """Returns plain values for JSON: scores over all texts, and per fold."""
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
    """Trains once per fold, and tests each run on its fold.

    Train and validation examples together are split into folds: stratified, seeded, duplicates in
    the same fold. Test examples of the data, if any, are not used.

    Args:
        recipe: Model, data, adapter and optimization.
        folds: Number of folds, at least 2.
        output: Prefix of the runs' folders, which end in ``-fold-1`` and so on, and of the summary
            beside them, ``-folds.json``; by default an unused name under ``artifacts/runs``.
        force: Replace existing runs.
        progress: Where to report.

    Raises:
        UsageError: There are fewer than two folds.
        EdgeAdaptError: Any error of ``train``.
    """
    if folds < 2:
        raise UsageError(
            f"--folds: expected at least 2, found {folds}.",
            hint="5 is usual: every text is tested on once, by a model trained on 4 of 5 folds.",
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
    """Checks that there is no interrupted cross-validation, which should be resumed instead.

    Raises:
        OutputExistsError: There is one, whose runs would be lost.
    """
    finished = _summary(base).exists()
    if begun_folds(base) and not finished and not is_blank(_folder(base, 1)):
        raise OutputExistsError(
            f"{base} holds a cross-validation that was not finished.",
            hint=f"Resume it with: edgeadapt train --resume {base}  or start again with --force.",
        )


def resume_folds(base: Path, *, progress: Progress = SILENT) -> CrossValidation:
    """Resumes an interrupted cross-validation: trains the remaining folds.

    Args:
        base: ``output`` of the interrupted cross-validation.
        progress: Where to report.

    Raises:
        MissingError: There is none.
        EdgeAdaptError: Any error of ``resume`` and ``train``.
    """
    first = recipe_at(_folder(base, 1))
    if first is None or first.data.fold is None:
        raise MissingError(
            f"{base} is not a cross-validation: there is nothing to resume.",
            hint="Start one with: edgeadapt train --folds 5",
        )
    return _validate(
        first, base, lambda part, target: complete(part, target, progress=progress), progress
    )


def begun_folds(base: Path) -> bool:
    """Returns whether a cross-validation was started there."""
    return _folder(base, 1).is_dir()


def _validate(
    first: Recipe, base: Path, run_of: Callable[[Recipe, Path], Run], progress: Progress
) -> CrossValidation:
    """Trains or loads the runs of all folds, given the recipe of the first."""
    folds, runs = first.data.fold_of[1], []
    for number in range(1, folds + 1):
        progress.say(f"Fold {number} of {folds}")
        part = replace(first, data=replace(first.data, fold=f"{number}/{folds}"))
        try:
            runs.append(run_of(part, _folder(base, number)))
        except (KeyboardInterrupt, SystemExit):
            progress.warn(f"To resume all {folds} folds: edgeadapt train --resume {base}")
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
