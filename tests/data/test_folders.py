"""Which file of a folder is which split."""

from pathlib import Path

import pytest

from edgeadapt.data import other_splits, split_files, split_of
from edgeadapt.errors import DataError


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).touch()


@pytest.mark.parametrize(
    ("split", "names"),
    [
        ("train", ["train", "Training", "TRAIN"]),
        ("validation", ["validation", "valid", "val", "dev", "eval", "Validate", "DEV"]),
        ("test", ["test", "Test", "testing", "holdout", "hold_out"]),
        (None, ["tests", "validation_matched", "train2", "extra", ""]),
    ],
)
def test_splits_go_by_several_names_in_any_case(split: str | None, names: list[str]) -> None:
    assert {split_of(name) for name in names} == {split}


def test_files_are_found_in_any_case(tmp_path: Path) -> None:
    touch(tmp_path, "Train.CSV", "eval.jsonl", "TEST.parquet", "labels.json", "README.md", "a.txt")

    found = split_files(tmp_path)

    assert {split: path.name for split, path in found.files.items()} == {
        "train": "Train.CSV",
        "validation": "eval.jsonl",
        "test": "TEST.parquet",
    }
    assert found.unread == ()


def test_other_data_files_are_named(tmp_path: Path) -> None:
    touch(tmp_path, "train.csv", "extra.csv", "unlabeled.jsonl", "more.tsv", "old.csv.gz", ".a.csv")
    touch(tmp_path, "train.json")

    assert set(split_files(tmp_path).unread) == {
        *("extra.csv", "unlabeled.jsonl", "more.tsv", "old.csv.gz", "train.json")
    }


@pytest.mark.parametrize("names", [("test.csv", "Test.csv"), ("val.csv", "dev.jsonl")])
def test_two_files_for_one_split_are_refused(names: tuple[str, str], tmp_path: Path) -> None:
    touch(tmp_path, "train.csv", *names)

    with pytest.raises(DataError, match="expected one file for") as caught:
        split_files(tmp_path)

    assert all(name in caught.value.message for name in names)


@pytest.mark.parametrize("name", ["test.tsv", "Test.json", "val.txt", "eval.csv.gz", "dev.xlsx"])
def test_a_split_in_a_format_that_is_not_read_is_refused(name: str, tmp_path: Path) -> None:
    touch(tmp_path, "train.csv", name)

    with pytest.raises(DataError, match=f"found {name}"):
        split_files(tmp_path)


def test_a_split_in_a_folder_of_its_own_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, "train.csv")
    (tmp_path / "test").mkdir()
    (tmp_path / "pictures").mkdir()

    with pytest.raises(DataError, match="for test, found test"):
        split_files(tmp_path)


def test_splits_beside_a_file_of_training_examples_are_found(tmp_path: Path) -> None:
    touch(tmp_path, "train.csv", "Val.csv", "test.jsonl", "extra.csv", "reviews.csv")

    assert other_splits(tmp_path / "train.csv") == ("Val.csv", "test.jsonl")
    assert other_splits(tmp_path / "reviews.csv") == ()
