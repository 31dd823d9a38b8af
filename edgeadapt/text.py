"""Tokenization. Training, gates, runtime and bench all use this module, so that they agree.

The padding settings of a ``tokenizer.json`` are always switched off: a batch is padded to its
longest text, and a single text not at all (128 tokens cost five to seven times as much as 16).
Of its truncation settings only the side is used; the length is that of ``TextEncoder``.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from edgeadapt.errors import DataError, EdgeAdaptError, MissingError, UsageError

__all__ = [
    "Coverage",
    "Text",
    "TextEncoder",
    "TokenBatch",
    "TokenIds",
    "Tokens",
    "parts_of",
    "text_of",
    "tokenizer_errors",
]

Text = str | tuple[str, str]
"""A single text, or a pair ``(first, second)``."""
TokenIds = NDArray[np.int64]

_MOST_CHARACTERS = 32
"""Texts of a pair are cut to this many characters per token before they are encoded."""
_CANNOT_ENCODE = "The tokenizer cannot encode the texts"
_CHECK_TOKENIZER = "Check that the tokenizer.json of the model or bundle is complete."


def parts_of(text: Text) -> tuple[str, ...]:
    """Returns a text as a tuple of one or, for a pair, two strings."""
    return (text,) if isinstance(text, str) else text


def text_of(parts: Sequence[str]) -> Text:
    """Returns the text that has these parts; the inverse of ``parts_of``."""
    return (parts[0], parts[1]) if len(parts) == 2 else parts[0]


@contextmanager
def tokenizer_errors(kind: type[EdgeAdaptError], message: str, *, hint: str = "") -> Iterator[None]:
    """Raises ``kind`` in place of what the tokenizers library raises.

    Its errors are bare ``Exception``; a panic of its Rust code is a ``BaseException`` that no
    ``except Exception`` catches.

    Args:
        kind: The error to raise.
        message: What went wrong; the message of the library is appended.
        hint: What to do about it.
    """
    try:
        yield
    except (EdgeAdaptError, KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:  # noqa: BLE001
        raise kind(f"{message}: {str(error).rstrip('.')}.", hint=hint) from None


@dataclass(frozen=True)
class Tokens:
    """One tokenized text, without padding."""

    ids: list[int]
    """Word-piece ids, special tokens included."""
    type_ids: list[int]
    """Segment of each token, as the tokenizer gives it: usually 1 for the second text of a pair."""

    def __len__(self) -> int:
        return len(self.ids)

    def as_batch(self) -> "TokenBatch":
        """Returns a batch with only this text."""
        rows = (self.ids, [1] * len(self), self.type_ids)
        return TokenBatch(*(np.asarray([row], dtype=np.int64) for row in rows))


@dataclass(frozen=True)
class TokenBatch:
    """Tokenized texts; every array is int64 of shape ``(batch, seq)``."""

    input_ids: TokenIds
    """Word-piece ids, padded on the right."""
    attention_mask: TokenIds
    """1 for a token, 0 for padding."""
    token_type_ids: TokenIds
    """Segment of each token; 0 for single texts and for padding."""

    def __len__(self) -> int:
        return len(self.input_ids)

    def rows(self) -> Iterator["TokenBatch"]:
        """Yields each row as a batch of one, without padding."""
        for row, length in enumerate(self.attention_mask.sum(axis=1)):
            alone = (slice(row, row + 1), slice(int(length)))
            yield TokenBatch(
                self.input_ids[alone], self.attention_mask[alone], self.token_type_ids[alone]
            )

    def select(self, names: Sequence[str]) -> dict[str, TokenIds]:
        """Returns the arrays with the given names, for models that take only some of them."""
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class Coverage:
    """How much of a set of texts is lost to truncation and unknown tokens."""

    texts: int
    truncated: int
    """Texts that are truncated."""
    tokens: int
    """Number of tokens for words or parts of words, without numbers, signs and special tokens."""
    unknown: int
    """Number of unknown tokens, such as [UNK], among them."""
    unreadable: int
    """Texts that contain words, but none that is in the vocabulary."""

    @property
    def unknown_share(self) -> float:
        """Share of tokens that are unknown, 0 to 1."""
        return self.unknown / max(1, self.tokens)


class TextEncoder:
    """Turns texts into a ``TokenBatch``.

    Args:
        tokenizer: A fast tokenizer; it is configured in place.
        max_length: Longest encoding in tokens, special tokens included. Longer texts are
            truncated on the side set in the tokenizer, by default on the right. Of a pair, the
            longer text is cut first.
        pad_id: Token id for padding.
        pairs: Whether texts are pairs; an encoder takes either pairs or single texts.

    Raises:
        UsageError: ``max_length`` leaves no room for text.
    """

    def __init__(
        self, tokenizer: Tokenizer, *, max_length: int, pad_id: int, pairs: bool = False
    ) -> None:
        special = tokenizer.num_special_tokens_to_add(pairs)
        if max_length <= special + pairs:
            raise UsageError(
                f"max_length: expected more than the {special} special tokens"
                f"{' and one of each text' if pairs else ''}, found {max_length}."
            )
        self.truncation_side: str = (tokenizer.truncation or {}).get("direction", "right")
        tokenizer.no_padding()
        tokenizer.enable_truncation(max_length, direction=self.truncation_side)
        self.tokenizer = tokenizer
        self.max_length = max_length
        self.pad_id = pad_id
        self.pairs = pairs

    @classmethod
    def from_file(
        cls, path: Path, *, max_length: int, pad_id: int, pairs: bool = False
    ) -> "TextEncoder":
        """Reads a ``tokenizer.json``.

        Raises:
            MissingError: There is no such file.
            DataError: It is not a tokenizer.
        """
        if not path.is_file():
            raise MissingError(f"{path} does not exist.")
        with tokenizer_errors(DataError, f"{path} is not a tokenizer", hint=_CHECK_TOKENIZER):
            tokenizer = Tokenizer.from_file(str(path))
        return cls(tokenizer, max_length=max_length, pad_id=pad_id, pairs=pairs)

    def with_tokenizer(self, tokenizer: Tokenizer) -> "TextEncoder":
        """Returns an encoder with another tokenizer, which must have the same padding token."""
        pad_id = tokenizer.token_to_id(self.tokenizer.id_to_token(self.pad_id))
        return TextEncoder(tokenizer, max_length=self.max_length, pad_id=pad_id, pairs=self.pairs)

    def sha256(self) -> str:
        """Returns a hash of everything but ``max_length`` that determines the tokens of a text."""
        plain = Tokenizer.from_str(self.tokenizer.to_str())
        plain.no_truncation()
        plain.no_padding()
        digest = hashlib.sha256(plain.to_str().encode())
        if self.truncation_side != "right":  # "right" is not hashed: older hashes assume it
            digest.update(self.truncation_side.encode())
        return digest.hexdigest()

    def largest_id(self) -> int:
        """Returns the largest token id without building the whole vocabulary, which is slow.

        Assumes that the ids of the model have no gaps; with gaps, the result can be too small.
        """
        own = self.tokenizer.get_vocab_size(with_added_tokens=False) - 1
        largest: int = max([own, self.pad_id, *self.tokenizer.get_added_tokens_decoder()])
        return largest

    def check(self, texts: Sequence[Text]) -> None:
        """Checks that all texts are pairs or all are single texts, as this encoder expects.

        Raises:
            UsageError: One is of the other kind; the message gives its number, counted from 1.
        """
        for number, text in enumerate(texts, 1):
            is_single, is_pair = isinstance(text, str), _is_pair(text)
            if is_pair if self.pairs else is_single:
                continue
            kind = "" if is_single or is_pair else f" ({type(text).__name__})"
            raise UsageError(
                f"Text {number}: expected {'a pair of texts' if self.pairs else 'a single text'}, "
                f"found {_shortened(text)}{kind}.",
                hint="This model takes pairs: (first, second) in Python, TEXT --text-pair TEXT on "
                "the command line, the columns text and text_pair in a file."
                if self.pairs
                else "This model takes single texts, each a str, no pairs.",
            )

    def encode(self, texts: Sequence[Text]) -> list[Tokens]:
        """Returns the tokens of each text, truncated to ``max_length``, without padding.

        Raises:
            UsageError: A text is a pair where single texts are expected, or the other way round.
            DataError: The tokenizer cannot encode a text.
        """
        inputs = self._inputs(texts)
        with tokenizer_errors(DataError, _CANNOT_ENCODE, hint=_CHECK_TOKENIZER):
            encodings = self.tokenizer.encode_batch_fast(inputs)
        return [Tokens(encoding.ids, encoding.type_ids) for encoding in encodings]

    def count_pieces(self, texts: Iterable[Text]) -> dict[str, int]:
        """Returns how often each word piece occurs in the truncated texts."""
        counts: Counter[int] = Counter()
        for tokens in self.encode(list(texts)):
            counts.update(tokens.ids)
        named = {self.tokenizer.id_to_token(number): count for number, count in counts.items()}
        return dict(sorted(named.items(), key=lambda pair: (-pair[1], pair[0])))

    def coverage(self, texts: Sequence[Text]) -> Coverage:
        """Counts truncated texts and unknown tokens.

        A byte-level vocabulary has no unknown tokens. A tokenizer that defines no unknown token
        drops unknown words, so that a text can become empty.
        """
        truncated = tokens = unknown = unreadable = 0
        for text, encoding in zip(texts, self._encodings(texts), strict=True):
            ids, parts = encoding.ids, parts_of(text)
            truncated += bool(encoding.overflowing)
            words = sum(number in self._word_pieces for number in ids)
            lost = 0
            if self._unknown_id in ids:
                lost = _count_unknown_words(encoding, parts, self._unknown_id)
            tokens, unknown = tokens + words + lost, unknown + lost
            unreadable += not words and any(map(_has_letter, parts))
        return Coverage(len(texts), truncated, tokens, unknown, unreadable)

    @cached_property
    def _unknown_id(self) -> int | None:
        """Id of the unknown token; ``None`` where the tokenizer has none."""
        model = self.tokenizer.model
        if hasattr(model, "unk_token"):
            return self.tokenizer.token_to_id(model.unk_token) if model.unk_token else None
        number: int | None = json.loads(self.tokenizer.to_str())["model"].get("unk_id")
        return number

    @cached_property
    def _word_pieces(self) -> frozenset[int]:
        """Ids of pieces that hold a letter."""
        special = {n for n, t in self.tokenizer.get_added_tokens_decoder().items() if t.special}
        special |= set(self.encode([("", "") if self.pairs else ""])[0].ids)
        pieces = self.tokenizer.get_vocab(with_added_tokens=True).items()
        suffix = getattr(self.tokenizer.model, "end_of_word_suffix", None) or ""
        return frozenset(
            number
            for piece, number in pieces
            if _has_letter(piece.removesuffix(suffix))
            and number not in special
            and number != self._unknown_id
        )

    def batch(self, texts: Sequence[Text]) -> TokenBatch:
        """Encodes texts into one batch, padded to the longest text."""
        return self.pad(self.encode(texts))

    def pad(self, rows: Sequence[Tokens]) -> TokenBatch:
        """Builds a batch from tokenized texts, padded to the longest one."""
        shape = (len(rows), max(map(len, rows), default=0))
        input_ids = np.full(shape, self.pad_id, dtype=np.int64)
        attention_mask = np.zeros(shape, dtype=np.int64)
        token_type_ids = np.zeros(shape, dtype=np.int64)
        for row, tokens in enumerate(rows):
            input_ids[row, : len(tokens)] = tokens.ids
            attention_mask[row, : len(tokens)] = 1
            token_type_ids[row, : len(tokens)] = tokens.type_ids
        return TokenBatch(input_ids, attention_mask, token_type_ids)

    def batches(
        self, texts: Sequence[Text], batch_size: int
    ) -> Iterator[tuple[NDArray[np.int64], TokenBatch]]:
        """Yields ``(indices, batch)`` with texts of similar length together.

        ``indices``, of shape ``(batch,)``, are the positions of the texts of a batch; over all
        batches they are a permutation of all positions.

        Raises:
            UsageError: ``batch_size`` is below 1.
        """
        if batch_size < 1:
            raise UsageError(f"batch_size: expected at least 1, found {batch_size}.")
        encoded = self.encode(texts)
        order = np.argsort([len(tokens) for tokens in encoded], kind="stable")
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            yield rows, self.pad([encoded[row] for row in rows])

    def _encodings(self, texts: Sequence[Text]) -> list[Encoding]:
        """Encodings with offsets and the truncated remainder."""
        inputs = self._inputs(texts)
        with tokenizer_errors(DataError, _CANNOT_ENCODE, hint=_CHECK_TOKENIZER):
            encodings: list[Encoding] = self.tokenizer.encode_batch(inputs)
        return encodings

    def _inputs(self, texts: Sequence[Text]) -> list[Text]:
        """The texts in the form that the tokenizer expects, with the texts of pairs cut beforehand.

        The tokenizer returns every combination of the truncated pieces of two texts, so that two
        long texts would cost minutes and gigabytes. Characters far beyond the cut are therefore
        removed first.
        """
        self.check(texts)
        if not self.pairs:
            return list(texts)
        most = _MOST_CHARACTERS * self.max_length
        kept = slice(-most, None) if self.truncation_side == "left" else slice(most)
        return [(first[kept], second[kept]) for first, second in map(parts_of, texts)]


def _has_letter(text: str) -> bool:
    return any(map(str.isalpha, text))


def _count_unknown_words(encoding: Encoding, parts: Sequence[str], unknown: int | None) -> int:
    """Counts the unknown tokens whose text contains a letter."""
    return sum(
        number == unknown and part is not None and _has_letter(parts[part][slice(*span)])
        for number, part, span in zip(
            encoding.ids, encoding.sequence_ids, encoding.offsets, strict=True
        )
    )


def _is_pair(value: object) -> bool:
    return (
        isinstance(value, tuple)
        and len(value) == 2
        and all(isinstance(part, str) for part in value)
    )


def _shortened(value: object, most: int = 60) -> str:
    shown = repr(value)
    return shown if len(shown) <= most else f"{shown[: most - 1]}…"
