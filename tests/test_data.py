"""Labelled examples: reading, rejecting with a message that names the place, and splitting."""

import csv
import hashlib
import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from edgeadapt.data import (
    Dataset,
    Examples,
    Rows,
    check_label_names,
    count_shared,
    fingerprint,
    hold_out,
    infer_labels,
    join_labels,
    parse_jsonl,
    read_labels,
    read_rows,
    split_folds,
    text_columns,
    to_examples,
    write_csv,
)
from edgeadapt.errors import DataError
from edgeadapt.recipe import Task

NAMES = ("negative", "positive")
BOM = b"\xef\xbb\xbf"


def csv_file(folder: Path, content: str | bytes) -> Path:
    raw = content.encode() if isinstance(content, str) else content
    (folder / "reviews.csv").write_bytes(raw)
    return folder / "reviews.csv"


def jsonl_file(folder: Path, content: str | bytes) -> Path:
    raw = content.encode() if isinstance(content, str) else content
    (folder / "reviews.jsonl").write_bytes(raw)
    return folder / "reviews.jsonl"


def refusal(path: Path) -> str:
    """Returns the message with which a file is refused."""
    with pytest.raises(DataError) as caught:
        read_rows(path)
    return str(caught.value)


def labelled(rows: Rows, names: tuple[str, ...] = NAMES) -> Examples:
    return to_examples(
        rows, text_column="text", label_column="label", label_names=names, where="reviews.csv"
    )


def row(text: object, label: object) -> dict[str, Any]:
    return {"text": text, "label": label}


def examples(*pairs: tuple[str, int]) -> Examples:
    texts, labels = zip(*pairs, strict=True)
    return Examples(texts, np.asarray(labels, dtype=np.int64))


# CSV


def test_csv_rows_are_read_by_column(tmp_path: Path) -> None:
    path = csv_file(tmp_path, "text,label\ngood film,positive\nbad film,negative\n")

    assert read_rows(path) == [row("good film", "positive"), row("bad film", "negative")]


def test_quoted_newlines_commas_and_quotes_belong_to_the_text(tmp_path: Path) -> None:
    path = csv_file(tmp_path, 'text,label\n"one, ""two""\n\nthree",positive\nbad,negative\n')

    assert read_rows(path) == [row('one, "two"\n\nthree', "positive"), row("bad", "negative")]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_row_may_end_the_way_any_system_ends_it(end: str, tmp_path: Path) -> None:
    path = csv_file(tmp_path, end.join(["text,label", "good,positive", "bad,negative", ""]))

    assert read_rows(path) == [row("good", "positive"), row("bad", "negative")]


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path: Path) -> None:
    path = csv_file(tmp_path, BOM + "text,label\ncafé,positive\n".encode())

    assert read_rows(path) == [row("café", "positive")]


def test_blank_lines_are_no_rows(tmp_path: Path) -> None:
    path = csv_file(tmp_path, "text,label\ngood,positive\n\nbad,negative\n\n\n")

    assert len(read_rows(path)) == 2


def test_a_long_text_is_read_whole(tmp_path: Path) -> None:
    path = csv_file(tmp_path, f"text,label\n{'x' * 300_000},positive\n")

    assert len(read_rows(path)[0]["text"]) == 300_000


@pytest.fixture
def csv_limit() -> Iterator[int]:
    """A limit of the csv module that the test's own process has chosen."""
    before = csv.field_size_limit(50_000)
    yield 50_000
    csv.field_size_limit(before)


@pytest.mark.parametrize("content", ["text,label\ngood,positive\n", 'text\n"' + "x" * 60_000])
def test_reading_leaves_the_csv_modules_own_limit_as_it_was(
    content: str, csv_limit: int, tmp_path: Path
) -> None:
    with suppress(DataError):
        read_rows(csv_file(tmp_path, content))

    assert csv.field_size_limit() == csv_limit


@pytest.mark.parametrize("content", ["good\n", "good,positive,extra\n"])
def test_a_row_with_another_number_of_fields_is_named(content: str, tmp_path: Path) -> None:
    message = refusal(csv_file(tmp_path, f"text,label\nbad,negative\n{content}"))

    assert "reviews.csv, row 2: expected 2 fields" in message


