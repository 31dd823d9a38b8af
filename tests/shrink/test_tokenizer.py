"""Smaller vocabularies: kept pieces are split as before, and all words can be encoded."""

import json
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

from edgeadapt.errors import ExportError, UsageError
from edgeadapt.shrink.tokenizer import trim
from edgeadapt.text import TextEncoder

SENTENCES = [
    "the quiet film was better than the loud one",
    "nobody wanted the unexpected ending of the filming",
    "unwanted noise made the loudest room quieter",
    "a better room would have been wanted by everybody",
    "expecting nothing, we were unexpectedly moved!",
]
TASK = ["the film was loud", "a quiet room", "the loud film was better"]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def _template(tokenizer: Tokenizer) -> Tokenizer:
    ids = [(name, tokenizer.token_to_id(name)) for name in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=ids
    )
    return tokenizer


def word_piece() -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=160, special_tokens=SPECIAL)
    tokenizer.train_from_iterator(SENTENCES * 3, trainer)
    return _template(tokenizer)


def bpe() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator(SENTENCES * 3, trainer)
    tokenizer.post_processor = processors.RobertaProcessing(
        ("[SEP]", tokenizer.token_to_id("[SEP]")), ("[CLS]", tokenizer.token_to_id("[CLS]"))
    )
    return tokenizer


def unigram() -> Tokenizer:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=120, special_tokens=SPECIAL, unk_token="[UNK]", show_progress=False
    )
    tokenizer.train_from_iterator(SENTENCES * 3, trainer)
    return _template(tokenizer)


KINDS = {"word-piece": word_piece(), "bpe": bpe(), "unigram": unigram()}
every_kind = pytest.mark.parametrize("kind", KINDS)


def encoder(tokenizer: Tokenizer) -> TextEncoder:
    plain = Tokenizer.from_str(tokenizer.to_str())
    return TextEncoder(plain, max_length=40, pad_id=tokenizer.token_to_id("[PAD]"))


def pieces(tokenizer: Tokenizer, text: str) -> list[str]:
    return list(tokenizer.encode(text).tokens)


@every_kind
def test_texts_whose_pieces_all_stay_are_split_as_before(kind: str) -> None:
    tokenizer = KINDS[kind]

    small = trim(tokenizer, encoder(tokenizer).count_pieces(TASK), most=None)

    assert small.tokenizer.get_vocab_size() < tokenizer.get_vocab_size()
    for text in TASK:
        assert pieces(small.tokenizer, text) == pieces(tokenizer, text)


@every_kind
def test_each_new_id_stands_for_the_row_of_the_same_piece(kind: str) -> None:
    tokenizer = KINDS[kind]

    small = trim(tokenizer, encoder(tokenizer).count_pieces(TASK), most=None)

    assert len(small.rows) == small.tokenizer.get_vocab_size()
    assert small.rows == sorted(set(small.rows))
    for new, old in enumerate(small.rows):
        assert small.tokenizer.id_to_token(new) == tokenizer.id_to_token(old)
    for text in SENTENCES:
        assert [small.tokenizer.id_to_token(n) for n in small.tokenizer.encode(text).ids] == pieces(
            small.tokenizer, text
        )


@every_kind
@settings(max_examples=60, deadline=None)
@given(text=st.text(st.sampled_from("abcdefghilmnoqrstuvwxy ,!é漢?"), max_size=30))
def test_no_text_gets_unknown_pieces_that_it_had_not_before(kind: str, text: str) -> None:
    tokenizer = KINDS[kind]
    small = trim(tokenizer, {}, most=None).tokenizer

    before, after = (pieces(each, text).count("[UNK]") for each in (tokenizer, small))

    assert after <= before


@every_kind
def test_special_tokens_keep_their_place_around_a_text(kind: str) -> None:
    small = trim(KINDS[kind], {}, most=None).tokenizer

    found = small.encode("loud").ids
    assert found[0] == small.token_to_id("[CLS]")
    assert found[-1] == small.token_to_id("[SEP]")
    pair = small.encode("loud", "quiet").ids
    assert pair.count(small.token_to_id("[SEP]")) >= 2


