"""Texts to logits through an engine, in the order of the texts."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeadapt.metrics import Logits
from edgeadapt.runtime.base import text_logits
from edgeadapt.text import TextEncoder, TokenBatch
from tests.conftest import WORDS, make_tokenizer

ENCODER = TextEncoder(make_tokenizer(), max_length=20, pad_id=0)
TEXTS = st.lists(
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=30).map(" ".join), min_size=1, max_size=12
)


class Fingerprints:
    """An engine whose logits identify the tokens of a row; it remembers what it was given."""

    def __init__(self) -> None:
        self.batches: list[TokenBatch] = []

    def run(self, batch: TokenBatch) -> Logits:
        self.batches.append(batch)
        return np.stack([of_tokens(row[mask == 1]) for row, mask in rows(batch)])

    def describe(self) -> str:
        return "fingerprints 1.0"


def rows(batch: TokenBatch) -> list[tuple[np.ndarray, np.ndarray]]:
    return list(zip(batch.input_ids, batch.attention_mask, strict=True))


def of_tokens(ids: np.ndarray) -> np.ndarray:
    """Length, sum, and a sum that depends on the order."""
    places = np.arange(1, len(ids) + 1)
    return np.asarray([len(ids), ids.sum(), (places * ids).sum()], dtype=np.float32)


@settings(max_examples=50, deadline=None)
@given(texts=TEXTS, batch_size=st.integers(1, 15))
def test_logits_come_in_the_order_of_the_texts_at_any_batch_size(
    texts: list[str], batch_size: int
) -> None:
    expected = np.stack([of_tokens(np.asarray(tokens.ids)) for tokens in ENCODER.encode(texts)])

    found = text_logits(Fingerprints(), ENCODER, texts, batch_size=batch_size)

    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected)


def test_one_text_at_a_time_is_the_default_and_is_never_padded() -> None:
    engine, texts = Fingerprints(), ["film", "the film was very good", "a meal"]

    text_logits(engine, ENCODER, texts)

    assert sorted(batch.input_ids.shape for batch in engine.batches) == [(1, 3), (1, 4), (1, 7)]
    assert all(batch.attention_mask.all() for batch in engine.batches)


def test_a_batch_holds_as_many_texts_as_asked_for_of_similar_length() -> None:
    texts = [" ".join(["film"] * length) for length in (1, 9, 2, 8, 3, 7, 4)]
    random.Random(0).shuffle(texts)
    engine = Fingerprints()

    text_logits(engine, ENCODER, texts, batch_size=3)

    assert [batch.input_ids.shape for batch in engine.batches] == [(3, 5), (3, 10), (1, 11)]


def test_no_texts_are_refused() -> None:
    with pytest.raises(ValueError, match="expected at least one text, found none"):
        text_logits(Fingerprints(), ENCODER, [])
