"""Tokenization: no padding, truncation, and batches that contain every text."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoTokenizer

from edgeadapt.errors import DataError, MissingError, UsageError
from edgeadapt.shrink.tokenizer import trim
from edgeadapt.store.bundle import Bundle
from edgeadapt.text import Text, TextEncoder, Tokens, parts_of, text_of
from tests.conftest import WORDS, make_tokenizer

CLS, SEP, PAD = 2, 3, 0
TEXTS = st.lists(st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join), max_size=20)


def encoder(max_length: int = 10, pad_id: int = PAD) -> TextEncoder:
    return TextEncoder(make_tokenizer(), max_length=max_length, pad_id=pad_id)


def saved(tokenizer: Tokenizer, folder: Path) -> Path:
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder / "tokenizer.json"


# Padding


def test_padding_that_the_file_carries_is_switched_off(tmp_path: Path) -> None:
    file = saved(make_tokenizer(), tmp_path)
    assert len(Tokenizer.from_file(str(file)).encode("good").ids) == 20

    found = TextEncoder.from_file(file, max_length=128, pad_id=PAD).encode(["good"])

    assert [len(tokens) for tokens in found] == [3]


def test_a_single_text_is_a_batch_without_padding(tmp_path: Path) -> None:
    file = saved(make_tokenizer(), tmp_path)

    batch = TextEncoder.from_file(file, max_length=128, pad_id=PAD).batch(["good"])

    assert batch.input_ids.shape == (1, 3)
    assert batch.attention_mask.tolist() == [[1, 1, 1]]


def test_a_one_word_text_of_a_bundle_is_three_tokens_to_every_reader(tiny_bundle: Bundle) -> None:
    file = tiny_bundle.path / "tokenizer.json"

    lengths = {
        "edgeadapt": len(tiny_bundle.text_encoder().encode(["good"])[0]),
        "tokenizers": len(Tokenizer.from_file(str(file)).encode("good").ids),
        "transformers": len(AutoTokenizer.from_pretrained(tiny_bundle.path)("good")["input_ids"]),
    }

    assert lengths == {"edgeadapt": 3, "tokenizers": 3, "transformers": 3}


def test_a_batch_is_padded_on_the_right_to_its_longest_text() -> None:
    good, bad, film = (make_tokenizer().token_to_id(word) for word in ("good", "bad", "film"))

    batch = encoder(pad_id=9).batch(["good", "bad film"])

    assert batch.input_ids.tolist() == [[CLS, good, SEP, 9], [CLS, bad, film, SEP]]
    assert batch.attention_mask.tolist() == [[1, 1, 1, 0], [1, 1, 1, 1]]
    assert batch.token_type_ids.tolist() == [[0, 0, 0, 0], [0, 0, 0, 0]]


def test_every_array_of_a_batch_is_int64() -> None:
    arrays = (
        encoder()
        .batch(["good", "bad film"])
        .select(["input_ids", "attention_mask", "token_type_ids"])
    )

    assert {name: array.dtype for name, array in arrays.items()} == dict.fromkeys(
        ("input_ids", "attention_mask", "token_type_ids"), np.dtype(np.int64)
    )


def test_the_mask_marks_tokens_whatever_the_padding_id() -> None:
    batch = encoder().pad([Tokens([PAD, PAD], [0, 0]), Tokens([5], [0])])

    assert batch.attention_mask.tolist() == [[1, 1], [1, 0]]


def test_no_texts_are_an_empty_batch() -> None:
    batch = encoder().batch([])

    assert len(batch) == 0
    assert batch.input_ids.shape == (0, 0)


def test_a_batch_gives_only_the_arrays_that_are_asked_for() -> None:
    batch = encoder().batch(["good", "bad film"])

    selected = batch.select(["attention_mask", "input_ids"])

    assert list(selected) == ["attention_mask", "input_ids"]
    assert selected["input_ids"] is batch.input_ids
    assert len(batch) == 2


# Truncation


def test_a_long_text_is_cut_at_its_end_special_tokens_counted() -> None:
    words = WORDS[:12]
    numbers = [make_tokenizer().token_to_id(word) for word in words]

    (tokens,) = encoder(max_length=6).encode([" ".join(words)])

    assert tokens.ids == [CLS, *numbers[:4], SEP]


def test_truncation_that_the_file_carries_is_replaced(tmp_path: Path) -> None:
    tokenizer = make_tokenizer()
    tokenizer.enable_truncation(4, stride=1)
    words = WORDS[:12]
    numbers = [tokenizer.token_to_id(word) for word in words]

    file = saved(tokenizer, tmp_path)
    (tokens,) = TextEncoder.from_file(file, max_length=8, pad_id=PAD).encode([" ".join(words)])

    assert tokens.ids == [CLS, *numbers[:6], SEP]


def cut_at_the_front(max_length: int, *, pairs: bool = False) -> TextEncoder:
    tokenizer = make_tokenizer()
    tokenizer.enable_truncation(4, stride=1, direction="left")
    return TextEncoder(tokenizer, max_length=max_length, pad_id=PAD, pairs=pairs)


def test_the_side_that_the_file_cuts_on_is_kept(tmp_path: Path) -> None:
    numbers = [make_tokenizer().token_to_id(word) for word in WORDS[:12]]
    file = saved(cut_at_the_front(8).tokenizer, tmp_path)

    encoder = TextEncoder.from_file(file, max_length=6, pad_id=PAD)
    (tokens,) = encoder.encode([" ".join(WORDS[:12])])

    assert encoder.truncation_side == "left"
    assert tokens.ids == [CLS, *numbers[-4:], SEP]


def test_an_encoder_of_a_smaller_vocabulary_cuts_on_the_same_side() -> None:
    encoder = cut_at_the_front(6)
    smaller = trim(encoder.tokenizer, encoder.count_pieces([" ".join(WORDS[:12])]), most=None)

    (tokens,) = encoder.with_tokenizer(smaller.tokenizer).encode([" ".join(WORDS[:12])])

    kept = [smaller.tokenizer.id_to_token(number) for number in tokens.ids]
    assert kept == ["[CLS]", *WORDS[8:12], "[SEP]"]


@settings(max_examples=50, deadline=None)
@given(texts=TEXTS, max_length=st.integers(3, 16))
def test_texts_cut_at_the_front_are_counted_like_others(texts: list[str], max_length: int) -> None:
    too_long = sum(len(text.split()) + 2 > max_length for text in texts)

    assert cut_at_the_front(max_length).coverage(texts).truncated == too_long


def test_the_side_of_the_cut_is_part_of_the_hash() -> None:
    assert cut_at_the_front(8).sha256() != encoder(8).sha256()
    assert cut_at_the_front(8).sha256() == cut_at_the_front(6).sha256()


def test_a_text_that_just_fits_is_not_counted_as_cut() -> None:
    just, over = " ".join(WORDS[:4]), " ".join(WORDS[:5])

    counts = [encoder(max_length=6).coverage([text]).truncated for text in (just, over)]

    assert counts == [0, 1]


@settings(max_examples=50, deadline=None)
@given(texts=TEXTS, max_length=st.integers(3, 16))
def test_the_texts_counted_as_cut_are_those_that_are_too_long(
    texts: list[str], max_length: int
) -> None:
    too_long = sum(len(text.split()) + 2 > max_length for text in texts)

    assert encoder(max_length).coverage(texts).truncated == too_long


@settings(max_examples=50, deadline=None)
@given(texts=st.lists(st.text(st.characters(codec="utf-8")), max_size=8), length=st.integers(3, 9))
def test_no_text_is_longer_than_the_limit(texts: list[str], length: int) -> None:
    found = [tokens.ids for tokens in encoder(length).encode(texts)]

    assert len(found) == len(texts)
    assert all(ids[0] == CLS and ids[-1] == SEP and len(ids) <= length for ids in found)


@pytest.mark.parametrize("max_length", [2, 1, 0, -1])
def test_a_limit_without_room_for_text_is_refused(max_length: int) -> None:
    with pytest.raises(UsageError) as caught:
        encoder(max_length)

    assert f"more than the 2 special tokens, found {max_length}" in str(caught.value)


# Batches


@settings(max_examples=50, deadline=None)
@given(texts=TEXTS, batch_size=st.integers(1, 7))
def test_batches_are_a_permutation_of_the_texts(texts: list[str], batch_size: int) -> None:
    rows = [int(row) for rows, _ in encoder().batches(texts, batch_size) for row in rows]

    assert sorted(rows) == list(range(len(texts)))


@settings(max_examples=50, deadline=None)
@given(texts=TEXTS, batch_size=st.integers(1, 7))
def test_a_batch_holds_the_texts_that_its_indices_name(texts: list[str], batch_size: int) -> None:
    expected = [tokens.ids for tokens in encoder().encode(texts)]

    for rows, batch in encoder().batches(texts, batch_size):
        assert 1 <= len(rows) == len(batch) <= batch_size
        for row, ids, mask in zip(rows, batch.input_ids, batch.attention_mask, strict=True):
            assert ids[mask == 1].tolist() == expected[row]


@settings(max_examples=50, deadline=None)
@given(texts=TEXTS, batch_size=st.integers(1, 7))
def test_texts_of_similar_length_share_a_batch(texts: list[str], batch_size: int) -> None:
    lengths = [
        length
        for _, batch in encoder().batches(texts, batch_size)
        for length in batch.attention_mask.sum(axis=1).tolist()
    ]

    assert lengths == sorted(lengths)


def test_only_the_last_batch_may_be_smaller() -> None:
    sizes = [len(rows) for rows, _ in encoder().batches(WORDS[:7], 3)]

    assert sizes == [3, 3, 1]


@pytest.mark.parametrize("batch_size", [0, -1])
def test_a_batch_size_below_one_is_refused(batch_size: int) -> None:
    with pytest.raises(UsageError, match=f"batch_size.*{batch_size}"):
        list(encoder().batches(["good", "bad"], batch_size))


# What the vocabulary does not know

GREEK = "καλο φιλμ"


def test_unknown_words_are_counted_among_the_tokens_of_words() -> None:
    found = encoder(20).coverage(["good film", f"good {GREEK}", "the soup"])

    assert (found.tokens, found.unknown, found.unreadable) == (7, 2, 0)
    assert found.unknown_share == 2 / 7


def test_numbers_and_signs_are_no_words() -> None:
    found = encoder(20).coverage(["good 7", "film ☺ !", "7 7", "☺", ".,"])

    assert (found.tokens, found.unknown, found.unreadable) == (2, 0, 0)


@pytest.mark.parametrize("text", [GREEK, f"{GREEK} . 7", "καλο"])
def test_a_text_without_a_known_word_is_unreadable(text: str) -> None:
    found = encoder(20).coverage(["good", text])

    assert found.texts == 2
    assert found.unreadable == 1


def test_of_a_pair_both_texts_count() -> None:
    found = pair_encoder(20).coverage([("good", GREEK), (GREEK, GREEK), (". καλο", "7")])

    assert (found.tokens, found.unknown, found.unreadable) == (8, 7, 2)


def test_coverage_counts_texts_that_are_cut() -> None:
    assert encoder(6).coverage([" ".join(WORDS[:4]), " ".join(WORDS[:5])]).truncated == 1


def unigram() -> Tokenizer:
    tokenizer = Tokenizer(models.Unigram([("<unk>", 0.0), ("▁", -3.0), ("▁good", -1.0)], 0))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    return tokenizer


def byte_level() -> Tokenizer:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {piece: number for number, piece in enumerate(["<unk>", *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocabulary, [], unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return tokenizer


def without_an_unknown_token() -> Tokenizer:
    """What is not in the vocabulary is left out."""
    tokenizer = Tokenizer(models.BPE({"g": 0, "d": 1}, [], end_of_word_suffix="</w>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return tokenizer


@pytest.mark.parametrize(
    ("make", "unknown", "unreadable"),
    [(unigram, 2, 1), (byte_level, 0, 0), (without_an_unknown_token, 0, 1)],
)
def test_tokenizers_of_other_kinds_have_their_own_unknown_tokens(
    make: Callable[[], Tokenizer], unknown: int, unreadable: int
) -> None:
    found = TextEncoder(make(), max_length=90, pad_id=0).coverage(["good", GREEK])

    assert (found.unknown, found.unreadable) == (unknown, unreadable)


# Files


def test_a_missing_tokenizer_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"tokenizer\.json does not exist"):
        TextEncoder.from_file(tmp_path / "tokenizer.json", max_length=8, pad_id=PAD)


@pytest.mark.parametrize("raw", [b"", b"not json", b'{"model": {"type": "Other"}}', b"\xff\xfe"])
def test_a_file_that_is_no_tokenizer_is_named(raw: bytes, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_bytes(raw)

    with pytest.raises(DataError, match=r"tokenizer\.json is not a tokenizer") as caught:
        TextEncoder.from_file(tmp_path / "tokenizer.json", max_length=8, pad_id=PAD)
    assert "tokenizer.json" in caught.value.hint


BROKEN_CHARSMAP = {"type": "Precompiled", "precompiled_charsmap": "AAAA"}


def test_a_panic_of_the_tokenizer_library_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    content = json.loads(make_tokenizer().to_str()) | {"normalizer": BROKEN_CHARSMAP}
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))

    with pytest.raises(DataError, match=r"tokenizer\.json is not a tokenizer.*charsmap"):
        TextEncoder.from_file(tmp_path / "tokenizer.json", max_length=8, pad_id=PAD)


@pytest.mark.parametrize("ask", [TextEncoder.encode, TextEncoder.coverage])
def test_a_word_that_the_tokenizer_cannot_encode_is_an_error(
    ask: Callable[[TextEncoder, list[str]], object],
) -> None:
    tokenizer = Tokenizer(models.WordPiece({"[PAD]": 0, "good": 1}, unk_token="[UNK]"))

    with pytest.raises(DataError, match=r"cannot encode the texts: .*Missing \[UNK\] token"):
        ask(TextEncoder(tokenizer, max_length=8, pad_id=PAD), ["good", "bad"])


# Pairs

PAIRS = st.lists(
    st.tuples(*2 * [st.lists(st.sampled_from(WORDS), max_size=30).map(" ".join)]), max_size=10
)


def pair_encoder(max_length: int = 10) -> TextEncoder:
    return TextEncoder(make_tokenizer(), max_length=max_length, pad_id=PAD, pairs=True)


@pytest.mark.parametrize("text", ["one", ("one", "two")])
def test_a_text_is_taken_apart_and_put_together_again(text: Text) -> None:
    assert text_of(parts_of(text)) == text


def test_a_pair_is_one_row_with_a_separator_and_a_segment_for_each_text() -> None:
    good, bad, film = (make_tokenizer().token_to_id(word) for word in ("good", "bad", "film"))

    (tokens,) = pair_encoder().encode([("good film", "bad")])

    assert tokens == Tokens([CLS, good, film, SEP, bad, SEP], [0, 0, 0, 0, 1, 1])


def test_the_segments_of_a_padded_batch_are_zero_in_the_padding() -> None:
    batch = pair_encoder().batch([("good", "bad"), ("good", "bad film room")])

    assert batch.token_type_ids.dtype == np.int64
    assert batch.token_type_ids.tolist() == [[0, 0, 0, 1, 1, 0, 0], [0, 0, 0, 1, 1, 1, 1]]


@settings(max_examples=50, deadline=None)
@given(pairs=PAIRS, max_length=st.integers(5, 16))
def test_a_pair_is_cut_as_tokenizers_cuts_it(pairs: list[tuple[str, str]], max_length: int) -> None:
    tokenizer = make_tokenizer()
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_length, strategy="longest_first")
    expected = [tokenizer.encode(*pair) for pair in pairs]

    found = pair_encoder(max_length).encode(pairs)

    assert [tokens.ids for tokens in found] == [encoding.ids for encoding in expected]
    assert [tokens.type_ids for tokens in found] == [encoding.type_ids for encoding in expected]


def test_the_longer_text_of_a_pair_is_cut_first() -> None:
    (tokens,) = pair_encoder(8).encode([("good " * 50, "bad")])

    assert tokens.type_ids == [0] * 6 + [1, 1]


def test_two_very_long_texts_are_cut_without_laying_out_every_combination_of_their_pieces() -> None:
    # tokenizers alone would make 300 million rows of these.
    (tokens,) = pair_encoder(10).encode([("good " * 50_000, "bad " * 50_000)])

    assert len(tokens) == 10


def test_of_two_very_long_texts_cut_at_the_front_the_ends_are_kept() -> None:
    good, bad, film, room = map(make_tokenizer().token_to_id, ("good", "bad", "film", "room"))

    encoder = cut_at_the_front(9, pairs=True)
    (tokens,) = encoder.encode([("good " * 5_000 + "film", "bad " * 5_000 + "room")])

    assert tokens.ids == [CLS, good, good, film, SEP, bad, bad, room, SEP]


@settings(max_examples=50, deadline=None)
@given(pairs=PAIRS, max_length=st.integers(5, 16))
def test_the_pairs_counted_as_cut_are_those_that_are_too_long(
    pairs: list[tuple[str, str]], max_length: int
) -> None:
    lengths = [len(first.split()) + len(second.split()) + 3 for first, second in pairs]

    counted = pair_encoder(max_length).coverage(pairs).truncated

    assert counted == sum(length > max_length for length in lengths)


@pytest.mark.parametrize("text", ["one", ("a",), ("a", "b", "c"), ["a", "b"]])
def test_an_encoder_of_pairs_takes_nothing_else(text: Text) -> None:
    with pytest.raises(UsageError, match="Text 2: expected a pair of texts, found"):
        pair_encoder().batch([("a", "b"), text])


def test_an_encoder_of_single_texts_takes_no_pair() -> None:
    with pytest.raises(UsageError, match="Text 1: expected a single text, found"):
        encoder().batch([("a", "b")])


@pytest.mark.parametrize("max_length", [3, 4])
def test_a_limit_without_room_for_both_texts_is_refused(max_length: int) -> None:
    with pytest.raises(UsageError, match="3 special tokens and one of each text, found"):
        pair_encoder(max_length)
