"""Finding the examples: embedded, a file, or a folder of files."""

import json
import math
import tracemalloc
from decimal import Decimal
from itertools import chain
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from edgeadapt.data import Dataset, Examples, fingerprint, write_csv
from edgeadapt.errors import DataError, HubError
from edgeadapt.models.hub import Snapshot
from edgeadapt.recipe import DataConfig
from edgeadapt.training import datasets as module
from edgeadapt.training.datasets import load_dataset
from tests.conftest import review, write_dataset
from tests.listener import Listener

pytestmark = [pytest.mark.transformers5, pytest.mark.versions]

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

    with pytest.raises(
        DataError,
        match=r"one file for train, or one set of shards, found train\.csv, train\.parquet",
    ):
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


# What is said and left out


def heard(dataset: object, **config: Any) -> tuple[Dataset, Listener]:
    listener = Listener()
    return load_dataset(DataConfig(dataset=str(dataset), **config), progress=listener), listener


def test_splits_by_other_names_are_taken_and_said(tmp_path: Path) -> None:
    write(tmp_path / "Train.csv", pairs(0, 20))
    write(tmp_path / "eval.csv", pairs(20, 28))
    write(tmp_path / "Test.jsonl", pairs(28, 34))

    dataset, listener = heard(tmp_path)

    assert all_pairs(dataset) == [pairs(0, 20), pairs(20, 28), pairs(28, 34)]
    assert f"{tmp_path / 'eval.csv'}: read as validation." in listener.said
    assert listener.warned == []


