"""Cross-validation: every text is tested on once, and the data's test split is not used."""

import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from statistics import fmean, stdev
from unittest.mock import patch

import pytest

from edgeadapt.data import read_rows
from edgeadapt.errors import MissingError, OutputExistsError, UsageError
from edgeadapt.metrics import wilson_interval
from edgeadapt.pipeline.train import train
from edgeadapt.pipeline.train_folds import CrossValidation, cross_validate, resume_folds
from edgeadapt.recipe import Recipe
from edgeadapt.store.run import UNFINISHED
from edgeadapt.training.checkpoints import Checkpoint, Checkpoints


@pytest.fixture(scope="module")
def recipe(tiny_recipe: Callable[..., Recipe]) -> Recipe:
    return tiny_recipe(epochs=1)


@pytest.fixture(scope="module")
def found(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> CrossValidation:
    return cross_validate(recipe, folds=3, output=tmp_path_factory.mktemp("folds") / "mine")


def texts(path: Path) -> list[str]:
    return sorted(row["text"] for row in read_rows(path))


def test_the_parts_make_up_train_and_validation(found: CrossValidation, recipe: Recipe) -> None:
    data = Path(recipe.data.dataset)
    pool = texts(data / "train.csv") + texts(data / "validation.csv")

    tested = [text for run in found.runs for text in texts(run.path / "predictions.csv")]

    assert sorted(tested) == sorted(pool)
    for run in found.runs:
        assert run.info.data.shared == dict.fromkeys(run.info.data.shared, 0)
        assert sum(run.info.data.examples.values()) == len(pool)


def test_the_runs_are_named_after_their_part_and_can_be_trained_again(
    found: CrossValidation, tmp_path: Path
) -> None:
    assert [run.name for run in found.runs] == [f"mine-fold-{n}" for n in (1, 2, 3)]
    second = found.runs[1]

    again = train(Recipe.load(str(second.path)), output=tmp_path / "again")

    assert again.info.recipe.data.fold == "2/3"
    assert again.info.test == second.info.test


def test_a_cross_validation_that_was_stopped_trains_what_is_left_of_it(
    found: CrossValidation, tmp_path: Path
) -> None:
    """Fold 1 is finished, fold 2 was stopped, fold 3 was not begun."""
    first, second, third = found.runs
    shutil.copytree(first.path, tmp_path / first.name)
    created = (tmp_path / first.name / "run.json").stat().st_mtime_ns
    state = Checkpoints(tmp_path / second.name / UNFINISHED, every=0)
    with suppress(KeyboardInterrupt), patch.object(Checkpoints, "save", interrupted):
        train(Recipe.load(str(second.path)), output=tmp_path / second.name)
    assert state.exist()

    again = resume_folds(tmp_path / "mine")

    assert [run.info.test for run in again.runs] == [run.info.test for run in found.runs]
    assert (tmp_path / first.name / "run.json").stat().st_mtime_ns == created
    assert json.loads(again.path.read_text())["accuracy"] == found.to_dict()["accuracy"]
    assert third.name in {path.name for path in tmp_path.iterdir()}


def test_begun_again_a_cross_validation_says_how_to_go_on(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "save", interrupted)
        with pytest.raises(KeyboardInterrupt):
            cross_validate(recipe, folds=3, output=tmp_path / "cv")

    with pytest.raises(OutputExistsError, match="not finished") as caught:
        cross_validate(recipe, folds=3, output=tmp_path / "cv")

    assert f"--resume {tmp_path / 'cv'} " in caught.value.hint


def test_a_cross_validation_that_was_killed_at_once_begins_anew(
    recipe: Recipe, found: CrossValidation, tmp_path: Path
) -> None:
    (tmp_path / "cv-fold-1" / "checkpoint").mkdir(parents=True)

    again = cross_validate(recipe, folds=3, output=tmp_path / "cv")

    assert again.scores("accuracy") == found.scores("accuracy")


def test_without_a_first_fold_there_is_no_cross_validation_to_resume(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="not a cross-validation"):
        resume_folds(tmp_path / "mine")


def interrupted(self: Checkpoints, step: int, checkpoint: Checkpoint) -> None:
    save(self, step, checkpoint)
    raise KeyboardInterrupt


save = Checkpoints.save


def test_mean_and_deviation_are_those_of_the_parts(found: CrossValidation) -> None:
    told = found.to_dict()

    right = sum(
        row["label"] == row["prediction"]
        for run in found.runs
        for row in read_rows(run.path / "predictions.csv")
    )
    assert told["together"]["accuracy"] == pytest.approx(right / found.texts)
    interval = wilson_interval(right / found.texts, found.texts)
    assert told["together"]["interval"] == pytest.approx(list(interval))
    assert found.path.name == "mine-folds.json"
    assert json.loads(found.path.read_text()) == told
    accuracies = [run.info.test.accuracy for run in found.runs]
    assert told["accuracy"]["folds"] == accuracies
    assert told["accuracy"]["mean"] == pytest.approx(fmean(accuracies))
    assert told["accuracy"]["standard_deviation"] == pytest.approx(stdev(accuracies))
    assert told["runs"] == [str(run.path) for run in found.runs]


def test_one_part_is_no_cross_validation(recipe: Recipe, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--folds: expected at least 2, found 1"):
        cross_validate(recipe, folds=1, output=tmp_path / "mine")

    assert list(tmp_path.iterdir()) == []


def test_existing_runs_are_not_replaced(found: CrossValidation, recipe: Recipe) -> None:
    base = found.runs[0].path.with_name("mine")

    with pytest.raises(OutputExistsError, match="mine-fold-1"):
        cross_validate(recipe, folds=3, output=base)
