"""Finding the examples: embedded, a file, or a folder of files."""

import json
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from edgeadapt.config import DataConfig
from edgeadapt.data import Dataset, Examples, fingerprint, write_csv
from edgeadapt.errors import DataError, HubError
from edgeadapt.models.hub import Snapshot
from edgeadapt.training import datasets as module
from edgeadapt.training.datasets import load_dataset
from tests.conftest import review, write_dataset

Pairs = list[tuple[str, str]]
LABELS = ("negative", "positive")


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keeps every test off the network and out of the user's caches."""

    def fetch(repository: str, **_: Any) -> Snapshot:
        raise HubError(f"{repository} was asked for")

    monkeypatch.setattr(module.hub, "fetch", fetch)
    cache = tmp_path_factory.mktemp("cache")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", cache)


def load(dataset: object, **config: Any) -> Dataset:
    return load_dataset(DataConfig(dataset=str(dataset), **config))


def pairs(start: int, stop: int) -> Pairs:
    return [review(number) for number in range(start, stop)]


def columns(given: Pairs) -> dict[str, list[str]]:
    return {"text": [text for text, _ in given], "label": [label for _, label in given]}


def write(path: Path, given: Pairs) -> Path:
    """Writes texts and labels in the format that the suffix names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = columns(given)
    if path.suffix == ".csv":
        write_csv(path, table)
    elif path.suffix == ".jsonl":
        lines = [json.dumps({"text": text, "label": label}) for text, label in given]
        path.write_text("\n".join(lines))
    else:
        parquet.write_table(pa.table(table), path)
    return path


def pairs_in(split: Examples, names: tuple[str, ...]) -> Pairs:
    return [
        (text, names[label]) for text, label in zip(split.texts, split.known_labels(), strict=True)
    ]


def all_pairs(dataset: Dataset) -> list[Pairs]:
    return [
        pairs_in(split, dataset.label_names)
        for split in (dataset.train, dataset.validation, dataset.test)
    ]


def merged(splits: list[Pairs]) -> Pairs:
    return sorted(pair for split in splits for pair in split)


@pytest.mark.usefixtures("in_empty_folder")
def test_the_embedded_reviews_are_balanced_and_apart() -> None:
    dataset = load("demo")

    assert dataset.label_names == LABELS
    splits = [dataset.train, dataset.validation, dataset.test]
    assert [len(split) for split in splits] == [1_100, 200, 300]
    for split in splits:
        assert np.bincount(split.known_labels()).tolist() == [len(split) // 2] * 2
    assert len({text for split in splits for text in split.texts}) == 1_600


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_a_folder_is_read_split_by_split(tmp_path: Path, suffix: str) -> None:
    parts = {"train": pairs(0, 20), "validation": pairs(20, 28), "test": pairs(28, 34)}
    for split, given in parts.items():
        write(tmp_path / f"{split}{suffix}", given)

    dataset = load(tmp_path)

    assert dataset.label_names == LABELS
    assert all_pairs(dataset) == list(parts.values())


def test_a_folder_may_mix_formats(tmp_path: Path) -> None:
    write(tmp_path / "train.parquet", pairs(0, 20))
    write(tmp_path / "validation.jsonl", pairs(20, 28))
    write(tmp_path / "test.csv", pairs(28, 34))

    assert all_pairs(load(tmp_path)) == [pairs(0, 20), pairs(20, 28), pairs(28, 34)]


@pytest.mark.parametrize("name", ["validation", "valid", "dev"])
def test_validation_goes_by_several_names(tmp_path: Path, name: str) -> None:
    write(tmp_path / "training.csv", pairs(0, 20))
    write(tmp_path / f"{name}.csv", pairs(20, 28))
    write(tmp_path / "test.csv", pairs(28, 34))

    assert all_pairs(load(tmp_path)) == [pairs(0, 20), pairs(20, 28), pairs(28, 34)]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_validation_and_test_are_held_out_of_a_single_file(tmp_path: Path, suffix: str) -> None:
    file = write(tmp_path / f"reviews{suffix}", pairs(0, 100))

    dataset = load(file, validation_fraction=0.25, test_fraction=0.2)

    found = all_pairs(dataset)
    assert [len(split) for split in found] == [60, 20, 20]
    assert merged(found) == sorted(pairs(0, 100))
    for split in (dataset.train, dataset.validation, dataset.test):
        assert np.bincount(split.known_labels()).tolist() == [len(split) // 2] * 2


@pytest.mark.parametrize(("there", "missing"), [("test", "validation"), ("validation", "test")])
def test_only_the_missing_split_is_held_out(tmp_path: Path, there: str, missing: str) -> None:
    write(tmp_path / "train.csv", pairs(0, 40))
    write(tmp_path / f"{there}.csv", pairs(40, 50))

    dataset = load(tmp_path)

    names = dataset.label_names
    assert pairs_in(getattr(dataset, there), names) == pairs(40, 50)
    assert len(getattr(dataset, missing)) == 4
    kept = pairs_in(dataset.train, names) + pairs_in(getattr(dataset, missing), names)
    assert sorted(kept) == sorted(pairs(0, 40))


def test_what_is_held_out_follows_the_split_seed(tmp_path: Path) -> None:
    file = write(tmp_path / "reviews.csv", pairs(0, 100))

    one, same, other = (all_pairs(load(file, split_seed=seed)) for seed in (1, 1, 2))

    assert one == same
    assert one[1] != other[1]
    assert one[2] != other[2]


def test_duplicates_are_held_out_together(tmp_path: Path) -> None:
    file = write(tmp_path / "reviews.csv", 4 * pairs(0, 30))

    dataset = load(file)

    texts = [set(split.texts) for split in (dataset.train, dataset.validation, dataset.test)]
    assert not texts[0] & texts[1]
    assert not texts[0] & texts[2]
    assert not texts[1] & texts[2]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_other_columns_can_be_named(tmp_path: Path, suffix: str) -> None:
    given = columns(pairs(0, 40))
    renamed = {"body": given["text"], "mood": given["label"], "stars": list(range(40))}
    file = tmp_path / f"reviews{suffix}"
    if suffix == ".csv":
        write_csv(file, renamed)
    elif suffix == ".jsonl":
        rows = zip(*renamed.values(), strict=True)
        file.write_text("\n".join(json.dumps(dict(zip(renamed, row, strict=True))) for row in rows))
    else:
        parquet.write_table(pa.table(renamed), file)

    dataset = load(file, text_column="body", label_column="mood")

    assert merged(all_pairs(dataset)) == sorted(pairs(0, 40))


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_column_that_is_not_there_is_named_with_those_that_are(
    tmp_path: Path, suffix: str
) -> None:
    file = write(tmp_path / f"reviews{suffix}", pairs(0, 10))

    with pytest.raises(DataError, match=r"no column 'body': found text, label") as caught:
        load(file, text_column="body")

    assert str(file) in str(caught.value)
    assert "--text-column" in caught.value.hint


@pytest.mark.parametrize("names", [["negative", "positive"], ["positive", "negative"]])
def test_labels_json_orders_the_labels(tmp_path: Path, names: list[str]) -> None:
    write_dataset(tmp_path)
    (tmp_path / "labels.json").write_text(json.dumps(names))

    dataset = load(tmp_path)

    assert dataset.label_names == tuple(names)
    assert pairs_in(dataset.train, dataset.label_names) == pairs(0, 64)


def test_labels_json_names_indices(tmp_path: Path) -> None:
    given = [(text, str(LABELS.index(label))) for text, label in pairs(0, 40)]
    write(tmp_path / "train.csv", given)
    (tmp_path / "labels.json").write_text('["bad", "good"]')

    dataset = load(tmp_path)

    assert dataset.label_names == ("bad", "good")
    assert dataset.train.known_labels().tolist() == [
        dict(given)[text] == "1" for text in dataset.train.texts
    ]


def test_labels_json_counts_beside_a_single_file(tmp_path: Path) -> None:
    file = write(tmp_path / "reviews.csv", pairs(0, 40))
    (tmp_path / "labels.json").write_text('["positive", "mixed", "negative"]')

    assert load(file).label_names == ("positive", "mixed", "negative")


def test_without_labels_json_names_are_those_of_train(tmp_path: Path) -> None:
    given = [(f"text {number}", str(number % 11)) for number in range(66)]
    write(tmp_path / "train.csv", given)

    assert load(tmp_path).label_names == tuple(map(str, range(11)))


def test_a_label_that_only_test_has_is_refused_with_its_row(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", pairs(0, 20))
    write(tmp_path / "test.csv", [*pairs(20, 22), ("the film", "mixed")])

    with pytest.raises(DataError, match=r"test, row 3: unknown label 'mixed'") as caught:
        load(tmp_path)

    assert str(tmp_path) in str(caught.value)
    assert "negative, positive" in str(caught.value)


def test_two_files_for_one_split_are_refused_by_name(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", pairs(0, 20))
    write(tmp_path / "dev.jsonl", pairs(20, 24))
    write(tmp_path / "validation.csv", pairs(24, 28))

    with pytest.raises(DataError, match="expected one file for validation") as caught:
        load(tmp_path)

    assert str(tmp_path) in str(caught.value)
    assert "validation.csv" in str(caught.value)
    assert "dev.jsonl" in str(caught.value)


def test_one_split_in_two_formats_is_refused_by_name(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", pairs(0, 20))
    write(tmp_path / "train.parquet", pairs(0, 20))

    with pytest.raises(DataError, match=r"one file for train, found train\.csv, train\.parquet"):
        load(tmp_path)


def test_one_label_in_train_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", [pair for pair in pairs(0, 20) if pair[1] == "positive"])

    with pytest.raises(DataError, match="every example has the label 'positive'") as caught:
        load(tmp_path)

    assert f"{tmp_path}, train" in str(caught.value)


def test_one_label_in_train_is_refused_though_labels_json_names_two(tmp_path: Path) -> None:
    write_dataset(tmp_path)
    write(tmp_path / "train.csv", [pair for pair in pairs(0, 20) if pair[1] == "positive"])

    with pytest.raises(DataError, match="one label only: expected at least two") as caught:
        load(tmp_path)

    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize("name", ["reviews.csv", "reviews.jsonl", "reviews.parquet", "./reviews"])
def test_a_missing_file_is_named(in_empty_folder: Path, name: str) -> None:
    with pytest.raises(DataError, match="does not exist") as caught:
        load(name)

    assert Path(name).name in str(caught.value)
    assert "--dataset takes" in caught.value.hint
    assert list(in_empty_folder.iterdir()) == []


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "reviews.txt").write_text("good")

    with pytest.raises(DataError, match=r"found '\.txt'") as caught:
        load(tmp_path / "reviews.txt")

    assert ".parquet" in str(caught.value)


def test_a_folder_without_examples_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()

    with pytest.raises(DataError, match=r"holds no examples: expected train\.csv") as caught:
        load(tmp_path)

    assert str(tmp_path) in str(caught.value)


def test_a_folder_without_train_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "test.csv", pairs(0, 10))

    with pytest.raises(DataError, match="expected a split called train, found test") as caught:
        load(tmp_path)

    assert str(tmp_path) in str(caught.value)


def test_a_damaged_parquet_file_is_refused(tmp_path: Path) -> None:
    file = write(tmp_path / "train.parquet", pairs(0, 20))
    file.write_bytes(file.read_bytes()[:-20])

    with pytest.raises(DataError, match="cannot be read as parquet") as caught:
        load(tmp_path)

    assert str(file) in str(caught.value)


def test_a_parquet_file_without_rows_is_refused(tmp_path: Path) -> None:
    file = write(tmp_path / "train.parquet", [])

    with pytest.raises(DataError, match="expected at least one row") as caught:
        load(tmp_path)

    assert str(file) in str(caught.value)


def test_a_parquet_file_that_was_written_again_is_read_again(tmp_path: Path) -> None:
    file = write(tmp_path / "reviews.parquet", pairs(0, 40))
    load(file)
    write(file, pairs(40, 80))

    assert merged(all_pairs(load(file))) == sorted(pairs(40, 80))


def test_too_few_texts_to_hold_out_are_refused(tmp_path: Path) -> None:
    file = write(tmp_path / "reviews.csv", pairs(0, 2))

    with pytest.raises(DataError, match="Too few different texts"):
        load(file)


@pytest.mark.usefixtures("in_empty_folder")
def test_any_other_name_is_asked_of_the_hub() -> None:
    with pytest.raises(HubError, match="someone/reviews was asked for"):
        load("someone/reviews")


# Pairs and label sets


def lines_of(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_the_second_text_of_a_pair_has_a_column_of_its_own(tmp_path: Path, suffix: str) -> None:
    table = {"text": [f"a {n}" for n in range(40)], "other": [f"b {n}" for n in range(40)]}
    table["label"] = ["no", "yes"] * 20
    if suffix == ".csv":
        write_csv(tmp_path / "train.csv", table)
    else:
        parquet.write_table(pa.table(table), tmp_path / "train.parquet")

    dataset = load(tmp_path, text_pair_column="other")

    texts = [*dataset.train.texts, *dataset.validation.texts, *dataset.test.texts]
    assert sorted(texts) == sorted((f"a {n}", f"b {n}") for n in range(40))


def test_label_sets_are_read_alike_from_every_format(tmp_path: Path) -> None:
    sets = [["b"], ["a", "b"], [], ["a"]] * 10
    texts = [f"text {number}" for number in range(40)]
    for name in ("csv", "jsonl", "parquet"):
        (tmp_path / name).mkdir()
    joined = ["|".join(labels) for labels in sets]
    write_csv(tmp_path / "csv" / "train.csv", {"text": texts, "label": joined})
    rows = [{"text": t, "label": labels} for t, labels in zip(texts, sets, strict=True)]
    lines_of(tmp_path / "jsonl" / "train.jsonl", *rows)
    table = pa.table({"text": texts, "label": sets})
    parquet.write_table(table, tmp_path / "parquet" / "train.parquet")

    found = [load(tmp_path / name, multi_label=True) for name in ("csv", "jsonl", "parquet")]

    assert {dataset.label_names for dataset in found} == {("a", "b")}
    assert len({fingerprint(dataset) for dataset in found}) == 1
    expected = dict(zip(texts, ([int("a" in s), int("b" in s)] for s in sets), strict=True))
    train = found[0].train
    assert train.known_labels().tolist() == [expected[str(text)] for text in train.texts]


def test_one_label_set_only_is_refused(tmp_path: Path) -> None:
    rows = [{"text": f"text {number}", "label": ["a", "b"]} for number in range(20)]
    file = lines_of(tmp_path / "train.jsonl", *rows)

    with pytest.raises(DataError, match="one label set only: expected at least two label sets"):
        load(file, multi_label=True)


def test_single_labels_are_sets_of_one(tmp_path: Path) -> None:
    dataset = load(write_dataset(tmp_path / "data"), multi_label=True)

    assert dataset.label_names == LABELS
    assert dataset.train.known_labels()[:2].tolist() == [[1, 0], [0, 1]]


def test_a_name_with_the_separator_is_refused_for_label_sets(tmp_path: Path) -> None:
    file = lines_of(
        tmp_path / "train.jsonl",
        {"text": "a", "label": ["in|out"]},
        {"text": "b", "label": ["up"]},
    )

    with pytest.raises(DataError, match=r"label 'in\|out' cannot be used with --multi-label"):
        load(file, multi_label=True)