def test_a_data_file_that_is_no_split_is_warned_of_with_what_is_held_out(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", pairs(0, 40))
    write(tmp_path / "validation.csv", pairs(40, 50))
    write(tmp_path / "sst2_test.csv", pairs(50, 60))

    _, listener = heard(tmp_path)

    (warning,) = listener.warned
    assert "not read: sst2_test.csv" in warning
    assert "test texts are held out of train" in warning


def test_a_test_file_beside_a_single_file_is_warned_of(tmp_path: Path) -> None:
    write(tmp_path / "test.csv", pairs(40, 50))

    _, listener = heard(write(tmp_path / "train.csv", pairs(0, 40)))

    assert "not read: test.csv" in listener.warned[0]


def test_of_a_whole_data_set_nothing_is_said(tmp_path: Path) -> None:
    _, listener = heard(write_dataset(tmp_path))

    assert listener.said == listener.warned == []


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
@pytest.mark.parametrize("empty", ["", " \n"])
def test_empty_texts_are_named_or_left_out_and_counted(
    tmp_path: Path, suffix: str, empty: str
) -> None:
    given = [*pairs(0, 20), (empty, "odd"), *pairs(20, 40), (empty, "positive")]
    write(tmp_path / f"train{suffix}", given)
    write(tmp_path / f"test{suffix}", [(empty, "positive"), *pairs(40, 50)])
    write(tmp_path / f"validation{suffix}", pairs(50, 60))

    with pytest.raises(DataError, match=r"train, row 21: the text is empty in 'text'") as caught:
        load(tmp_path)
    dataset, listener = heard(tmp_path, skip_empty=True)

    assert "--skip-empty" in caught.value.hint
    assert dataset.label_names == LABELS
    assert all_pairs(dataset) == [pairs(0, 40), pairs(50, 60), pairs(40, 50)]
    assert listener.said == [
        f"{tmp_path}, train: left out 2 rows with an empty text.",
        f"{tmp_path}, test: left out 1 rows with an empty text.",
    ]


def test_rows_behind_one_that_is_left_out_keep_their_numbers(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", pairs(0, 20))
    write(tmp_path / "test.csv", [("", "positive"), *pairs(20, 22), ("the film", "mixed")])

    with pytest.raises(DataError, match=r"test, row 4: unknown label 'mixed'"):
        load(tmp_path, skip_empty=True)


def test_a_pair_without_its_second_text_is_left_out(tmp_path: Path) -> None:
    rows = [{"text": f"a {n}", "other": f"b {n}", "label": ["no", "yes"][n % 2]} for n in range(40)]
    rows[3]["other"] = ""
    lines_of(tmp_path / "train.jsonl", *rows, {"text": "c", "other": None, "label": "yes"})

    dataset, _ = heard(tmp_path, text_pair_column="other", skip_empty=True)

    texts = [*dataset.train.texts, *dataset.validation.texts, *dataset.test.texts]
    assert sorted(texts) == sorted((f"a {n}", f"b {n}") for n in range(40) if n != 3)


def test_where_nothing_is_left_of_train_it_is_refused(tmp_path: Path) -> None:
    file = write(tmp_path / "train.csv", [(" ", "positive"), ("", "negative")])

    with pytest.raises(DataError, match="train: every row was left out"):
        load(file, skip_empty=True)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
@pytest.mark.parametrize("labels", [LABELS, ("0", "1")])
def test_an_unlabelled_split_is_named_or_left_out(
    tmp_path: Path, suffix: str, labels: tuple[str, ...]
) -> None:
    train = [(text, labels[LABELS.index(label)]) for text, label in pairs(0, 40)]
    write(tmp_path / f"train{suffix}", train)
    write(tmp_path / f"validation{suffix}", [(text, labels[0]) for text, _ in pairs(40, 50)])
    write(tmp_path / f"test{suffix}", [(text, "-1") for text, _ in pairs(50, 60)])

    with pytest.raises(DataError, match="test: the test split is unlabelled") as caught:
        load(tmp_path)
    dataset, listener = heard(tmp_path, skip_unlabelled=True)

    assert "--skip-unlabelled" in caught.value.hint
    assert "labels.json" not in str(caught.value)
    assert len(dataset.train) + len(dataset.test) == 40
    assert len(dataset.validation) == 10
    assert f"{tmp_path}: the test split is left out: no row of it can be used." in listener.warned


@pytest.mark.parametrize("missing", [-1, None, math.nan, ""])
def test_a_row_without_a_label_is_named_or_left_out(tmp_path: Path, missing: Any) -> None:
    given = [{"text": text, "label": LABELS.index(label)} for text, label in pairs(0, 40)]
    lines_of(tmp_path / "train.jsonl", *given[:30])
    lines_of(tmp_path / "test.jsonl", given[30], {"text": "x", "label": missing}, *given[31:])

    with pytest.raises(DataError, match=r"test, row 2: the label in 'label' is empty") as caught:
        load(tmp_path)

    assert "--skip-unlabelled" in caught.value.hint
    assert len(load(tmp_path, skip_unlabelled=True).test) == 10


def test_minus_one_is_a_label_where_train_has_it(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", [(f"text {n}", str(n % 3 - 1)) for n in range(60)])
    write(tmp_path / "test.csv", [(f"other {n}", "-1") for n in range(6)])

    dataset = load(tmp_path)

    assert dataset.label_names == ("-1", "0", "1")
    assert dataset.test.known_labels().tolist() == [0] * 6


def test_a_test_file_without_the_label_column_is_named_or_left_out(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", pairs(0, 40))
    write_csv(tmp_path / "test.csv", {"text": ["a", "b"]})

    with pytest.raises(DataError, match=r"test: no column 'label': found text") as caught:
        load(tmp_path)

    assert "--skip-unlabelled" in caught.value.hint
    assert len(load(tmp_path, skip_unlabelled=True).test) == 4


# Labels in every format


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_floats_that_pandas_made_of_integers_are_those_integers(
    tmp_path: Path, suffix: str
) -> None:
    given = [(text, "01"[LABELS.index(label)]) for text, label in pairs(0, 40)]
    write(tmp_path / f"train{suffix}", given)
    write(tmp_path / f"test{suffix}", [(text, f"{label}.0") for text, label in given[:10]])

    dataset = load(tmp_path)

    assert dataset.label_names == ("0", "1")
    assert dataset.test.known_labels().tolist() == [0, 1] * 5


@pytest.mark.parametrize(
    ("values", "names"),
    [
        (pa.array([0.0, 1.0] * 20), ("0", "1")),
        (pa.array([0, 1] * 20, pa.int8()), ("0", "1")),
        (pa.array([False, True] * 20), ("False", "True")),
        (pa.array([b"a", b"b"] * 20), ("a", "b")),
        (pa.array(["a", "b"] * 20).dictionary_encode(), ("a", "b")),
        (pa.array([Decimal("0.00"), Decimal("1.00")] * 20), ("0", "1")),
    ],
    ids=str,
)
def test_parquet_labels_of_every_type_have_the_names_that_csv_has(
    tmp_path: Path, values: Any, names: tuple[str, ...]
) -> None:
    table = pa.table({"text": [f"text {n}" for n in range(40)], "label": values})
    parquet.write_table(table, tmp_path / "train.parquet")

    assert load(tmp_path).label_names == names


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (pa.array([0.0, 2.5] * 20), "number with a fraction"),
        (pa.array([0.0, math.nan] * 20), "row 2: the label in 'label' is empty"),
        (pa.array([0, None] * 20), "row 2: the label in 'label' is empty"),
        (pa.array([{"a": 1}, {"a": 2}] * 20), "found an object"),
        (pa.array([[1], [2]] * 20), "expected one label, found a list"),
    ],
    ids=["scores", "nan", "null", "object", "list"],
)
def test_parquet_labels_that_are_none_are_refused(tmp_path: Path, values: Any, said: str) -> None:
    table = pa.table({"text": [f"text {n}" for n in range(40)], "label": values})
    parquet.write_table(table, tmp_path / "train.parquet")

    with pytest.raises(DataError, match=said):
        load(tmp_path)


def class_table(names: list[str], indices: list[int], path: Path) -> None:
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=names)}
    )
    texts = [f"{path.stem} {n}" for n in range(len(indices))]
    table = datasets.Dataset.from_dict({"text": texts, "label": indices}, features=features)
    table.to_parquet(str(path))


