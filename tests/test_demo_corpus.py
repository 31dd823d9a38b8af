"""The embedded reviews: balanced, varied, clean, and no text leaks from one split to another."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.resources import files
from itertools import combinations
from pathlib import Path

import pytest

from edgeadapt.data import Rows, read_labels, read_rows, to_examples

FOLDER = Path(str(files("edgeadapt"))) / "demo"
SIZES = {"train": 1_100, "validation": 200, "test": 300}
KINDS = {"plain", "negation", "contrast", "sarcasm", "mixed", "implicit"}
LABELS = ("negative", "positive")

every_split = pytest.mark.parametrize("split", SIZES)
every_pair_of_splits = pytest.mark.parametrize(("left", "right"), list(combinations(SIZES, 2)))


@cache
def rows(split: str) -> Rows:
    return read_rows(FOLDER / f"{split}.csv")


def texts(split: str) -> tuple[str, ...]:
    return tuple(row["text"] for row in rows(split))


def words(text: str) -> tuple[str, ...]:
    return tuple(re.findall(r"[^\W_]+(?:'[^\W_]+)*", text.lower()))


def runs(text: str, length: int) -> set[tuple[str, ...]]:
    """Every run of ``length`` words in a row."""
    found = words(text)
    return {found[at : at + length] for at in range(len(found) - length + 1)}


def shared_runs(left: Iterable[str], right: Iterable[str], length: int) -> set[str]:
    """Runs of words that occur on both sides."""
    known = {run for text in left for run in runs(text, length)}
    return {" ".join(run) for text in right for run in runs(text, length) if run in known}


def most_alike(left: Sequence[str], right: Sequence[str]) -> tuple[float, str, str]:
    """The largest Jaccard similarity of two texts' runs of 3 words, and the two texts."""
    best = (0.0, "", "")
    others = [(text, runs(text, 3)) for text in right]
    for text in left:
        own = runs(text, 3)
        for other, theirs in others:
            if shared := len(own & theirs):
                best = max(best, (shared / (len(own) + len(theirs) - shared), text, other))
    return best


# What is there


def test_the_labels_are_negative_and_positive() -> None:
    assert read_labels(FOLDER / "labels.json") == LABELS


@every_split
def test_a_split_has_its_size(split: str) -> None:
    assert len(rows(split)) == SIZES[split]


@every_split
def test_a_split_has_the_four_columns_filled_in(split: str) -> None:
    assert all(list(row) == ["text", "label", "domain", "kind"] for row in rows(split))
    assert all(value and value == value.strip() for row in rows(split) for value in row.values())


@every_split
def test_a_split_is_read_as_examples(split: str) -> None:
    found = to_examples(
        rows(split), text_column="text", label_column="label", label_names=LABELS, where=split
    )

    assert len(found) == SIZES[split]


@every_split
def test_half_of_a_split_has_each_label(split: str) -> None:
    assert Counter(row["label"] for row in rows(split)) == dict.fromkeys(LABELS, SIZES[split] // 2)


@every_split
def test_a_split_covers_at_least_six_domains(split: str) -> None:
    assert len({row["domain"] for row in rows(split)}) >= 6


def test_every_split_covers_the_same_domains() -> None:
    domains = [{row["domain"] for row in rows(split)} for split in SIZES]

    assert domains[0] == domains[1] == domains[2]


@every_split
@pytest.mark.parametrize("label", LABELS)
def test_each_label_has_texts_of_every_kind(split: str, label: str) -> None:
    assert {row["kind"] for row in rows(split) if row["label"] == label} == KINDS


@every_split
def test_the_domain_does_not_give_the_label_away(split: str) -> None:
    labels = Counter((row["domain"], row["label"]) for row in rows(split))

    assert all(labels[row["domain"], label] for row in rows(split) for label in LABELS)


# How it is written


@every_split
def test_quotes_and_dashes_are_plain_ascii(split: str) -> None:
    # Letters such as the one in café may stay.
    other = {c for text in texts(split) for c in text if not (c.isascii() or c.isalpha())}

    assert other == set()


@every_split
def test_a_text_is_one_line_of_single_spaces(split: str) -> None:
    assert [text for text in texts(split) if text != " ".join(text.split())] == []


@every_split
def test_a_text_has_at_least_three_words(split: str) -> None:
    assert [text for text in texts(split) if len(words(text)) < 3] == []


# No text twice


def test_no_text_occurs_twice_case_and_punctuation_aside() -> None:
    counts = Counter(words(text) for split in SIZES for text in texts(split))

    assert [" ".join(found) for found, count in counts.items() if count > 1] == []


@every_pair_of_splits
def test_no_run_of_eight_words_is_in_two_splits(left: str, right: str) -> None:
    assert shared_runs(texts(left), texts(right), 8) == set()


@every_pair_of_splits
def test_no_two_texts_of_different_splits_are_near_duplicates(left: str, right: str) -> None:
    similarity, text, other = most_alike(texts(left), texts(right))

    assert similarity <= 0.5, (text, other)


# The checks themselves


def test_the_check_for_runs_finds_a_sentence_that_was_taken_over() -> None:
    original = next(text for text in texts("train") if len(words(text)) >= 8)
    taken = " ".join(words(original)[:8]).upper()
    copy = f"My neighbour told me this, word for word: {taken}! I could only nod."

    found = shared_runs(texts("train"), [*texts("test"), copy], 8)

    assert found == {taken.lower()}


def test_the_check_for_runs_lets_seven_words_pass() -> None:
    left = "one two three four five six seven and more"
    right = "one two three four five six seven or less"

    assert shared_runs([left], [right], 8) == set()
    assert shared_runs([left], [right], 7) == {"one two three four five six seven"}


@pytest.mark.parametrize("split", ["validation", "test"])
def test_the_check_for_near_duplicates_finds_a_text_with_one_word_changed(split: str) -> None:
    original = next(text for text in texts("train") if len(words(text)) == 20)
    changed = list(words(original))
    changed[10] = "zebra"
    copy = " ".join(changed)

    similarity, text, other = most_alike(texts("train"), [*texts(split), copy])

    # 18 runs of three words, of which the change breaks 3: 15 of 21 are shared.
    assert (text, other) == (original, copy)
    assert similarity == pytest.approx(15 / 21)


def test_the_check_for_near_duplicates_finds_the_same_words_in_another_writing() -> None:
    original = texts("train")[0]

    similarity, text, _ = most_alike(texts("train"), [f"  {original.upper()} !!"])

    assert (similarity, text) == (1.0, original)