@every_kind
def test_a_limit_keeps_the_pieces_that_occur_most(kind: str) -> None:
    tokenizer = KINDS[kind]
    counts = encoder(tokenizer).count_pieces(TASK)
    least = len(trim(tokenizer, {}, most=None).rows)

    small = trim(tokenizer, counts, most=least + 4)

    assert least < len(small.rows) <= least + 4
    kept = set(small.tokenizer.get_vocab())
    added = kept - set(trim(tokenizer, {}, most=None).tokenizer.get_vocab())
    left_out = {piece: count for piece, count in counts.items() if piece not in kept}
    assert max(counts.get(piece, 0) for piece in added) >= max(left_out.values(), default=0)


@every_kind
def test_room_that_training_text_does_not_need_is_filled_in_the_order_of_the_ids(kind: str) -> None:
    tokenizer = KINDS[kind]
    counts = encoder(tokenizer).count_pieces(TASK)
    seen = len(trim(tokenizer, counts, most=None).rows)

    small = trim(tokenizer, counts, most=seen + 5)

    assert seen < len(small.rows) <= seen + 5


@every_kind
def test_a_limit_below_what_spelling_takes_is_refused(kind: str) -> None:
    with pytest.raises(UsageError, match="--trim-vocab 5: expected at least"):
        trim(KINDS[kind], {}, most=5)


@every_kind
def test_the_tokenizer_itself_stays_as_it_was(kind: str) -> None:
    before = KINDS[kind].to_str()

    trim(KINDS[kind], {}, most=None)

    assert KINDS[kind].to_str() == before


def test_a_piece_that_single_characters_cannot_spell_stays() -> None:
    vocabulary = {piece: n for n, piece in enumerate([*SPECIAL, "a", "##b", "ab", "abc", "##de"])}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.add_special_tokens(SPECIAL)

    kept = set(trim(tokenizer, {}, most=None).tokenizer.get_vocab())

    # "ab" is "a" and "##b"; nothing spells the "c" or the "d" of the others.
    assert kept == {*SPECIAL, "a", "##b", "abc", "##de"}


def test_a_tokenizer_of_whole_words_is_refused() -> None:
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0, "word": 1}, unk_token="[UNK]"))

    with pytest.raises(ExportError, match="a WordLevel tokenizer cannot be trimmed"):
        trim(tokenizer, {}, most=None)


@pytest.mark.parametrize("write", [lambda a, b: f"{a} {b}", lambda a, b: [a, b]])
def test_merges_are_read_as_old_files_write_them_and_as_new_ones_do(
    write: Callable[[str, str], object],
) -> None:
    files = json.loads(bpe().to_str())
    files["model"]["merges"] = [write(*pair) for pair in files["model"]["merges"]]
    tokenizer = Tokenizer.from_str(json.dumps(files))

    small = trim(tokenizer, encoder(tokenizer).count_pieces(TASK), most=None)

    assert pieces(small.tokenizer, TASK[0]) == pieces(tokenizer, TASK[0])


def test_pieces_are_counted_as_the_model_sees_them() -> None:
    tokenizer = word_piece()

    counts = encoder(tokenizer).count_pieces(["the film", "the the"])

    assert counts["the"] == 3
    assert counts["[CLS]"] == counts["[SEP]"] == 2


@pytest.mark.parametrize("kind", ["template", "bert"])
def test_tokens_that_the_tokenizer_uses_by_itself_stay_where_letters_could_spell_them(
    kind: str,
) -> None:
    special = ["[UNK]", "[CLS]", "[SEP]"]
    letters = sorted(set("".join(special)))
    names = [*special, *letters, *(f"##{letter}" for letter in letters), "g", "good"]
    ids = {name: number for number, name in enumerate(names)}
    tokenizer = Tokenizer(models.WordPiece(ids, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    if kind == "bert":
        tokenizer.post_processor = processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1))
    else:
        _template(tokenizer)

    small = trim(tokenizer, {"good": 1}, most=None).tokenizer

    assert pieces(small, "good Ω") == ["[CLS]", "good", "[UNK]", "[SEP]"]
