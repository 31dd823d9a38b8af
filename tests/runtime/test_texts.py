"""Texts for a classifier: all iterables of texts, and rejection of look-alikes."""

import io
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas
import pyarrow
import pytest

from edgeadapt.errors import UsageError
from edgeadapt.metrics import Logits
from edgeadapt.runtime.classifier import Classifier
from edgeadapt.text import TextEncoder, TokenBatch
from tests.conftest import make_tokenizer

TEXTS = ["film", "the film was good", "a meal"]
PAIRS = [("film", "a meal"), ("the soup", "was cold")]


class Tokens:
    """A model whose two logits tell the tokens of a text."""

    def run(self, batch: TokenBatch) -> Logits:
        places = np.arange(1, batch.input_ids.shape[1] + 1)
        sums = [batch.input_ids.sum(axis=1), (batch.input_ids * places).sum(axis=1)]
        return np.stack(sums, axis=1).astype(np.float32) / 1_000

    def describe(self) -> str:
        return "tokens 1.0"


def classifier(*, pairs: bool = False) -> Classifier:
    encoder = TextEncoder(make_tokenizer(), max_length=20, pad_id=0, pairs=pairs)
    return Classifier(Tokens(), encoder, ("bad", "good"))


def one_by_one(values: list[Any]) -> Iterator[Any]:
    yield from values


@pytest.mark.parametrize(
    "make",
    [
        tuple,
        iter,
        one_by_one,
        lambda texts: (text for text in texts),
        lambda texts: map(str, texts),
        lambda texts: dict(enumerate(texts)).values(),
        lambda texts: dict.fromkeys(texts, 1).keys(),
        np.array,
        lambda texts: np.array(texts, dtype=object),
        pandas.Series,
        lambda texts: pandas.Series(texts, index=[7, 8, 9]),
        lambda texts: pandas.Series(texts, dtype="string"),
        pandas.Index,
        lambda texts: pandas.DataFrame({"text": texts})["text"],
        pyarrow.array,
        lambda texts: pyarrow.chunked_array([texts[:1], texts[1:]]),
        lambda texts: [np.str_(text) for text in texts],
    ],
)
def test_any_iterable_of_texts_is_as_good_as_a_list(make: Callable[[list[str]], Any]) -> None:
    assert classifier().predict(make(TEXTS)) == classifier().predict(TEXTS)


@pytest.mark.parametrize(
    "make",
    [
        iter,
        lambda pairs: zip(*zip(*pairs, strict=True), strict=True),
        np.array,
        lambda pairs: pyarrow.array([list(pair) for pair in pairs]),
        lambda pairs: pandas.DataFrame(pairs).itertuples(index=False),
        lambda pairs: pandas.DataFrame(pairs).to_numpy(),
        lambda pairs: [tuple(map(np.str_, pair)) for pair in pairs],
    ],
)
def test_any_iterable_of_pairs_is_as_good_as_a_list(make: Callable[[Any], Any]) -> None:
    assert classifier(pairs=True).predict(make(PAIRS)) == classifier(pairs=True).predict(PAIRS)


def test_an_iterator_is_consumed_once() -> None:
    given = iter(TEXTS)

    found = classifier().predict(given, batch_size=2)

    assert len(found) == 3
    assert list(given) == []


@pytest.mark.parametrize(
    ("given", "found", "hint"),
    [
        ("film", "one str", r"predict\(\[text\]\)"),
        (b"film", "one bytes", "list"),
        ({"text": TEXTS}, "a dict", "column"),
        (pandas.DataFrame({"text": TEXTS}), "a DataFrame", "column"),
        (pyarrow.table({"text": TEXTS}), "a Table", "column"),
        (io.StringIO("film\n"), "an open file", r"read\(\)"),
        (io.BytesIO(b"film\n"), "an open file", r"read\(\)"),
        (None, "NoneType", "list of str"),
        (7, "int", "list of str"),
        (np.array("film"), "ndarray", "list of str"),
    ],
)
def test_what_is_no_iterable_of_texts_is_refused(given: Any, found: str, hint: str) -> None:
    with pytest.raises(UsageError, match=found) as caught:
        classifier().predict(given)
    caught.match(hint)


@pytest.mark.parametrize(
    ("element", "shown"),
    [
        (None, "None"),
        (b"film", "b'film'"),
        (1.5, "1.5"),
        (float("nan"), "nan"),
        (pandas.NA, "NAType"),
        (np.bytes_(b"film"), "bytes_"),
        (["film"], "list"),
        (["film", "meal", "room"], "list"),
        ({"text": "film"}, "dict"),
        (("film", None), "None"),
        ([["film", "meal"]], "list"),
    ],
)
@pytest.mark.parametrize("pairs", [False, True])
def test_an_element_that_is_no_text_is_named_by_its_number(
    element: object, shown: str, pairs: bool
) -> None:
    right = PAIRS[0] if pairs else TEXTS[0]

    with pytest.raises(UsageError, match=f"Text 2: expected a .*{shown}") as caught:
        classifier(pairs=pairs).predict([right, element])
    caught.match("This model takes pairs" if pairs else "This model takes single texts, each a str")


def test_a_missing_value_of_pyarrow_is_no_text() -> None:
    with pytest.raises(UsageError, match="Text 2: expected a single text, found None"):
        classifier().predict(pyarrow.array(["film", None]))


@pytest.mark.parametrize("size", [2.0, "2", None])
def test_a_batch_size_that_is_no_whole_number_is_refused(size: Any) -> None:
    with pytest.raises(UsageError, match="batch_size: expected at least 1"):
        classifier().predict(TEXTS, batch_size=size)