def test_a_quote_that_is_never_closed_does_not_swallow_the_rest(tmp_path: Path) -> None:
    path = csv_file(tmp_path, 'label,text\npositive,"good\nnegative,bad\npositive,fine\n')

    assert "reviews.csv" in refusal(path)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.tuples(st.text(st.characters(codec="utf-8")), st.sampled_from(NAMES)),
        min_size=1,
        max_size=8,
    )
)
@example([('quotes " and, commas\nand lines\r\n', "positive")])
@example([("a carriage return\ralone", "positive")])
def test_what_is_written_as_csv_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, pairs: list[tuple[str, str]]
) -> None:
    path = tmp_path_factory.mktemp("csv") / "reviews.csv"
    texts, labels = zip(*pairs, strict=True)

    write_csv(path, {"text": texts, "label": labels})

    assert read_rows(path) == [row(text, label) for text, label in pairs]


def test_columns_of_different_length_are_not_written_as_csv(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="zip"):
        write_csv(tmp_path / "reviews.csv", {"text": ["a", "b"], "label": ["x"]})


# JSON Lines


def test_json_lines_are_read_one_object_a_line(tmp_path: Path) -> None:
    path = jsonl_file(tmp_path, '{"text": "a\\nb", "label": 1}\r\n\n{"text": "c", "label": 0}')

    assert read_rows(path) == [row("a\nb", 1), row("c", 0)]


def test_only_a_newline_ends_a_json_line(tmp_path: Path) -> None:
    path = jsonl_file(tmp_path, '{"text": "one\u2028two\u0085three", "label": 1}\n')

    assert read_rows(path) == [row("one\u2028two\u0085three", 1)]


def test_json_lines_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    path = jsonl_file(tmp_path, BOM + b'{"text": "good", "label": 1}\n')

    assert read_rows(path) == [row("good", 1)]


@pytest.mark.parametrize(
    ("line", "found"),
    [("{'text': 1}", "not valid JSON"), ('{"text": ', "not valid JSON"), ("[1]", "an object")],
)
def test_a_line_that_is_no_json_object_is_named(line: str, found: str, tmp_path: Path) -> None:
    message = refusal(jsonl_file(tmp_path, f'{{"text": "good", "label": 1}}\n{line}\n'))

    assert "reviews.jsonl, row 2: " in message
    assert found in message


# What cannot be read


