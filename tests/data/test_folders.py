"""Which file in a folder belongs to which split."""

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

    assert {split: path.name for split, (path,) in found.files.items()} == {
        "train": "Train.CSV",
        "validation": "eval.jsonl",
        "test": "TEST.parquet",
    }
    assert found.unread == ()


def test_other_data_files_are_named(tmp_path: Path) -> None:
    touch(tmp_path, "train.csv", "extra.csv", "unlabeled.jsonl", "more.tsv", "old.csv.gz", ".a.csv")
    touch(tmp_path, "train.txt", "dataset_infos.json")

    assert set(split_files(tmp_path).unread) == {
        *("extra.csv", "unlabeled.jsonl", "more.tsv", "old.csv.gz", "train.txt")
    }


@pytest.mark.parametrize("names", [("test.csv", "Test.csv"), ("val.csv", "dev.jsonl")])
def test_two_files_for_one_split_are_refused(names: tuple[str, str], tmp_path: Path) -> None:
    touch(tmp_path, "train.csv", *names)

    with pytest.raises(DataError, match="expected one file for") as caught:
        split_files(tmp_path)

    assert all(name in caught.value.message for name in names)


@pytest.mark.parametrize("name", ["test.arrow", "Test.ods", "val.txt", "eval.csv.gz", "dev.xlsx"])
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


def hub_names(split: str, count: int, suffix: str = ".csv") -> list[str]:
    return [f"{split}-{number:05}-of-{count:05}{suffix}" for number in range(count)]


@pytest.mark.parametrize("suffix", [".csv", ".parquet", "-0123456789abcdef.parquet"])
def test_shards_of_a_split_are_found_in_their_order(suffix: str, tmp_path: Path) -> None:
    train, test = hub_names("train", 11, suffix), hub_names("test", 1, suffix)
    touch(tmp_path, *reversed(train), *test, "validation.csv")

    found = split_files(tmp_path)

    names = {split: [path.name for path in paths] for split, paths in found.files.items()}
    assert names == {"train": train, "validation": ["validation.csv"], "test": test}


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    names = hub_names("train", 3)
    touch(tmp_path, names[0], names[2])

    with pytest.raises(DataError, match=r"3 shards for train, found 2: missing (\S+)") as caught:
        split_files(tmp_path)

    assert names[1] in caught.value.message


def test_a_shard_beyond_their_number_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, "train-00000-of-00001.csv", "train-00001-of-00001.csv")

    with pytest.raises(DataError, match=r"from 0 to 0, found .*train-00001-of-00001\.csv"):
        split_files(tmp_path)


@pytest.mark.parametrize(
    "names",
    [
        ["train.csv", *hub_names("train", 2)],
        [*hub_names("train", 2), *hub_names("train", 3)],
        [*hub_names("train", 2), *hub_names("train", 2, ".jsonl")],
        [*hub_names("train", 1), *hub_names("training", 1)],
    ],
)
def test_shards_of_two_kinds_are_refused(names: list[str], tmp_path: Path) -> None:
    touch(tmp_path, *names)

    with pytest.raises(DataError, match="expected one file for train, or one set of shards"):
        split_files(tmp_path)


def test_files_in_a_folder_called_data_are_found_where_there_are_none_above(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    touch(tmp_path, "README.md", "dataset_infos.json")
    touch(tmp_path / "data", "train.csv")

    assert split_files(tmp_path).files == {"train": (tmp_path / "data" / "train.csv",)}

    touch(tmp_path, "train.csv")

    assert split_files(tmp_path).files == {"train": (tmp_path / "train.csv",)}


def test_files_further_down_are_not_looked_for(tmp_path: Path) -> None:
    (tmp_path / "data" / "data").mkdir(parents=True)
    touch(tmp_path / "data" / "data", "train.csv")

    assert split_files(tmp_path).files == {}


def test_other_shards_of_a_file_are_found(tmp_path: Path) -> None:
    names = hub_names("train", 2)
    touch(tmp_path, *names, "test.csv", "extra.csv")

    assert other_splits(tmp_path / names[0]) == ("test.csv", names[1])
