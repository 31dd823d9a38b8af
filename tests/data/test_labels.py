"""Labels from files: one name per class, never the repr of a value, no accidental classes."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeadapt.data import infer_labels, is_multi_hot, read_labels, to_examples, unlabelled_rows
from edgeadapt.errors import DataError
from edgeadapt.recipe import Task
from tests.listener import Listener

WEATHER = ("rain", "sun", "wind")


def rows(*labels: Any) -> list[dict[str, Any]]:
    return [{"text": f"text {number}", "label": label} for number, label in enumerate(labels)]


def names(*labels: Any, task: Task = Task.SINGLE_LABEL) -> tuple[str, ...]:
    return infer_labels(rows(*labels), column="label", where="data.csv", task=task)


def indices(*labels: Any, known: tuple[str, ...], task: Task = Task.SINGLE_LABEL) -> list[Any]:
    found = to_examples(
        rows(*labels),
        text_column="text",
        label_column="label",
        label_names=known,
        task=task,
        where="data.csv",
    )
    return found.known_labels().tolist()


def in_sets(*labels: Any, known: tuple[str, ...] = WEATHER) -> list[Any]:
    return indices(*labels, known=known, task=Task.MULTI_LABEL)


def refusal(*labels: Any, task: Task = Task.SINGLE_LABEL) -> DataError:
    with pytest.raises(DataError) as caught:
        names(*labels, task=task)
    return caught.value


# Spellings


def test_one_number_is_one_label_in_every_type() -> None:
    mixed = (1, 1.0, "1", "1.0", np.int64(1), 0, "0", 0.0)

    assert names(*mixed) == ("0", "1")
    assert indices(*mixed, known=("0", "1")) == [1, 1, 1, 1, 1, 0, 0, 0]


@pytest.mark.parametrize(
    ("labels", "shown"),
    [
        (("1", "2", "01"), ("'01'", "'1'")),
        ((1, 2, "01"), ("'01'", "'1'")),
        (("a", "+1", 1), ("'1'", "'+1'")),
        (("true", "x", True), ("'True'", "'true'")),
        ((True, 0, 1), ("'1'", "'True'")),
        (("caf\u00e9", "x", "cafe\u0301"), (r"'cafe\u0301'", r"'caf\xe9'")),
    ],
)
def test_two_spellings_of_one_label_are_refused_with_both_and_their_rows(
    labels: tuple[Any, ...], shown: tuple[str, str]
) -> None:
    error = refusal(*labels)

    assert (
        f"data.csv, row 3: the label {shown[0]} in 'label' is spelled {shown[1]} in data.csv, row"
        in (error.message)
    )


def test_leading_zeros_stay_where_every_row_has_them() -> None:
    assert names("01", "02", "10") == ("01", "02", "10")
    assert indices("02", 2, "2.0", known=("01", "02", "10")) == [1, 1, 1]


def test_a_name_is_found_before_an_index_however_it_is_spelled() -> None:
    # As runs of before have them that were trained on floats.
    assert indices("0.0", 1, "1", 2.0, known=("1.0", "0.0", "2.0")) == [1, 0, 0, 2]


def test_floats_and_truth_values_are_indices_of_named_labels() -> None:
    assert indices(1.0, "0.0", True, "False", known=("bad", "good")) == [1, 0, 1, 0]


def test_truth_values_are_found_by_name_first() -> None:
    assert indices(True, "false", "TRUE", known=("True", "False")) == [0, 1, 0]


# Missing labels, and what is no label


@pytest.mark.parametrize("label", [math.nan, None, "nan", "<NA>", np.float32("nan")])
def test_a_missing_label_makes_no_class_of_its_own(label: Any) -> None:
    error = refusal("a", "b", label)

    assert "data.csv, row 3: the label in 'label' is empty" in error.message
    assert "labels.json" not in error.hint


def test_a_class_may_be_called_nan_where_labels_json_says_so() -> None:
    assert indices("nan", "roti", known=("nan", "roti")) == [0, 1]


@pytest.mark.parametrize(
    ("label", "found"),
    [
        ({"name": "a"}, "an object"),
        (math.inf, "an infinite number"),
        ("\ud800", "half a character"),
    ],
)
def test_a_value_that_is_no_label_is_named_by_row_and_column(label: Any, found: str) -> None:
    error = refusal("a", "b", label)

    assert f"data.csv, row 3: expected a label in 'label', found {found}" in error.message


@pytest.mark.parametrize("label", ["['a', 'b']", '["a"]', "[0, 1]", "[]"])
def test_a_written_out_list_is_no_single_label(label: str) -> None:
    error = refusal("a", "b", label)

    assert "data.csv, row 3: expected one label, found a list" in error.message
    assert "--multi-label" in error.hint


@pytest.mark.parametrize("task", Task)
@pytest.mark.parametrize("label", ["{'a': 1}", "['a' 'b']", "[0 1]", "[['a']]", "array([1])"])
def test_a_written_out_value_is_never_a_label(label: str, task: Task) -> None:
    error = refusal("a", "b", label, task=task)

    assert "data.csv, row 3: expected a label, found a value written out" in error.message


# Scores and identifiers


@pytest.mark.parametrize(
    "scores",
    [
        (0.0, 2.5, 5.0),
        ("0.0", "2.5", "5.0"),
        (1, 2, np.float32(0.5)),
        ("1,5", "2", "3"),
        ("1e-3", "2"),
    ],
)
def test_scores_are_refused_by_name(scores: tuple[Any, ...]) -> None:
    error = refusal(*scores)

    assert "expected classes in 'label', found a number with a fraction" in error.message
    assert "regression" in error.hint


def test_a_score_among_known_labels_is_refused_by_name() -> None:
    with pytest.raises(DataError, match=r"row 1: unknown label 2\.5") as caught:
        indices(2.5, known=("bad", "good"))

    assert "regression" in caught.value.hint


def test_versions_beside_words_are_names() -> None:
    assert names("3.5", "beta", "4.1") == ("3.5", "4.1", "beta")


@pytest.mark.parametrize("label", [str, float, lambda n: f"id-{n}", lambda n: f"a whole text {n}"])
def test_a_column_in_which_no_label_occurs_twice_is_asked_about(label: Any) -> None:
    error = refusal(*map(label, range(120)))

    assert "every text has a different label (120 texts, 120 different labels in 'label')" in (
        error.message
    )
    assert "is this the right column?" in error.message
    assert "--label-column" in error.hint


def test_a_column_in_which_hardly_a_label_occurs_twice_is_asked_about() -> None:
    error = refusal(*(f"id-{number % 100}" for number in range(120)))

    assert "hardly any label occurs twice (120 texts, 100 different labels" in error.message


def test_many_labels_that_occur_twice_are_classes() -> None:
    assert len(names(*(f"intent-{number % 77}" for number in range(2 * 77)))) == 77


# Label sets


@pytest.mark.parametrize(
    "field", ["['rain', 'wind']", '["wind", "rain"]', "rain|wind", ["rain", "wind"]]
)
def test_a_written_out_list_is_a_label_set(field: Any) -> None:
    assert in_sets(field, "sun") == [[1, 0, 1], [0, 1, 0]]
    assert names(field, "sun", task=Task.MULTI_LABEL) == WEATHER


@pytest.mark.parametrize("joined", ["rain, wind", "rain;wind", "rain\twind"])
def test_labels_joined_by_something_else_are_no_label(joined: str) -> None:
    error = refusal("sun", joined, task=Task.MULTI_LABEL)

    assert "data.csv, row 2" in error.message
    assert "expected '|' between them" in error.message
    with pytest.raises(DataError, match="row 1: unknown label"):
        in_sets(joined)


def test_a_comma_belongs_to_a_name_where_the_bar_joins_or_a_list_holds_it() -> None:
    joined = names("trade, tariffs|economy", "economy", task=Task.MULTI_LABEL)
    listed = names(["trade, tariffs"], ["economy"], task=Task.MULTI_LABEL)

    assert joined == listed == ("economy", "trade, tariffs")
    assert in_sets("trade, tariffs", known=("economy", "trade, tariffs")) == [[0, 1]]


def test_a_list_in_a_list_is_no_label() -> None:
    error = refusal(["a"], [["b"]], task=Task.MULTI_LABEL)

    assert "row 2: expected a label in 'label', found a list" in error.message


@pytest.mark.parametrize(
    "hot",
    [
        [0, 1, 1],
        [0.0, 1.0, 1.0],
        [False, True, True],
        "[0, 1, 1]",
        "0|1|1",
        np.array([0, 1, 1]),
        np.array([0, 1, 1], dtype=np.float32),
        ["0", "1", "1"],
    ],
    ids=str,
)
def test_a_list_with_a_zero_or_one_for_each_label_is_multi_hot(hot: Any) -> None:
    assert in_sets(hot) == [[0, 1, 1]]


@pytest.mark.parametrize("rest", [[[1, 1]], [[0, 0], [1, 0]]])
def test_two_labels_are_multi_hot_where_one_row_can_be_nothing_else(rest: list[Any]) -> None:
    assert in_sets([0, 1], *rest, known=("sun", "rain")) == [[0, 1], *rest]


@pytest.mark.parametrize("hot", [[False, True], [0.0, 1.0]])
def test_truth_values_and_floats_are_multi_hot(hot: Any) -> None:
    assert in_sets(hot, known=("sun", "rain")) == [[0, 1]]


def test_two_labels_by_index_are_read_where_a_row_can_be_nothing_else() -> None:
    assert in_sets([0, 1], [1], [], known=("sun", "rain")) == [[1, 1], [0, 1], [0, 0]]


@pytest.mark.parametrize("fields", [[[0, 1]], [[0, 1], [1, 0]], ["[1, 0]"]])
def test_a_list_that_reads_both_ways_is_refused_with_how_to_tell(fields: list[Any]) -> None:
    with pytest.raises(DataError, match=r"data\.csv, row 1: .* can be read in two ways") as caught:
        in_sets(*fields, known=("sun", "rain"))

    assert "true and false" in caught.value.hint


@pytest.mark.parametrize(
    "odd", [[0, 1], [0, 1, 1, 0], [0, 2, 1], ["rain"], "rain", [], ""], ids=str
)
def test_a_row_that_is_not_multi_hot_like_the_others_is_named(odd: Any) -> None:
    with pytest.raises(DataError, match=r"data\.csv, row 2: expected 3 zeros and ones") as caught:
        in_sets([0, 1, 1], odd)

    assert "as data.csv, row 1" in caught.value.message


def test_zeros_and_ones_for_another_number_of_labels_are_refused() -> None:
    with pytest.raises(DataError, match=r"row 1: expected 3 zeros and ones.*found \[0, 1, 1, 0\]"):
        in_sets([0, 1, 1, 0])


def test_multi_hot_labels_without_names_are_refused_with_the_file_that_names_them() -> None:
    error = refusal([0, 1, 1], [1, 0, 0], task=Task.MULTI_LABEL)

    assert "nothing says what the labels are called" in error.message
    assert "labels.json" in error.hint


def test_own_files_of_two_labels_called_by_number_stay_names() -> None:
    # As a run writes them: names joined by a bar.
    assert in_sets("0|1", known=("0", "1")) == [[1, 1]]
    assert not is_multi_hot([("row 1", "0|1")], count=2)


# labels.json


def test_names_in_labels_json_lose_spaces_and_may_follow_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "labels.json").write_bytes(b'\xef\xbb\xbf[" bad ", "good"]')

    assert read_labels(tmp_path / "labels.json") == ("bad", "good")


@pytest.mark.parametrize("content", ['["1", "01"]', '["a", " a "]', '["true", "True", "x"]'])
def test_two_spellings_of_one_label_are_refused_in_labels_json(
    content: str, tmp_path: Path
) -> None:
    (tmp_path / "labels.json").write_text(content)

    with pytest.raises(DataError, match=r"labels\.json: expected at least two different names"):
        read_labels(tmp_path / "labels.json")


@pytest.mark.parametrize("content", ['["a", " "]', '["a", "\\ud800"]'])
def test_a_name_in_labels_json_that_is_none_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "labels.json").write_text(content)

    with pytest.raises(DataError, match=r"labels\.json: "):
        read_labels(tmp_path / "labels.json")


# Known labels in another spelling


def told(*labels: Any, known: tuple[str, ...], **more: Any) -> tuple[list[Any], list[str]]:
    """Indices of labels, and what was said of them."""
    listener = Listener()
    found = to_examples(
        rows(*labels),
        text_column="text",
        label_column="label",
        label_names=known,
        where="data.csv",
        progress=listener,
        **more,
    )
    return found.known_labels().tolist(), listener.said


@pytest.mark.parametrize(
    ("labels", "known", "expected", "said"),
    [
        (("bad", "good"), ("bad", "good"), [0, 1], None),
        ((" Good ", "BAD"), ("bad", "good"), [1, 0], "'Good' = 'good', 'BAD' = 'bad'"),
        (("very  GOOD", "bad"), ("bad", "Very good"), [1, 0], "'very  GOOD' = 'Very good'"),
        (("strasse",), ("Weg", "Straße"), [1], "'strasse' = 'Straße'"),
        (("1", 0.0), ("bad", "good"), [1, 0], "read as indices: 0 = bad, 1 = good"),
        (("1.0",), ("0", "1"), [1], None),
        (("Good", 0), ("bad", "good"), [1, 0], "'Good' = 'good'; labels of the data are read as"),
        (("A", "a"), ("a", "A"), [1, 0], None),
    ],
)
def test_labels_are_found_to_the_letter_else_but_for_case_else_by_index_and_it_is_said(
    labels: tuple[Any, ...], known: tuple[str, ...], expected: list[int], said: str | None
) -> None:
    found, lines = told(*labels, known=known)

    assert found == expected
    assert len(lines) == (said is not None)
    assert (said or "") in "".join(lines)


def test_labels_of_a_set_are_found_but_for_case() -> None:
    found, lines = told("Rain|WIND", ["Sun"], known=WEATHER, task=Task.MULTI_LABEL)

    assert found == [[1, 0, 1], [0, 1, 0]]
    assert "'WIND' = 'wind'" in lines[0]


@pytest.mark.parametrize(
    ("labels", "known"),
    [
        (("good", "bad", "Good"), ("bad", "good")),
        (("GOOD", "bad", "Good"), ("bad", "good")),
        (("x", "y", "Good"), ("GOOD", "good", "x", "y")),
        (("good", "bad", "fine"), ("bad", "good")),
    ],
)
def test_labels_that_do_not_match_one_to_one_are_refused_with_both_sets(
    labels: tuple[str, ...], known: tuple[str, ...]
) -> None:
    with pytest.raises(DataError, match=r"data\.csv, row [13]: unknown label") as caught:
        told(*labels, known=known)

    assert f"expected one of {', '.join(known)}" in caught.value.message
    assert f"found {', '.join(labels)}" in caught.value.message


# Names that look like several


@pytest.mark.parametrize(
    "labels",
    [
        ("rain", "wind", "rain/wind"),
        ("rain", "wind", "rain & wind"),
        ("rain", "wind", "rain|wind", "wind, rain"),
        ("rain", "wind", "rain|wind", "wind;rain"),
        ("sun", '["rain"', 'wind"]'),
        ("sun", "['rain'"),
        ("sun|rain", '"rain'),
    ],
)
def test_labels_of_a_set_that_are_joined_by_another_separator_are_refused(
    labels: tuple[str, ...],
) -> None:
    error = refusal(*labels, task=Task.MULTI_LABEL)

    assert "data.csv, row" in error.message
    assert "expected '|' between them" in error.message


@pytest.mark.parametrize("name", ["sci-fi/fantasy", "R&B", "C++", "rain wind"])
def test_a_label_of_a_set_that_may_be_several_is_read_as_one_and_it_is_said(name: str) -> None:
    listener = Listener()

    found = infer_labels(
        rows("rain", "wind", name),
        column="label",
        where="data.csv",
        task=Task.MULTI_LABEL,
        progress=listener,
    )

    assert set(found) == {"rain", "wind", name}
    assert listener.warned == [
        f"data.csv: {name!r} in 'label' is read as one label: between labels '|' is expected, as "
        "in rain|wind."
    ]


@pytest.mark.parametrize("name", ["rain/wind", "rain, wind", "rain;wind", '["rain"'])
def test_a_single_label_may_hold_a_separator(name: str) -> None:
    assert set(names("rain", "wind", name)) == {"rain", "wind", name}


@pytest.mark.parametrize("name", ["rain/wind", "rain;wind", '["rain"', "rain & wind"])
def test_an_unknown_label_that_may_be_several_is_refused_with_the_separator(name: str) -> None:
    with pytest.raises(DataError, match="unknown label") as caught:
        in_sets(name)

    assert "'|' separates labels" in caught.value.hint


# Truth values, and words for a missing label


@pytest.mark.parametrize(
    "labels",
    [
        ("True", "0"),
        ("yes", "no", "true"),
        ("Yes", "No", "1"),
        (True, False, "no"),
        ("true", "false", "f"),
        ("y", "n", "no"),
        ("maybe", True, 0),
    ],
)
def test_truth_values_in_two_spellings_are_refused(labels: tuple[Any, ...]) -> None:
    error = refusal(*labels)

    assert "data.csv, row" in error.message
    assert "expected one spelling of truth values" in error.message


@pytest.mark.parametrize(
    "labels",
    [
        ("yes", "no"),
        ("True", "FALSE"),
        ("0", "1"),
        ("n", "t"),
        ("no", "sv", "1"),
        ("yes", "true x"),
    ],
)
def test_truth_values_in_one_spelling_and_other_labels_are_classes(labels: tuple[str, ...]) -> None:
    assert set(names(*labels)) == {*labels}


@pytest.mark.parametrize("word", ["None", "null", "NA", "n/a", "#N/A", "-", "?"])
@pytest.mark.parametrize("task", Task)
def test_a_word_for_missing_in_one_row_is_named_with_the_row(word: str, task: Task) -> None:
    error = refusal(*("good", "bad") * 3, word, task=task)

    assert f"data.csv, row 7: {word!r} in 'label' reads as a missing label" in error.message
    assert "labels.json" in error.hint
    assert unlabelled_rows(rows(*("good", "bad") * 3, word), "label", task) == {7}


@pytest.mark.parametrize("labels", [("0", "1", "NA") * 9, (True, False, "none") * 9])
def test_beside_numbers_a_word_for_missing_is_never_a_class(labels: tuple[Any, ...]) -> None:
    assert "row 3: " in refusal(*labels).message


def test_two_words_for_missing_are_no_classes() -> None:
    assert (
        "'NA' in 'label' reads as a missing label" in refusal(*("a", "b", "NA", "null") * 9).message
    )


@pytest.mark.parametrize("word", ["none", "None", "NA", "-"])
def test_a_word_for_missing_that_is_as_frequent_as_a_label_is_one_and_it_is_said(word: str) -> None:
    listener = Listener()
    given = rows(*("against", "favor", word) * 4, "favor")

    found = infer_labels(given, column="label", where="data.csv", progress=listener)

    assert set(found) == {"against", "favor", word}
    assert f"{word!r} in 'label' (4 rows) is read as a label of that name" in listener.warned[0]
    assert not unlabelled_rows(given, "label", Task.SINGLE_LABEL)


def test_a_minus_beside_a_plus_is_a_class() -> None:
    assert names("+", "+", "-") == ("+", "-")


def test_a_word_for_missing_is_a_class_where_the_labels_are_named() -> None:
    assert indices("None", "a", known=("a", "none")) == [1, 0]
    assert not unlabelled_rows(rows("none"), "label", Task.SINGLE_LABEL, names=("a", "none"))
    assert unlabelled_rows(rows("a", "NA"), "label", Task.SINGLE_LABEL, names=("a", "b")) == {2}
    with pytest.raises(DataError, match="row 2: 'NA' in 'label' reads as a missing label"):
        indices("a", "NA", known=("a", "b"))