@pytest.mark.parametrize("name", ["reviews.csv", "reviews.jsonl"])
def test_a_missing_file_is_named(name: str, tmp_path: Path) -> None:
    assert f"{tmp_path / name} does not exist" in refusal(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "found"),
    [("reviews.xlsx", "'.xlsx'"), ("reviews.csv.gz", "'.gz'"), ("reviews", "'no extension'")],
)
def test_a_file_of_another_kind_is_refused(name: str, found: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("text,label\ngood,positive\n")

    assert f"{name}: expected a .csv, .tsv, .jsonl, .ndjson, .json file, found {found}" in refusal(
        tmp_path / name
    )


@pytest.mark.parametrize("content", ["", "\n", "text,label\n", "text,label\n\n", BOM])
def test_a_csv_file_without_rows_is_refused(content: str | bytes, tmp_path: Path) -> None:
    message = refusal(csv_file(tmp_path, content))

    assert "reviews.csv holds no examples: expected at least one row, found none" in message


@pytest.mark.parametrize("content", ["", "\n \n", BOM])
def test_a_json_lines_file_without_rows_is_refused(content: str | bytes, tmp_path: Path) -> None:
    assert "reviews.jsonl holds no examples" in refusal(jsonl_file(tmp_path, content))


@pytest.mark.parametrize("mark", [b"", BOM], ids=["plain", "bom"])
@pytest.mark.parametrize(
    ("before", "number"),
    [
        ("text,label\n", 1),
        ("text,label\ngood,positive\n", 2),
        ("text,label\ngood,positive\nshort ", 2),
        ('text,label\n"two\nlines",positive\n"three\n\n', 2),
        ("text,label\ngood,positive\n\n\n", 2),
    ],
    ids=["first", "row-start", "inside", "quoted-newlines", "after-blank-lines"],
)
def test_a_csv_row_in_another_encoding_is_named(
    before: str, number: int, mark: bytes, tmp_path: Path
) -> None:
    raw = mark + before.encode() + "était,negative\n".encode("latin1")

    message = refusal(csv_file(tmp_path, raw))

    assert f"reviews.csv, row {number}: expected UTF-8, found the byte 0xe9" in message
    assert "iconv" in message


@pytest.mark.parametrize("mark", [b"", BOM], ids=["plain", "bom"])
@pytest.mark.parametrize("lines_before", [0, 1, 3])
def test_a_json_line_in_another_encoding_is_named(
    lines_before: int, mark: bytes, tmp_path: Path
) -> None:
    good = b'{"text": "good", "label": 1}\n'
    raw = mark + good * lines_before + '{"text": "été"}\n'.encode("latin1") + good

    message = refusal(jsonl_file(tmp_path, raw))

    assert f"reviews.jsonl, row {lines_before + 1}: expected UTF-8, found the byte 0xe9" in message


def test_a_header_in_another_encoding_is_not_called_row_zero(tmp_path: Path) -> None:
    message = refusal(csv_file(tmp_path, "text,qualité\ngood,positive\n".encode("latin1")))

    assert "header" in message
    assert "row 0" not in message


def test_a_row_has_one_number_whoever_refuses_it(tmp_path: Path) -> None:
    good = '{"text": "good", "label": 1}\n\n'
    unknown = read_rows(jsonl_file(tmp_path, good + '{"text": "bad", "label": 7}\n'))
    with pytest.raises(DataError) as caught:
        labelled(unknown)
    broken = refusal(jsonl_file(tmp_path, good + '{"text": \n'))

    assert "row 2" in str(caught.value)
    assert "row 2" in broken


# Labels


def test_names_are_inferred_in_alphabetical_order() -> None:
    rows = [row("a", "positive"), row("b", " negative "), row("c", "positive")]

    assert infer_labels(rows, column="label", where="reviews.csv") == ("negative", "positive")


def test_numbers_are_inferred_in_numeric_order() -> None:
    rows = [row("a", label) for label in ("10", 9, "2", -1)]

    assert infer_labels(rows, column="label", where="reviews.csv") == ("-1", "2", "9", "10")


def test_a_single_label_is_refused_and_named() -> None:
    with pytest.raises(DataError) as caught:
        infer_labels([row("a", "good"), row("b", "good ")], column="label", where="reviews.csv")

    assert "reviews.csv: every example has the label 'good'" in str(caught.value)
    assert "at least two labels" in str(caught.value)


@pytest.mark.parametrize("label", ["", "  ", None])
def test_a_row_without_a_label_is_named_instead_of_making_a_label_of_its_own(
    label: object,
) -> None:
    rows = [row("a", "good"), row("b", label), row("c", "bad")]

    with pytest.raises(DataError, match=r"reviews\.csv, row 2"):
        infer_labels(rows, column="label", where="reviews.csv")


def test_a_missing_label_column_is_named_with_the_columns_there_are() -> None:
    with pytest.raises(DataError) as caught:
        infer_labels([row("a", "good")], column="stars", where="reviews.csv")

    assert "reviews.csv: no column 'stars': found text, label" in str(caught.value)
    assert caught.value.hint == "Name the column with --label-column."


@pytest.mark.parametrize(
    ("header", "named"), [("text;label", "semicolons"), ("text\tlabel", "tabs")]
)
def test_another_separator_than_the_comma_is_recognized(header: str, named: str) -> None:
    with pytest.raises(DataError, match="no column") as caught:
        infer_labels([{header: "good"}], column="label", where="reviews.csv")

    assert named in caught.value.hint
    assert "commas" in caught.value.hint


def test_labels_json_gives_names_in_their_order(tmp_path: Path) -> None:
    (tmp_path / "labels.json").write_text('["schlecht", "gut", "über"]', encoding="utf-8")

    assert read_labels(tmp_path / "labels.json") == ("schlecht", "gut", "über")


@pytest.mark.parametrize("raw", [b"", b"['a', 'b']", b'["a", "b"', b'["\xff", "b"]'])
def test_labels_json_that_is_no_json_is_named(raw: bytes, tmp_path: Path) -> None:
    (tmp_path / "labels.json").write_bytes(raw)

    with pytest.raises(DataError, match=r"labels\.json is not valid JSON"):
        read_labels(tmp_path / "labels.json")


@pytest.mark.parametrize("value", [{"0": "a", "1": "b"}, "ab", [0, 1], ["a", None], None])
def test_labels_json_that_is_no_list_of_names_is_refused(value: object, tmp_path: Path) -> None:
    (tmp_path / "labels.json").write_text(json.dumps(value))

    with pytest.raises(DataError, match=r"labels\.json: expected a list of names"):
        read_labels(tmp_path / "labels.json")


@pytest.mark.parametrize("names", [[], ["a"], ["a", "b", "a"]])
def test_labels_json_needs_two_different_names(names: list[str], tmp_path: Path) -> None:
    (tmp_path / "labels.json").write_text(json.dumps(names))

    with pytest.raises(DataError) as caught:
        read_labels(tmp_path / "labels.json")

    assert f"labels.json: expected at least two different names, found {names}" in str(caught.value)


# Examples


@pytest.mark.parametrize("label", ["positive", " positive ", "1", 1])
def test_a_label_is_a_name_or_an_index(label: object) -> None:
    assert labelled([row("good", label)]).known_labels().tolist() == [1]


def test_a_name_counts_before_an_index() -> None:
    found = labelled([row("a", "1"), row("b", "0")], names=("1", "0"))

    assert found.known_labels().tolist() == [0, 1]


@pytest.mark.parametrize("label", ["neutral", "Positive", "2", 2, -1, 1.5])
def test_a_row_with_an_unknown_label_is_named(label: object) -> None:
    with pytest.raises(DataError) as caught:
        labelled([row("good", "positive"), row("so-so", label)])

    assert f"reviews.csv, row 2: unknown label {label!r}" in str(caught.value)
    assert "expected one of negative, positive, or an index from 0 to 1" in str(caught.value)


@pytest.mark.parametrize("label", ["", " ", None, math.nan, "nan", np.float32("nan")])
def test_a_row_with_a_missing_label_is_named_with_its_column(label: object) -> None:
    with pytest.raises(DataError) as caught:
        labelled([row("good", "positive"), row("so-so", label)])

    assert (
        "reviews.csv, row 2: the label in 'label' is empty: expected one of negative, positive"
        in (caught.value.message)
    )
    assert f"index from 0 to 1, found {label!r}." in caught.value.message
    assert "labels.json" not in caught.value.hint


def test_many_known_labels_are_not_all_listed() -> None:
    names = tuple(f"intent-{number}" for number in range(150))

    with pytest.raises(DataError) as caught:
        labelled([row("good", "positive")], names)

    assert "intent-9, … (150 in all)" in str(caught.value)
    assert "intent-10" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "   ", "\n\t"])