@pytest.fixture(params=["folder", "hub"])
def class_data(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Path, str]:
    """A folder of parquet files, and what the data set of it is called."""
    folder = tmp_path / "data"
    folder.mkdir()
    if request.param == "folder":
        return folder, str(folder)
    monkeypatch.setattr(module.hub, "fetch", lambda *_, **__: Snapshot(folder, "abc"))
    return folder, "someone/reviews"


def test_classes_are_called_what_the_parquet_file_says(class_data: tuple[Path, str]) -> None:
    folder, name = class_data
    # Stars: an index is not the number that the class is called by.
    class_table(["1", "2", "3"], [1, 2] * 15, folder / "train.parquet")
    class_table(["1", "2", "3"], [2, 1, 2] * 4, folder / "test.parquet")

    dataset = load(name)

    assert dataset.label_names == ("1", "2", "3")
    assert dataset.test.known_labels().tolist() == [2, 1, 2] * 4


def test_each_parquet_file_says_what_its_indices_are_called(tmp_path: Path) -> None:
    class_table(["bad", "good"], [0, 1] * 15, tmp_path / "train.parquet")
    class_table(["good", "bad"], [0, 0, 1] * 4, tmp_path / "test.parquet")

    assert load(tmp_path).test.known_labels().tolist() == [1, 1, 0] * 4


def test_secret_test_labels_are_named_or_left_out(class_data: tuple[Path, str]) -> None:
    folder, name = class_data
    class_table(["bad", "good"], [0, 1] * 20, folder / "train.parquet")
    class_table(["bad", "good"], [-1] * 10, folder / "test.parquet")

    with pytest.raises(DataError, match="the test split is unlabelled"):
        load(name)

    assert len(load(name, skip_unlabelled=True).test) == 4


