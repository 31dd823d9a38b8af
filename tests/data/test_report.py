"""The report on a data set before training, and in run.json."""

from dataclasses import replace

import numpy as np
import pytest

from edgeadapt.data import Dataset, Examples
from edgeadapt.data.report import FEW_PER_LABEL, FEW_TEXTS, report_data
from edgeadapt.errors import DataError
from edgeadapt.metrics import wilson_interval
from edgeadapt.text import TextEncoder
from tests.conftest import make_tokenizer
from tests.listener import Listener


@pytest.fixture
def encoder() -> TextEncoder:
    return TextEncoder(make_tokenizer(), max_length=8, pad_id=0)


def examples(begin: str, count: int, *, rare: int | None = None) -> Examples:
    labels = np.arange(count) % 2 if rare is None else np.arange(count) < rare
    return Examples(tuple(f"{begin} {number}" for number in range(count)), labels.astype(np.int64))


def dataset(*, train: Examples, validation: int = FEW_TEXTS, test: int = FEW_TEXTS) -> Dataset:
    held_out = examples("warm", validation), examples("cold", test)
    return Dataset(train, *held_out, ("no", "yes"))


def test_of_enough_different_texts_nothing_is_said(encoder: TextEncoder) -> None:
    listener = Listener()

    found = report_data(dataset(train=examples("good", 40)), encoder, listener)

    assert listener.said == listener.warned == []
    assert found.examples == {"train": 40, "validation": FEW_TEXTS, "test": FEW_TEXTS}
    assert found.truncated == {"train": 0, "validation": 0, "test": 0}
    assert set(found.shared.values()) == {0}


def test_few_held_out_texts_are_warned_of_with_the_interval_they_allow(
    encoder: TextEncoder,
) -> None:
    listener = Listener()

    report_data(dataset(train=examples("good", 40), test=FEW_TEXTS - 1), encoder, listener)

    (warning,) = listener.warned
    low, high = wilson_interval(0.9, FEW_TEXTS - 1)
    assert warning.startswith(f"{FEW_TEXTS - 1} test texts")
    assert f"from {low:.0%} to {high:.0%}" in warning
    assert "--folds" in warning


def test_few_texts_of_both_splits_are_warned_of_once_by_the_smaller(encoder: TextEncoder) -> None:
    listener = Listener()

    report_data(dataset(train=examples("good", 40), validation=50, test=20), encoder, listener)

    (warning,) = listener.warned
    assert warning.startswith("50 validation and 20 test texts")
    listener = Listener()
    few = dataset(train=examples("good", 40), test=20)
    report_data(few, encoder, listener, is_fold=True)
    assert listener.warned == []
    assert "one of 20 is 5.0 points" in warning


def test_texts_with_different_labels_are_counted(encoder: TextEncoder) -> None:
    listener = Listener()
    twice = Examples(("good  film", "Good film", "bad", "bad"), np.array([0, 1, 1, 1]))

    found = report_data(dataset(train=examples("good", 40).with_more(twice)), encoder, listener)

    assert found.contradictory == 1
    assert listener.warned == ["Train texts that occur with different labels: 1."]


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("BILLING", "billing "), "'BILLING', 'billing '"),
        (("rain", "rain|wind"), "such as 'rain|wind', are each one label; --multi-label"),
    ],
)
def test_doubtful_label_names_are_told(
    names: tuple[str, str], said: str, encoder: TextEncoder
) -> None:
    listener = Listener()

    given = replace(dataset(train=examples("good", 40)), label_names=names)
    report_data(given, encoder, listener)

    (warning,) = listener.warned
    assert said in warning


def test_labels_with_few_training_texts_are_named(encoder: TextEncoder) -> None:
    for rare, warned in ((FEW_PER_LABEL, 0), (FEW_PER_LABEL - 1, 1)):
        listener = Listener()

        report_data(dataset(train=examples("good", 40, rare=rare)), encoder, listener)

        assert len(listener.warned) == warned
    assert "yes (7)" in listener.warned[0]


def test_texts_that_two_splits_share_are_warned_of(encoder: TextEncoder) -> None:
    listener = Listener()
    train = examples("good", 40)
    leaky = Dataset(
        train,
        examples("warm", FEW_TEXTS),
        Examples((*train.texts[:3], "WARM 0 ", *(f"cold {n}" for n in range(FEW_TEXTS))),
                 np.zeros(FEW_TEXTS + 4, dtype=np.int64)),
        ("no", "yes"),
    )  # fmt: skip

    found = report_data(leaky, encoder, listener)

    assert found.shared == {
        "validation in train": 0, "test in train": 3, "test in validation": 1,
    }  # fmt: skip
    assert [warning.split(" ")[0] for warning in listener.warned] == ["3", "1"]
    assert "also occur in validation" in listener.warned[1]


def test_texts_that_are_cut_are_counted(encoder: TextEncoder) -> None:
    listener = Listener()
    long = Examples(("good " * 30, "bad", "bad", "good"), np.asarray([1, 0, 0, 1]))

    found = report_data(dataset(train=long), encoder, listener)

    assert found.truncated["train"] == 1
    assert "Longer than 8 tokens and cut: 1 of 4 train" in listener.said[0]


# Texts that the tokenizer does not know


def in_greek(count: int, *, of: int) -> Examples:
    """Different texts, so many of them of words that are not in the vocabulary."""
    plain = examples("good film", of)
    texts = [
        f"{'καλο κακο' if number < count else 'good film'} {'.' * number}" for number in range(of)
    ]
    return Examples(tuple(texts), plain.known_labels())


@pytest.mark.parametrize("split", ["train", "validation", "test"])
@pytest.mark.parametrize("count", [36, 40])
def test_texts_without_a_known_word_are_refused(
    encoder: TextEncoder, split: str, count: int
) -> None:
    data = replace(dataset(train=examples("good", 40)), **{split: in_greek(count, of=40)})

    with pytest.raises(DataError, match=f"In {count} of 40 {split} texts no word"):
        report_data(data, encoder, Listener())


def test_many_unknown_words_are_warned_of_with_their_share(encoder: TextEncoder) -> None:
    listener = Listener()

    found = report_data(dataset(train=in_greek(10, of=40)), encoder, listener)

    assert found.unknown == {"train": 0.25, "validation": 0.0, "test": 0.0}
    (warning,) = (text for text in listener.warned if "vocabulary" in text)
    assert "25.0% of train, 0.0% of validation, 0.0% of test" in warning


def test_few_unknown_words_are_said_and_not_warned_of(encoder: TextEncoder) -> None:
    listener = Listener()

    found = report_data(dataset(train=in_greek(1, of=40)), encoder, listener)

    assert found.unknown["train"] == 0.025
    assert "vocabulary" in "".join(listener.said)
    assert "vocabulary" not in "".join(listener.warned)