def test_a_row_with_an_empty_text_is_named(text: str) -> None:
    with pytest.raises(DataError, match=r"reviews\.csv, row 3: the text is empty"):
        labelled([row("a", "positive"), row("b", "negative"), row(text, "positive")])


@pytest.mark.parametrize("text", [None, 5, ["good"], {"en": "good"}])
def test_a_row_whose_text_is_no_text_is_named(text: object) -> None:
    with pytest.raises(DataError) as caught:
        labelled([row("a", "positive"), row(text, "positive")])

    assert f"reviews.csv, row 2: expected a text in 'text', found {text!r}" in str(caught.value)


def test_half_a_character_in_a_text_is_named(tmp_path: Path) -> None:
    # What is left of an emoji when a text is cut between its two escapes.
    path = jsonl_file(tmp_path, '{"text": "a", "label": 1}\n{"text": "b \\ud83d", "label": 0}\n')

    with pytest.raises(DataError, match="row 2"):
        labelled(read_rows(path))


def test_texts_are_kept_as_they_are() -> None:
    found = labelled([row("  Good\nFilm ", "positive")])

    assert found.texts == ("  Good\nFilm ",)


@pytest.mark.parametrize(
    ("text_column", "label_column", "missing", "option"),
    [("review", "label", "review", "--text-column"), ("text", "stars", "stars", "--label-column")],
)
def test_a_missing_column_is_named_with_the_columns_there_are(
    text_column: str, label_column: str, missing: str, option: str
) -> None:
    with pytest.raises(DataError) as caught:
        to_examples(
            [row("a", "positive")],
            text_column=text_column,
            label_column=label_column,
            label_names=NAMES,
            where="reviews.csv",
        )

    assert f"reviews.csv: no column {missing!r}: found text, label" in str(caught.value)
    assert option in caught.value.hint


def test_a_row_that_lacks_a_column_of_the_others_is_named() -> None:
    with pytest.raises(DataError, match=r"row 2.*'label'"):
        labelled([row("a", "positive"), {"text": "b"}, row("c", "negative")])


def test_without_a_label_column_examples_have_no_labels() -> None:
    found = to_examples(
        [{"text": "a"}], text_column="text", label_column=None, label_names=NAMES, where="a.csv"
    )

    assert found.texts == ("a",)
    with pytest.raises(DataError, match="no labels"):
        found.known_labels()


def test_examples_are_taken_in_the_order_asked_for() -> None:
    taken = examples(("a", 0), ("b", 1), ("c", 0)).take([2, 1])

    assert taken.texts == ("c", "b")
    assert taken.known_labels().tolist() == [0, 1]


def test_examples_without_labels_can_be_taken_too() -> None:
    taken = Examples(("a", "b")).take([1])

    assert taken.texts == ("b",)
    assert taken.labels is None