def test_labels_json_gives_classes_of_a_parquet_file_other_names(tmp_path: Path) -> None:
    class_table(["neg", "pos"], [0, 1] * 20, tmp_path / "train.parquet")
    (tmp_path / "labels.json").write_text('["schlecht", "gut"]')

    dataset = load(tmp_path)

    assert dataset.label_names == ("schlecht", "gut")
    assert sorted(dataset.train.known_labels().tolist()) == [0] * 16 + [1] * 16


def test_labels_json_orders_the_classes_of_a_parquet_file(tmp_path: Path) -> None:
    class_table(["neg", "pos"], [0, 1] * 20, tmp_path / "train.parquet")
    class_table(["neg", "pos"], [1] * 5, tmp_path / "test.parquet")
    (tmp_path / "labels.json").write_text('["pos", "neg"]')

    assert load(tmp_path).test.known_labels().tolist() == [0] * 5


def test_splits_of_the_hub_that_are_not_used_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = datasets.Dataset.from_dict(columns(pairs(0, 40)))
    names = ("train", "validation_matched", "validation_mismatched")
    found = datasets.DatasetDict(dict.fromkeys(names, table))
    monkeypatch.setattr(module.hub, "fetch", lambda *_, **__: Snapshot(tmp_path, "abc"))
    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: found)

    _, listener = heard("someone/mnli")

    assert "not read: validation_matched, validation_mismatched" in listener.warned[0]
    assert "validation and test texts are held out" in listener.warned[0]


def test_multi_hot_lists_are_read_in_every_split_and_said(tmp_path: Path) -> None:
    hot = [[1, 0], [0, 1], [1, 1], [0, 0]]
    rows = [{"text": f"text {n}", "label": hot[n % 4]} for n in range(40)]
    lines_of(tmp_path / "train.jsonl", *rows)
    lines_of(tmp_path / "test.jsonl", {"text": "a", "label": [0, 1]})
    (tmp_path / "labels.json").write_text('["rain", "wind"]')

    dataset, listener = heard(tmp_path, multi_label=True)

    assert dataset.test.known_labels().tolist() == [[0, 1]]
    assert f"{tmp_path}: label lists are read as a 0 or 1 for each label." in listener.said


# Hostile parquet


def expanding(path: Path, *, rows: int, characters: int) -> Path:
    """A small file in which one text stands for many."""
    text = pa.array(["x" * characters])
    texts = pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), text)
    labels = pa.array(np.arange(rows) % 2)
    table = pa.table({"text": texts, "label": labels})
    parquet.write_table(table, path, compression="zstd", row_group_size=rows)
    return path


def test_a_small_parquet_file_that_expands_to_gigabytes_is_refused(tmp_path: Path) -> None:
    path = expanding(tmp_path / "train.parquet", rows=2_000, characters=1_000_000)
    assert path.stat().st_size < 20_000
    tracemalloc.start()

    with pytest.raises(DataError, match="too large: expected at most"):
        load(tmp_path)

    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 100_000_000


@pytest.mark.parametrize(
    ("bound", "said"),
    [
        ("edgeadapt.data.delimited.MOST_ROWS", "too many rows"),
        ("edgeadapt.training.tables.MOST_BYTES", "30 bytes"),
        ("edgeadapt.training.tables.MOST_VALUES", "30 values"),
    ],
)
def test_a_parquet_file_beyond_a_bound_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bound: str, said: str
) -> None:
    write(tmp_path / "train.parquet", pairs(0, 40))
    monkeypatch.setattr(bound, 30)

    with pytest.raises(DataError, match=said):
        load(tmp_path)


def test_columns_that_are_not_asked_for_are_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = pa.table({**columns(pairs(0, 40)), "vector": [[0.5] * 1_000] * 40})
    parquet.write_table(table, tmp_path / "train.parquet")
    read: list[Any] = []
    original = parquet.ParquetFile.iter_batches

    def spied(self: Any, *args: Any, **options: Any) -> Any:
        read.append(options["columns"])
        return original(self, *args, **options)

    monkeypatch.setattr(parquet.ParquetFile, "iter_batches", spied)

    load(tmp_path)

    assert read == [["text", "label"]] * 2


