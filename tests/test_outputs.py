"""Names of a head's outputs: read from a configuration, and matched with those of the data."""

from typing import Any

import pytest

from edgeadapt.errors import ModelError
from edgeadapt.outputs import (
    Outputs,
    Rows,
    are_placeholders,
    declared_names,
    match_labels,
    match_names,
    match_numbers,
    placeholders,
    rows_for,
)
from edgeadapt.recipe import Task

WHERE = "somewhere/config.json"


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"id2label": {"0": "pos", "1": "neg"}}, ("pos", "neg")),
        ({"id2label": {"1": "neg", "0": "pos"}}, ("pos", "neg")),
        ({"id2label": {1: "neg", 0: "pos"}}, ("pos", "neg")),
        ({"id2label": {str(n): f"n{n}" for n in (10, 2, 1, 0, *range(3, 10))}},
         tuple(f"n{n}" for n in range(11))),
        ({"label2id": {"neg": 1, "pos": 0}}, ("pos", "neg")),
        ({"label2id": {"neg": "1", "pos": "0"}}, ("pos", "neg")),
        ({"id2label": None, "label2id": {"neg": 1, "pos": 0}}, ("pos", "neg")),
        ({"id2label": {"0": "pos", "1": "neg"}, "label2id": {"neg": 1, "pos": 0}}, ("pos", "neg")),
        ({"id2label": {"0": 5, "1": 7}}, ("5", "7")),
        ({"id2label": {"0": "LABEL_0", "1": "LABEL_1"}}, ("LABEL_0", "LABEL_1")),
        ({}, None),
        ({"id2label": {}, "label2id": None}, None),
    ],
)  # fmt: skip
def test_names_are_in_the_order_of_their_indices(
    config: dict[str, Any], expected: tuple[str, ...] | None
) -> None:
    assert declared_names(config, where=WHERE) == expected


@pytest.mark.parametrize(
    "config",
    [
        {"id2label": {"0": "pos", "1": "neg"}, "label2id": {"LABEL_0": 0, "LABEL_1": 1}},
        {"id2label": {"0": "LABEL_0", "1": "LABEL_1"}, "label2id": {"pos": 0, "neg": 1}},
    ],
)
def test_placeholders_beside_names_contradict_nothing(config: dict[str, Any]) -> None:
    assert declared_names(config, where=WHERE) == ("pos", "neg")


@pytest.mark.parametrize(
    "config",
    [
        {"id2label": {"0": "pos", "1": "neg"}, "label2id": {"pos": 1, "neg": 0}},
        {"id2label": {"0": "pos", "1": "neg"}, "label2id": {"yes": 0, "no": 1}},
        {"id2label": {"0": "a", "1": "b", "2": "c"}, "label2id": {"a": 0, "b": 1}},
        {"id2label": {"0": "a", "1": "b"}, "label2id": dict.fromkeys(("LABEL_0",), 0)},
    ],
)
def test_tables_that_contradict_each_other_are_refused_with_both(config: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match="id2label and label2id contradict") as caught:
        declared_names(config, where=WHERE)

    assert WHERE in caught.value.message


@pytest.mark.parametrize("key", ["id2label", "label2id"])
@pytest.mark.parametrize(
    "value",
    [
        ["pos", "neg"],
        "pos",
        {"0": "pos", "2": "neg"},
        {"1": "pos", "2": "neg"},
        {"0": "pos", "one": "neg"},
        {"0": "pos", "-1": "neg"},
        {"0": "pos", "1": "pos"},
        {"0": "pos", "00": "neg"},
        {"0": "pos", "1.0": "neg"},
    ],
)
def test_a_malformed_table_is_refused_by_its_key(key: str, value: object) -> None:
    if key == "label2id" and isinstance(value, dict):
        value = {str(name): index for index, name in value.items()}

    with pytest.raises(ModelError, match=rf"{WHERE}: {key}: expected different names") as caught:
        declared_names({key: value}, where=WHERE)

    assert key in caught.value.hint