@pytest.mark.parametrize(
    ("count", "found"), [(0, ()), (1, ("a",)), (2, ("a", "b")), (9, ("a", "b"))]
)
def test_the_first_examples_are_at_most_all_of_them(count: int, found: tuple[str, ...]) -> None:
    first = examples(("a", 0), ("b", 1)).first(count)

    assert first.texts == found
    assert len(first) == len(first.known_labels()) == len(found)


# Holding out

FRACTIONS = st.floats(0.05, 0.95)
DIFFERENT = st.lists(st.integers(0, 2), min_size=2, max_size=60).map(
    lambda labels: examples(*((f"text {n}", label) for n, label in enumerate(labels)))
)
"""Different texts of up to three labels."""


def repeated(picks: list[tuple[int, int]]) -> Examples:
    """Texts of which some differ only in case and spaces; the same text has the same label."""
    variants = ("good film {}", "Good FILM {}", " good\tfilm  {}\n")
    return examples(*((variants[form].format(text), text % 3) for text, form in picks))


REPEATED = st.lists(st.tuples(st.integers(0, 11), st.integers(0, 2)), min_size=2, max_size=40).map(
    repeated
)


def key(text: str) -> str:
    return " ".join(text.lower().split())


def different_texts(pool: Examples) -> dict[int, Counter[str]]:
    """Label -> how often each of its texts occurs."""
    found: dict[int, Counter[str]] = defaultdict(Counter)
    for text, label in zip(pool.texts, pool.known_labels().tolist(), strict=True):
        found[label][key(text)] += 1
    return found


@settings(max_examples=50, deadline=None)
@given(pool=DIFFERENT, fraction=FRACTIONS, seed=st.integers(0, 99))
def test_the_share_held_out_is_the_same_for_every_label(
    pool: Examples, fraction: float, seed: int
) -> None:
    counts = Counter(pool.known_labels().tolist())
    assume(max(counts.values()) > 1)

    _, held = hold_out(pool, fraction, seed=seed)

    expected = {
        label: min(max(1, round(fraction * count)), count - 1) for label, count in counts.items()
    }
    found = Counter(held.known_labels().tolist())
    assert found == Counter(expected)


@settings(max_examples=50, deadline=None)
@given(pool=REPEATED, fraction=FRACTIONS, seed=st.integers(0, 99))
def test_holding_out_loses_nothing_and_keeps_the_order(
    pool: Examples, fraction: float, seed: int
) -> None:
    assume(any(len(texts) > 1 for texts in different_texts(pool).values()))
    pairs = list(zip(pool.texts, pool.known_labels().tolist(), strict=True))

    sides = hold_out(pool, fraction, seed=seed)

    found = [list(zip(s.texts, s.known_labels().tolist(), strict=True)) for s in sides]
    assert Counter(found[0]) + Counter(found[1]) == Counter(pairs)
    for side in found:
        remaining = iter(pairs)
        assert all(pair in remaining for pair in side)


@settings(max_examples=50, deadline=None)
@given(pool=REPEATED, fraction=FRACTIONS, seed=st.integers(0, 99))
def test_the_same_text_is_never_on_both_sides(pool: Examples, fraction: float, seed: int) -> None:
    assume(any(len(texts) > 1 for texts in different_texts(pool).values()))

    kept, held = hold_out(pool, fraction, seed=seed)

    assert {key(text) for text in kept.texts}.isdisjoint(key(text) for text in held.texts)
    assert count_shared(kept, held) == 0


@settings(max_examples=50, deadline=None)
@given(pool=REPEATED, fraction=FRACTIONS, seed=st.integers(0, 99))
def test_a_label_with_two_different_texts_is_on_both_sides(
    pool: Examples, fraction: float, seed: int
) -> None:
    texts = different_texts(pool)
    splittable = {label for label, found in texts.items() if len(found) > 1}
    assume(splittable)

    kept, held = hold_out(pool, fraction, seed=seed)

    assert set(held.known_labels().tolist()) == splittable
    assert set(kept.known_labels().tolist()) == set(texts)


@settings(max_examples=50, deadline=None)
@given(pool=REPEATED, fraction=FRACTIONS, seed=st.integers(0, 99))
def test_repeated_texts_do_not_inflate_the_share_by_more_than_one_of_them(
    pool: Examples, fraction: float, seed: int
) -> None:
    texts = different_texts(pool)
    assume(any(len(found) > 1 for found in texts.values()))

    _, held = hold_out(pool, fraction, seed=seed)

    for label, count in Counter(held.known_labels().tolist()).items():
        target = max(1, round(fraction * texts[label].total()))
        assert count < target + max(texts[label].values())


