"""Cross-validation: every text is tested on once, and the data's own test text never."""

import json
from collections.abc import Callable
from pathlib import Path
from statistics import fmean, stdev

import pytest

from edgeadapt.config import Recipe
from edgeadapt.data import read_rows
from edgeadapt.errors import OutputExistsError, UsageError
from edgeadapt.pipeline.folds import CrossValidation, cross_validate
from edgeadapt.pipeline.train import train


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
        assert run.info.data["shared"] == dict.fromkeys(run.info.data["shared"], 0)
        assert sum(run.info.data["examples"].values()) == len(pool)


def test_the_runs_are_named_after_their_part_and_can_be_trained_again(
    found: CrossValidation, tmp_path: Path
) -> None:
    assert [run.name for run in found.runs] == [f"mine-fold-{n}" for n in (1, 2, 3)]
    second = found.runs[1]

    again = train(Recipe.load(str(second.path)), output=tmp_path / "again")

    assert again.info.recipe["data"]["fold"] == "2/3"
    assert again.info.test == second.info.test


def test_mean_and_deviation_are_those_of_the_parts(found: CrossValidation) -> None:
    told = found.to_dict()

    assert found.path.name == "mine-folds.json"
    assert json.loads(found.path.read_text()) == told
    accuracies = [run.info.test["accuracy"] for run in found.runs]
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
