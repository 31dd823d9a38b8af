"""Rejections before torch is imported."""

from pathlib import Path

import pytest

from edgeadapt.errors import DataError, OutputExistsError
from edgeadapt.recipe import DataConfig
from edgeadapt.store.run import UNFINISHED
from edgeadapt.training.preflight import preflight


@pytest.mark.parametrize("name", ["missing.csv", "./missing", "/missing/reviews"])
def test_data_that_is_not_there_is_named(name: str) -> None:
    with pytest.raises(DataError, match=r"missing.* does not exist"):
        preflight(DataConfig(dataset=name), None, force=False)


def test_what_is_there_already_is_refused_unless_forced(tmp_path: Path) -> None:
    with pytest.raises(OutputExistsError, match="exists already"):
        preflight(DataConfig(), tmp_path, force=False)
    preflight(DataConfig(), tmp_path, force=True)

    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(OutputExistsError, match=r"expected a folder with run\.json"):
        preflight(DataConfig(), tmp_path, force=True)


def test_an_unfinished_training_is_left_to_the_training_to_judge(tmp_path: Path) -> None:
    (tmp_path / UNFINISHED).mkdir()
    preflight(DataConfig(), tmp_path, force=False)


def test_nothing_is_said_of_hub_ids_and_new_names(tmp_path: Path) -> None:
    preflight(DataConfig(dataset="owner/name"), tmp_path / "new", force=False)