def test_holding_out_is_seeded() -> None:
    pool = examples(*((f"text {number}", number % 2) for number in range(100)))

    first, again, other = (hold_out(pool, 0.2, seed=seed)[1].texts for seed in (7, 7, 8))

    assert first == again
    assert first != other


@pytest.mark.parametrize(
    "pool",
    [
        examples(("good", 0), ("bad", 1)),
        examples(("good", 0), ("Good ", 0), ("bad", 1), (" BAD", 1)),
        examples(("good", 0)),
    ],
)
def test_too_few_different_texts_are_refused(pool: Examples) -> None:
    with pytest.raises(DataError) as caught:
        hold_out(pool, 0.5, seed=0)

    different = len({key(text) for text in pool.texts})
    assert f"Too few different texts ({different})" in str(caught.value)
    assert "expected at least two of a label" in str(caught.value)


def test_examples_without_labels_cannot_be_held_out() -> None:
    with pytest.raises(DataError, match="no labels"):
        hold_out(Examples(("a", "b")), 0.5, seed=0)


# Cross-validation

PARTS = st.integers(2, 5)


@settings(max_examples=50, deadline=None)
@given(pool=REPEATED, count=PARTS, seed=st.integers(0, 99))
def test_every_row_is_in_one_part_and_the_same_texts_in_the_same(
    pool: Examples, count: int, seed: int
) -> None:
    assume(len({key(text) for text in pool.texts}) >= count)

    parts = split_folds(pool, count, seed=seed)

    assert sorted(row for part in parts for row in part) == list(range(len(pool)))
    where = defaultdict(set)
    for number, part in enumerate(parts):
        for row in part:
            where[key(pool.texts[row])].add(number)
    assert all(len(numbers) == 1 for numbers in where.values())


@settings(max_examples=50, deadline=None)
@given(pool=DIFFERENT, count=PARTS, seed=st.integers(0, 99))
def test_the_parts_of_each_frequent_label_differ_by_one_at_most(
    pool: Examples, count: int, seed: int
) -> None:
    assume(len(pool) >= count)
    labels = pool.known_labels()

    parts = split_folds(pool, count, seed=seed)

    assert all(parts)
    for label, total in Counter(labels.tolist()).items():
        if total >= count:
            sizes = [int((labels[part] == label).sum()) for part in parts]
            assert max(sizes) - min(sizes) <= 1


def test_parts_are_drawn_anew_by_another_seed() -> None:
    pool = examples(*((f"text {n}", n % 2) for n in range(40)))

    first, again, other = (split_folds(pool, 4, seed=seed) for seed in (7, 7, 8))

    assert first == again != other


def test_more_parts_than_texts_are_refused() -> None:
    with pytest.raises(DataError, match="for 3 parts: expected as many, found 2") as caught:
        split_folds(examples(("a", 0), ("A ", 0), ("b", 1)), 3, seed=0)

    assert "--folds" in caught.value.hint


# Shared texts and fingerprints


def test_shared_texts_are_counted_on_the_right_case_and_spaces_aside() -> None:
    left = Examples(("Good film", "bad film"))
    right = Examples(("good  FILM ", "good film", "goodfilm", "fine film"))

    assert count_shared(left, right) == 2
    assert count_shared(right, left) == 1


SPLITS = ("train", "validation", "test")


def dataset(*, train: Examples | None = None) -> Dataset:
    return Dataset(
        train=train or examples(("a", 0), ("b", 1), ("c", 1)),
        validation=examples(("d", 0), ("e", 1)),
        test=examples(("f", 0), ("g", 1)),
        label_names=NAMES,
    )


def test_equal_data_has_an_equal_fingerprint() -> None:
    assert fingerprint(dataset()) == fingerprint(dataset())
    assert len(fingerprint(dataset())) == hashlib.sha256().digest_size * 2


@settings(max_examples=50, deadline=None)
@given(split=st.sampled_from(SPLITS), position=st.integers(0, 1), text=st.text())
def test_the_fingerprint_changes_with_any_text(split: str, position: int, text: str) -> None:
    original: Examples = getattr(dataset(), split)
    assume(text != original.texts[position])
    texts = list(original.texts)
    texts[position] = text

    changed = replace(dataset(), **{split: replace(original, texts=tuple(texts))})

    assert fingerprint(changed) != fingerprint(dataset())


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("position", [0, 1])
def test_the_fingerprint_changes_with_any_label(split: str, position: int) -> None:
    original: Examples = getattr(dataset(), split)
    labels = original.known_labels().copy()
    labels[position] = 1 - labels[position]

    changed = replace(dataset(), **{split: replace(original, labels=labels)})

    assert fingerprint(changed) != fingerprint(dataset())