def test_a_parquet_file_with_a_column_twice_is_refused(tmp_path: Path) -> None:
    table = pa.table([pa.array(["a"]), pa.array(["b"]), pa.array(["c"])], ["text", "label", "text"])
    parquet.write_table(table, tmp_path / "train.parquet")

    with pytest.raises(DataError, match="two columns are called 'text'"):
        load(tmp_path)


def test_a_folder_name_is_no_column_of_a_parquet_file(tmp_path: Path) -> None:
    folder = tmp_path / "label=positive"
    folder.mkdir()
    parquet.write_table(pa.table({"text": ["a", "b"]}), folder / "train.parquet")

    with pytest.raises(DataError, match="no column 'label'"):
        load(folder)


@pytest.mark.parametrize("name", ["train.csv", "train.parquet", "data"])
def test_what_is_no_file_is_refused_unread(tmp_path: Path, name: str) -> None:
    (tmp_path / name).symlink_to("/dev/zero")

    with pytest.raises(DataError):
        load(tmp_path / name)


# Files as the hub, spreadsheets and pandas write them


def shards(folder: Path, split: str, given: Pairs, count: int, suffix: str) -> list[Path]:
    size = -(-len(given) // count)
    return [
        write(
            folder / f"{split}-{number:05}-of-{count:05}{suffix}",
            given[number * size : (number + 1) * size],
        )
        for number in range(count)
    ]


@pytest.mark.parametrize("inner", ["", "data"])
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_shards_of_a_split_are_read_in_order_also_one_level_down(
    suffix: str, inner: str, tmp_path: Path
) -> None:
    shards(tmp_path / inner, "train", pairs(0, 30), 3, suffix)
    shards(tmp_path / inner, "test", pairs(30, 40), 1, suffix)
    (tmp_path / "labels.json").write_text('["positive", "negative"]')

    dataset, listener = heard(tmp_path, validation_fraction=0.1)

    train, validation, test = all_pairs(dataset)
    assert sorted(train + validation) == sorted(pairs(0, 30))
    assert train == [pair for pair in pairs(0, 30) if pair in train]
    assert test == pairs(30, 40)
    assert dataset.label_names == ("positive", "negative")
    assert any("3 shards are read as train" in line for line in listener.said)
    assert any("files in data/ are read" in line for line in listener.said) == bool(inner)
    assert listener.warned == [line for line in listener.warned if "not read" not in line]


def test_a_missing_shard_is_refused_by_name(tmp_path: Path) -> None:
    shards(tmp_path, "train", pairs(0, 30), 3, ".csv")[1].unlink()

    with pytest.raises(DataError, match=r"missing train-00001-of-00003\.csv"):
        load(tmp_path)


def test_shards_with_other_class_names_are_refused(tmp_path: Path) -> None:
    for number, names in enumerate((["a", "b"], ["b", "a"])):
        datasets.Dataset.from_dict(
            {"text": [f"one {number}", "two"], "label": [0, 1]},
            features=datasets.Features(
                {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=names)}
            ),
        ).to_parquet(tmp_path / f"train-0000{number}-of-00002.parquet")

    with pytest.raises(DataError, match="the same class names in all shards"):
        load(tmp_path)


def test_one_shard_alone_names_the_others(tmp_path: Path) -> None:
    first, second = shards(tmp_path, "train", pairs(0, 60), 2, ".csv")

    _, listener = heard(first)

    assert any(second.name in line and "not read" in line for line in listener.warned)


