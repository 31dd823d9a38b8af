"""The one tokenization path: training, gates, runtime and bench all turn text into tokens here.

Padding that a ``tokenizer.json`` carries is always switched off: a batch is padded to its own
longest text and a single text not at all (128 tokens cost five to seven times what 16 cost).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from edgeadapt.errors import DataError, MissingError, UsageError

__all__ = ["TextEncoder", "TokenBatch", "TokenIds"]

TokenIds = NDArray[np.int64]


@dataclass(frozen=True)
class TokenBatch:
    """Texts as a model sees them; every array is int64 of shape ``(batch, seq)``."""

    input_ids: TokenIds
    """Word-piece ids, padded on the right."""
    attention_mask: TokenIds
    """1 for a token, 0 for padding."""
    token_type_ids: TokenIds
    """Segment of each token; 0 throughout for single texts."""

    def __len__(self) -> int:
        return len(self.input_ids)

    def select(self, names: Sequence[str]) -> dict[str, TokenIds]:
        """Returns the arrays of the given names, for models that take only some of them."""
        return {name: getattr(self, name) for name in names}


class TextEncoder:
    """Texts -> ``TokenBatch``.

    Args:
        tokenizer: A fast tokenizer; it is configured in place.
        max_length: Longest encoding in tokens, special tokens counted. Longer texts are cut.
        pad_id: Token id that fills up a batch.
    """

    def __init__(self, tokenizer: Tokenizer, *, max_length: int, pad_id: int) -> None:
        special = tokenizer.num_special_tokens_to_add(False)
        if max_length <= special:
            raise UsageError(
                f"max_length: expected more than the {special} special tokens, found {max_length}."
            )
        tokenizer.no_padding()
        tokenizer.enable_truncation(max_length)
        self.tokenizer = tokenizer
        self.max_length = max_length
        self.pad_id = pad_id

    @classmethod
    def from_file(cls, path: Path, *, max_length: int, pad_id: int) -> "TextEncoder":
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
        return cls(tokenizer, max_length=max_length, pad_id=pad_id)

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Returns the token ids of each text, cut to ``max_length``, without padding."""
        return [encoding.ids for encoding in self.tokenizer.encode_batch_fast(list(texts))]

    def count_truncated(self, texts: Sequence[str]) -> int:
        """Returns how many texts lose tokens to ``max_length``."""
        return sum(bool(e.overflowing) for e in self.tokenizer.encode_batch(list(texts)))

    def batch(self, texts: Sequence[str]) -> TokenBatch:
        """Encodes texts into one batch, padded to its own longest text."""
        return self.pad(self.ids(texts))

    def pad(self, ids: Sequence[Sequence[int]]) -> TokenBatch:
        """Lays token ids out as one batch, padded to its own longest row."""
        shape = (len(ids), max(map(len, ids), default=0))
        input_ids = np.full(shape, self.pad_id, dtype=np.int64)
        attention_mask = np.zeros(shape, dtype=np.int64)
        for row, tokens in enumerate(ids):
            input_ids[row, : len(tokens)] = tokens
            attention_mask[row, : len(tokens)] = 1
        return TokenBatch(input_ids, attention_mask, np.zeros(shape, dtype=np.int64))

    def batches(
        self, texts: Sequence[str], batch_size: int
    ) -> Iterator[tuple[NDArray[np.int64], TokenBatch]]:
        """Yields ``(indices, batch)`` with texts of similar length together.

        ``indices``, of shape ``(batch,)``, tell which texts a batch holds; together they are a
        permutation of all texts.

        Raises:
            UsageError: ``batch_size`` is below 1.
        """
        if batch_size < 1:
            raise UsageError(f"batch_size: expected at least 1, found {batch_size}.")
        ids = self.ids(texts)
        order = np.argsort([len(tokens) for tokens in ids], kind="stable")
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            yield rows, self.pad([ids[row] for row in rows])