@pytest.mark.parametrize(
    "changed",
    [
        replace(dataset(), label_names=("positive", "negative")),
        replace(dataset(), label_names=("negative", "good")),
        replace(dataset(), validation=dataset().test, test=dataset().validation),
        replace(dataset(), test=Examples(("f", "g"))),
        dataset(train=examples(("b", 1), ("a", 0), ("c", 1))),
        dataset(train=examples(("a", 0), ("b", 1))),
        dataset(train=examples(("ab", 0), ("", 1), ("c", 1))),
        replace(
            dataset(),
            train=examples(("a", 0), ("b", 1)),
            validation=examples(("c", 1), ("d", 0), ("e", 1)),
        ),
    ],
    ids=["names", "a-name", "splits", "unlabelled", "order", "fewer", "joined", "moved"],
)
def test_the_fingerprint_changes_with_everything_else(changed: Dataset) -> None:
    assert fingerprint(changed) != fingerprint(dataset())


# Pairs


def paired(rows: Rows) -> Examples:
    return to_examples(
        rows,
        text_column="first",
        text_pair_column="second",
        label_column=None,
        label_names=(),
        where="pairs.csv",
    )


def test_the_texts_of_a_pair_come_from_two_columns() -> None:
    found = paired([{"first": "a", "second": "b"}, {"second": "d", "first": "c"}])

    assert found.texts == (("a", "b"), ("c", "d"))


def test_a_missing_column_of_second_texts_is_named_with_its_option() -> None:
    with pytest.raises(DataError, match=r"pairs\.csv: no column 'second': found first") as caught:
        paired([{"first": "a"}])

    assert "--text-pair-column" in caught.value.hint


@pytest.mark.parametrize(("first", "second", "column"), [(" ", "b", "first"), ("a", "", "second")])
def test_an_empty_text_of_a_pair_is_named_with_its_column(
    first: str, second: str, column: str
) -> None:
    with pytest.raises(DataError, match=f"row 1: the text is empty in '{column}'"):
        paired([{"first": first, "second": second}])


def test_texts_and_pairs_become_columns() -> None:
    assert text_columns(["a", "b"]) == {"text": ("a", "b")}
    assert text_columns([("a", "b"), ("c", "d")]) == {"text": ("a", "c"), "text_pair": ("b", "d")}


def test_a_pair_is_shared_where_both_texts_are_in_that_order() -> None:
    left = Examples((("A film", "good"), ("a", "b")))
    right = Examples((("a  film", "Good"), ("good", "a film"), ("a", "c"), ("a b", "")))

    assert count_shared(left, right) == 1


def test_the_same_pair_is_never_on_both_sides() -> None:
    texts = tuple((f"text {n % 7}", f"other {n % 5}") for n in range(200))
    pool = Examples(texts, np.arange(200) % 2)

    kept, held = hold_out(pool, 0.3, seed=0)

    assert len(held) > 0
    assert not set(kept.texts) & set(held.texts)


def test_the_fingerprint_tells_a_pair_from_its_texts_swapped() -> None:
    def of(*text: str) -> str:
        split = Examples(((text[0], text[1]),), np.asarray([0]))
        return fingerprint(Dataset(split, split, split, NAMES))

    assert of("a", "b") != of("b", "a")
    assert of("a", "b") == of("a", "b")


def test_json_lines_need_no_file() -> None:
    assert parse_jsonl(BOM + b'{"a": 1}\n\n{"a": 2}\n', where="x") == [{"a": 1}, {"a": 2}]
    with pytest.raises(DataError, match="standard input, row 2: expected an object"):
        parse_jsonl(b'{"a": 1}\n3\n', where="standard input")


# Multi-label

WEATHER = ("rain", "sun", "wind")