@pytest.mark.parametrize("name", ["plain_text/train.csv", "reviews.csv", "notes.txt"])
def test_a_folder_without_splits_is_refused_with_what_was_found(name: str, tmp_path: Path) -> None:
    write(tmp_path / "x.csv", pairs(0, 20)).rename(tmp_path / "x")
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / "x").rename(tmp_path / name)

    with pytest.raises(DataError, match=f"found {name.partition('/')[0]}") as caught:
        load(tmp_path)

    assert "--dataset FILE" in caught.value.hint


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_columns_are_found_whatever_their_case_and_it_is_said(suffix: str, tmp_path: Path) -> None:
    given = pairs(0, 40)
    table = {" Text ": [text for text, _ in given], "LABEL": [label for _, label in given]}
    path = tmp_path / f"data{suffix}"
    if suffix == ".csv":
        write_csv(path, table)
    elif suffix == ".jsonl":
        rows = [dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)]
        path.write_text("\n".join(map(json.dumps, rows)))
    else:
        parquet.write_table(pa.table(table | {"other": given}), path)

    dataset, listener = heard(path)

    assert sorted(chain(*all_pairs(dataset))) == sorted(given)
    assert any("column ' Text ' is read as 'text'" in line for line in listener.said)
    assert any("column 'LABEL' is read as 'label'" in line for line in listener.said)


def test_class_names_of_a_column_in_other_case_are_read(tmp_path: Path) -> None:
    datasets.Dataset.from_dict(
        {"Text": [text for text, _ in pairs(0, 40)], "Label": [0, 1] * 20},
        features=datasets.Features(
            {"Text": datasets.Value("string"), "Label": datasets.ClassLabel(names=["b", "a"])}
        ),
    ).to_parquet(tmp_path / "train.parquet")

    assert load(tmp_path).label_names == ("b", "a")


def test_two_columns_that_differ_in_case_are_not_guessed_at(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("Text,TEXT,label\ngood,x,a\nbad,y,b\n")

    with pytest.raises(DataError, match="no column 'text': found Text, TEXT, label"):
        load(tmp_path / "data.csv")


@pytest.mark.parametrize(
    "content",
    [
        "a good film,positive\na bad film,negative\nanother good film,positive\n",
        "it was a very good film,1\nit was bad,0\n",
        "1,good\n2,bad\n",
    ],
)
def test_a_file_without_a_header_is_recognized(content: str, tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text(content)

    with pytest.raises(DataError, match="no column 'label'") as caught:
        load(tmp_path / "data.csv")

    assert "looks like a row of data" in caught.value.hint


def test_a_web_page_that_was_downloaded_instead_is_recognized(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("<!DOCTYPE html>\n<html>\n<body>Not found</body>\n")

    with pytest.raises(DataError, match="no column 'label'") as caught:
        load(tmp_path / "data.csv")

    assert "web page" in caught.value.hint


def test_a_header_with_other_names_is_no_row(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("review,mood\ngood,a\nbad,b\n")

    with pytest.raises(DataError, match="no column 'label'") as caught:
        load(tmp_path / "data.csv")

    assert caught.value.hint == "Name the column with --label-column."


def test_a_split_that_spells_its_labels_in_another_case_is_read_and_it_is_said(
    tmp_path: Path,
) -> None:
    write(tmp_path / "train.csv", pairs(0, 40))
    write(tmp_path / "test.csv", [(text, label.upper()) for text, label in pairs(40, 50)])

    dataset, listener = heard(tmp_path)

    assert pairs_in(dataset.test, dataset.label_names) == pairs(40, 50)
    assert sum("'POSITIVE' = 'positive'" in line for line in listener.said) == 1


@pytest.mark.parametrize("word", ["NA", "none", "-"])
def test_rows_with_a_word_for_a_missing_label_are_named_or_left_out(
    word: str, tmp_path: Path
) -> None:
    path = write(tmp_path / "data.csv", [*pairs(0, 39), ("not said", word)])

    with pytest.raises(
        DataError, match=f"row 40: '{word}' in 'label' reads as a missing"
    ) as caught:
        load(path)
    dataset, listener = heard(path, skip_unlabelled=True)

    assert "--skip-unlabelled" in caught.value.hint
    assert dataset.label_names == LABELS
    assert any("left out 1 rows with no label" in line for line in listener.said)