@pytest.mark.parametrize("name", [None, True, ["pos"], 1.5])
def test_a_name_that_is_no_text_is_refused(name: object) -> None:
    with pytest.raises(ModelError, match="id2label: expected different names"):
        declared_names({"id2label": {"0": name, "1": "neg"}}, where=WHERE)


def test_a_table_of_another_length_than_the_head_is_refused() -> None:
    with pytest.raises(ModelError, match="indices 0 to 2"):
        declared_names({"label2id": {"a": 0, "b": 1}}, where=WHERE, count=3)


@pytest.mark.parametrize(
    ("config", "count"),
    [({}, 2), ({"num_labels": 3}, 3), ({"_num_labels": 4}, 4), ({"id2label": {"0": "x"}}, 1)],
)
def test_outputs_without_names_are_numbered(config: dict[str, Any], count: int) -> None:
    outputs = Outputs.of(config, where=WHERE)

    assert len(outputs.names) == count
    assert outputs.real is None or config.get("id2label")
    assert outputs.is_regression == (count == 1)


@pytest.mark.parametrize(
    ("problem", "task", "regression"),
    [
        (None, None, False),
        ("single_label_classification", Task.SINGLE_LABEL, False),
        ("multi_label_classification", Task.MULTI_LABEL, False),
        ("regression", None, True),
    ],
)
def test_the_problem_type_is_read(problem: str | None, task: Task | None, regression: bool) -> None:
    outputs = Outputs.of({"problem_type": problem}, where=WHERE)

    assert (outputs.task, outputs.is_regression) == (task, regression)


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"problem_type": "ranking"}, "problem_type"),
        ({"num_labels": "2"}, "num_labels"),
        ({"num_labels": 0}, "num_labels"),
        ({"num_labels": True}, "num_labels"),
        ({"num_labels": 10**9}, "num_labels"),
    ],
)
def test_an_unknown_setting_is_refused_by_name(config: dict[str, Any], named: str) -> None:
    with pytest.raises(ModelError, match=f"{named}: expected"):
        Outputs.of(config, where=WHERE)


@pytest.mark.parametrize("key", ["id2label", "label2id"])
@pytest.mark.parametrize("names", [("a", "b"), ("LABEL_0", "LABEL_1")])
def test_another_number_of_outputs_than_of_names_is_refused_with_both(
    key: str, names: tuple[str, str]
) -> None:
    table = {"0": names[0], "1": names[1]} if key == "id2label" else {names[0]: 0, names[1]: 1}

    with pytest.raises(ModelError, match=rf"num_labels is 3, .* names 2 outputs \({names[0]}, "):
        Outputs.of({key: table, "num_labels": 3}, where=WHERE)
    assert Outputs.of({key: table, "num_labels": 2}, where=WHERE).names == names


@pytest.mark.parametrize("config", [{"num_labels": 1}, {"problem_type": "regression"}])
def test_regression_is_not_labels(config: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match="regression"):
        Outputs.of(config, where=WHERE).check_labels(where=WHERE)


@pytest.mark.parametrize("name", ["", " pos", "pos\n"])
def test_a_name_that_data_files_do_not_keep_is_refused(name: str) -> None:
    outputs = Outputs.of({"id2label": {"0": name, "1": "neg"}}, where=WHERE)

    with pytest.raises(ModelError, match="without spaces around them"):
        outputs.check_labels(where=WHERE)


def test_only_what_transformers_writes_is_a_placeholder() -> None:
    assert are_placeholders(placeholders(12))
    assert not are_placeholders(("LABEL_1", "LABEL_0"))
    assert not are_placeholders(("LABEL_0", "neg"))


@pytest.mark.parametrize(
    ("own", "wanted", "order", "is_noted"),
    [
        (("a", "b"), ("a", "b"), (0, 1), False),
        (("a", "b", "c"), ("c", "a", "b"), (2, 0, 1), False),
        (("Pos", "Neg"), ("neg", "pos"), (1, 0), True),
        (("very  good", "bad"), (" bad", "Very good"), (1, 0), True),
        (("Straße", "Weg"), ("weg", "strasse"), (1, 0), True),
        (("a", "A"), ("A", "a"), (1, 0), False),
    ],
)
def test_names_match_where_it_is_clear_which_is_which(
    own: tuple[str, ...], wanted: tuple[str, ...], order: tuple[int, ...], is_noted: bool
) -> None:
    match = match_names(own, wanted)

    assert match is not None
    assert match.order == order
    assert bool(match.note) == is_noted


