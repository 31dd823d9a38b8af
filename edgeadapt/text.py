"""The one tokenization path: training, gates, runtime and bench all turn text into tokens here.

Padding that a ``tokenizer.json`` carries is always switched off: a batch is padded to its own
longest text and a single text not at all (128 tokens cost five to seven times what 16 cost).
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from edgeadapt.errors import DataError, MissingError, UsageError

__all__ = ["Text", "TextEncoder", "TokenBatch", "TokenIds", "Tokens", "parts_of", "text_of"]

Text = str | tuple[str, str]
"""A single text, or a pair: the first and the second."""
TokenIds = NDArray[np.int64]

_MOST_CHARACTERS = 32
"""Characters per token above which a text of a pair is cut before it is encoded."""


def parts_of(text: Text) -> tuple[str, ...]:
    """Returns the one text, or the two of a pair."""
    return (text,) if isinstance(text, str) else text


def text_of(parts: Sequence[str]) -> Text:
    """Returns the text that ``parts_of`` takes apart."""
    return (parts[0], parts[1]) if len(parts) == 2 else parts[0]


@dataclass(frozen=True)
class Tokens:
    """One text as a model sees it, without padding."""

    ids: list[int]
    """Word-piece ids, special tokens included."""
    type_ids: list[int]
    """Segment of each token: 1 for the second text of a pair, where the tokenizer says so."""

    def __len__(self) -> int:
        return len(self.ids)

    def as_batch(self) -> "TokenBatch":
        """Returns a batch of this text alone."""
        rows = (self.ids, [1] * len(self), self.type_ids)
        return TokenBatch(*(np.asarray([row], dtype=np.int64) for row in rows))


@dataclass(frozen=True)
class TokenBatch:
    """Texts as a model sees them; every array is int64 of shape ``(batch, seq)``."""

    input_ids: TokenIds
    """Word-piece ids, padded on the right."""
    attention_mask: TokenIds
    """1 for a token, 0 for padding."""
    token_type_ids: TokenIds
    """Segment of each token; 0 throughout for single texts, and for padding."""

    def __len__(self) -> int:
        return len(self.input_ids)

    def rows(self) -> Iterator["TokenBatch"]:
        """Yields each row as a batch of its own, without padding."""
        for row, length in enumerate(self.attention_mask.sum(axis=1)):
            alone = (slice(row, row + 1), slice(int(length)))
            yield TokenBatch(
                self.input_ids[alone], self.attention_mask[alone], self.token_type_ids[alone]
            )

    def select(self, names: Sequence[str]) -> dict[str, TokenIds]:
        """Returns the arrays of the given names, for models that take only some of them."""
        return {name: getattr(self, name) for name in names}


class TextEncoder:
    """Texts -> ``TokenBatch``.

    Args:
        tokenizer: A fast tokenizer; it is configured in place.
        max_length: Longest encoding in tokens, special tokens counted. Longer texts are cut.
            Of a pair, the longer text is cut first.
        pad_id: Token id that fills up a batch.
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
        tokenizer.no_padding()
        tokenizer.enable_truncation(max_length)
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
        try:
            tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # noqa: BLE001 - the binding raises bare Exception
            raise DataError(f"{path} is not a tokenizer: {error}.") from None
        return cls(tokenizer, max_length=max_length, pad_id=pad_id, pairs=pairs)

    def with_tokenizer(self, tokenizer: Tokenizer) -> "TextEncoder":
        """Returns an encoder of another tokenizer that has the same padding token."""
        pad_id = tokenizer.token_to_id(self.tokenizer.id_to_token(self.pad_id))
        return TextEncoder(tokenizer, max_length=self.max_length, pad_id=pad_id, pairs=self.pairs)

    def sha256(self) -> str:
        """Returns a hash of what decides the tokens of a text, but for the length it is cut to."""
        plain = Tokenizer.from_str(self.tokenizer.to_str())
        plain.no_truncation()
        plain.no_padding()
        return hashlib.sha256(plain.to_str().encode()).hexdigest()

    def check(self, texts: Sequence[Text]) -> None:
        """Checks that every text is what this encoder takes: a pair, or a single text.

        Raises:
            UsageError: One is not; the message gives its number, counted from 1.
        """
        for number, text in enumerate(texts, 1):
            if not isinstance(text, str) and not _is_pair(text):
                wanted = "a pair of texts" if self.pairs else "a single text"
                raise UsageError(
                    f"Text {number}: expected {wanted}, found {_shortened(text)} "
                    f"({type(text).__name__}).",
                    hint="Every text is a str, or a tuple of two where the model takes pairs.",
                )
            is_pair = not isinstance(text, str)
            if self.pairs and not is_pair:
                raise UsageError(
                    f"Text {number}: expected a pair of texts, found {_shortened(text)}.",
                    hint="This model takes pairs: (first, second) in Python, TEXT --text-pair TEXT "
                    "on the command line, the columns text and text_pair in a file.",
                )
            if not self.pairs and is_pair:
                raise UsageError(
                    f"Text {number}: expected a single text, found {_shortened(text)}.",
                    hint="This model takes single texts, no pairs.",
                )

    def encode(self, texts: Sequence[Text]) -> list[Tokens]:
        """Returns the tokens of each text, cut to ``max_length``, without padding.

        Raises:
            UsageError: A text is a pair where single texts are expected, or the other way round.
        """
        encodings = self.tokenizer.encode_batch_fast(self._inputs(texts))
        return [Tokens(encoding.ids, encoding.type_ids) for encoding in encodings]

    def count_truncated(self, texts: Sequence[Text]) -> int:
        """Returns how many texts lose tokens to ``max_length``."""
        encodings = self.tokenizer.encode_batch(self._inputs(texts))
        return sum(bool(encoding.overflowing) for encoding in encodings)

    def batch(self, texts: Sequence[Text]) -> TokenBatch:
        """Encodes texts into one batch, padded to its own longest text."""
        return self.pad(self.encode(texts))

    def pad(self, rows: Sequence[Tokens]) -> TokenBatch:
        """Lays tokens out as one batch, padded to its own longest row."""
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

        ``indices``, of shape ``(batch,)``, tell which texts a batch holds; together they are a
        permutation of all texts.

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

    def _inputs(self, texts: Sequence[Text]) -> list[Text]:
        """The texts as the tokenizer takes them.

        It lays out every combination of the pieces that it cuts off two texts, so that two long
        ones would cost minutes and gigabytes; what lies that far behind the cut is not shown to it.
        """
        self.check(texts)
        if not self.pairs:
            return list(texts)
        most = _MOST_CHARACTERS * self.max_length
        return [(first[:most], second[:most]) for first, second in map(parts_of, texts)]


def _is_pair(value: object) -> bool:
    return (
        isinstance(value, tuple)
        and len(value) == 2
        and all(isinstance(part, str) for part in value)
    )


def _shortened(value: object, most: int = 60) -> str:
    shown = repr(value)
    return shown if len(shown) <= most else f"{shown[: most - 1]}…"