def in_sets(*labels: object, names: tuple[str, ...] = WEATHER) -> list[list[int]]:
    found = to_examples(
        [row("text", label) for label in labels],
        text_column="text",
        label_column="label",
        label_names=names,
        task=Task.MULTI_LABEL,
        where="weather.csv",
    )
    assert found.labels is not None
    assert found.labels.dtype == np.int64
    return [list(map(int, sets)) for sets in found.labels]


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("rain|wind", [1, 0, 1]),
        (" wind | rain ", [1, 0, 1]),
        ("sun", [0, 1, 0]),
        ("", [0, 0, 0]),
        (" ", [0, 0, 0]),
        ("0|2", [1, 0, 1]),
        (["wind", "rain"], [1, 0, 1]),
        (["sun", "sun"], [0, 1, 0]),
        ([0, 1], [1, 1, 0]),
        ([], [0, 0, 0]),
        (("sun",), [0, 1, 0]),
        (2, [0, 0, 1]),
    ],
)
def test_a_field_holds_any_number_of_labels(label: object, expected: list[int]) -> None:
    assert in_sets(label) == [expected]


def test_where_labels_are_numbers_they_are_names_not_indices() -> None:
    assert in_sets([10, 30], "20", names=("10", "20", "30")) == [[1, 0, 1], [0, 1, 0]]


@pytest.mark.parametrize(
    ("label", "shown"),
    [
        ("rain|snow", "'snow'"),
        (["rain", "snow"], "'snow'"),
        ([3], "3"),
        ([["rain"]], r"\['rain'\]"),
    ],
)
def test_an_unknown_label_of_a_set_is_named(label: object, shown: str) -> None:
    with pytest.raises(DataError, match=f"row 2: unknown label {shown}: expected one of rain, sun"):
        in_sets("rain", label)


@pytest.mark.parametrize(
    ("label", "shown"),
    [("rain||sun", "''"), (None, "None"), ([None], "None"), (math.nan, "nan"), ("nan", "'nan'")],
)
def test_a_missing_label_of_a_set_is_named_with_its_column(label: object, shown: str) -> None:
    with pytest.raises(
        DataError, match=f"row 2: the label in 'label' is empty: expected .*, found {shown}"
    ):
        in_sets("rain", label)


@pytest.mark.parametrize("label", [["positive"], ["positive", "negative"], [], (0,)])
def test_a_list_where_one_label_is_expected_is_refused_with_the_option(label: object) -> None:
    rows = [row("good", "positive"), row("so-so", label)]

    for read in (
        lambda: labelled(rows),
        lambda: infer_labels(rows, column="label", where="reviews.csv"),
    ):
        with pytest.raises(DataError, match="row 2: expected one label, found a list") as caught:
            read()
        assert "--multi-label" in caught.value.hint


def test_label_names_are_those_of_all_sets() -> None:
    rows = [row("a", ["wind", "rain"]), row("b", ""), row("c", "sun|rain")]

    found = infer_labels(rows, column="label", where="weather", task=Task.MULTI_LABEL)

    assert found == WEATHER


@pytest.mark.parametrize("label", [None, [None], [" "], "rain|"])
def test_an_empty_label_in_a_set_is_named(label: object) -> None:
    rows = [row("a", "sun|rain"), row("b", label)]

    with pytest.raises(DataError, match="weather, row 2: the label in 'label' is empty"):
        infer_labels(rows, column="label", where="weather", task=Task.MULTI_LABEL)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=1, max_size=20))
def test_label_sets_survive_being_joined(sets: list[list[bool]]) -> None:
    assert in_sets(*join_labels(np.asarray(sets), WEATHER)) == [list(map(int, s)) for s in sets]


@pytest.mark.parametrize("name", ["a|b", "", " a", "a "])
def test_a_name_that_cannot_be_joined_is_refused(name: str) -> None:
    with pytest.raises(DataError, match=r"weather: the label .* cannot be used with --multi-label"):
        check_label_names(("sun", name), where="weather")


def test_the_share_held_out_is_the_same_for_every_label_set() -> None:
    sets = [(1, 0, 0)] * 100 + [(1, 1, 0)] * 60 + [(0, 0, 0)] * 40
    pool = Examples(tuple(f"text {n}" for n in range(len(sets))), np.asarray(sets))

    kept, held = hold_out(pool, 0.2, seed=0)

    assert Counter(map(tuple, held.known_labels().tolist())) == {
        (1, 0, 0): 20,
        (1, 1, 0): 12,
        (0, 0, 0): 8,
    }
    assert kept.known_labels().shape == (160, 3)


def test_label_sets_with_too_few_texts_are_held_out_together() -> None:
    # Every set occurs once or twice: alone, none of them could give a tenth.
    sets = [[int(digit) for digit in f"{n % 100:07b}"] for n in range(150)]
    pool = Examples(tuple(f"text {n}" for n in range(150)), np.asarray(sets))

    kept, held = hold_out(pool, 0.1, seed=0)

    assert (len(kept), len(held)) == (135, 15)