@pytest.mark.parametrize(
    ("own", "wanted"),
    [
        (("a", "b"), ("a", "c")),
        (("a", "b", "c"), ("a", "b")),
        (("a", "b"), ("a", "b", "c")),
        (("a", "A"), ("a", "b")),
        (("a", "A", "b"), ("a", "b", "B")),
        (("pos", "neg"), ("positive", "negative")),
    ],
)
def test_other_names_do_not_match(own: tuple[str, ...], wanted: tuple[str, ...]) -> None:
    assert match_names(own, wanted) is None


@pytest.mark.parametrize(
    ("found", "order"),
    [
        (("c", "a"), (2, 0)),
        (("C",), (2,)),
        (("2", "0"), (2, 0)),
        (("c", "C"), None),
        (("a", "d"), None),
        (("0", "3"), None),
        (("0", "a"), None),
    ],
)
def test_some_of_the_labels_match_where_some_may_be_missing(
    found: tuple[str, ...], order: tuple[int, ...] | None
) -> None:
    match = match_labels(("a", "b", "c"), found, some=True)

    assert (match and match.order) == order
    assert match_labels(("a", "b", "c"), found) is None


def test_numbers_are_indices_of_outputs_with_other_names() -> None:
    match = match_numbers(("pos", "neg", "so-so"), ("0", "1", "2"))

    assert match is not None
    assert match.order == (0, 1, 2)
    assert "1 = neg" in match.note


@pytest.mark.parametrize(
    ("own", "wanted"),
    [
        (("pos", "neg"), ("1", "2")),
        (("pos", "neg"), ("0", "1", "2")),
        (("pos", "neg"), ("0", "pos")),
        (("1", "2"), ("0", "1")),
        (("1", "pos"), ("0", "1")),
    ],
)
def test_other_numbers_are_no_indices(own: tuple[str, ...], wanted: tuple[str, ...]) -> None:
    assert match_numbers(own, wanted) is None


@pytest.mark.parametrize(
    ("own", "own_task", "order", "said"),
    [
        (("a", "b"), None, (0, 1), ""),
        (("a", "b"), Task.SINGLE_LABEL, (0, 1), ""),
        (("b", "a"), None, (1, 0), "order a, b"),
        (("b", "A"), None, (1, 0), "case or spaces"),
        (("b", "c"), None, None, "other labels, b, c"),
        (("LABEL_1", "LABEL_0"), None, None, "other labels"),
        (("a", "b", "c"), None, None, "other labels, a, b, c"),
        (("LABEL_0", "LABEL_1"), None, None, "no names for its 2 outputs"),
        (("a", "b"), Task.MULTI_LABEL, None, "multi-label"),
    ],
)
def test_a_head_is_used_where_it_is_for_the_same_labels_and_else_it_is_said_why_not(
    own: tuple[str, ...], own_task: Task | None, order: tuple[int, ...] | None, said: str
) -> None:
    rows = rows_for(own, ("a", "b"), whose="this", own_task=own_task, task=Task.SINGLE_LABEL)

    assert rows.order == order
    assert said in rows.note
    assert bool(rows.note) == bool(said)


def test_numbers_are_the_outputs_of_a_head_with_names_and_of_no_other() -> None:
    def rows(own: tuple[str, ...]) -> Rows:
        return rows_for(own, ("1", "0"), whose="this", own_task=None, task=Task.SINGLE_LABEL)

    assert rows(("neg", "pos")).order == (1, 0)
    assert "0 = neg, 1 = pos" in rows(("neg", "pos")).note
    assert rows(placeholders(2)).order is None


def test_placeholders_match_the_same_placeholders() -> None:
    labels = ("LABEL_1", "LABEL_0")

    rows = rows_for(placeholders(2), labels, whose="this", own_task=None, task=Task.SINGLE_LABEL)

    assert rows.order == (1, 0)
