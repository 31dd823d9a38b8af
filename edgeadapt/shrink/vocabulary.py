"""A smaller vocabulary as a step: chosen by training text, judged by validation text."""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cache, cached_property, partial
from itertools import groupby
from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedModel

from edgeadapt.compress.step import Answers, Proposal, Trial, closest
from edgeadapt.errors import ExportError, UsageError
from edgeadapt.metrics import Logits
from edgeadapt.models.text_model import TextModel
from edgeadapt.shrink.embeddings import trim_embeddings
from edgeadapt.shrink.shared_rows import Neighbours, use_rows
from edgeadapt.shrink.tokenizer import trim
from edgeadapt.store.compression import Baseline, Setting
from edgeadapt.text import Text, TextEncoder

__all__ = ["SIZES", "TrimVocabulary", "vocabularies"]

SIZES = (4_000, 6_000, 8_000, 12_000, 16_000, 24_000)
"""Numbers of embeddings that ``auto`` tries."""
_BATCH = 32


@dataclass(frozen=True)
class Vocabulary:
    """A smaller vocabulary that may be put into a model."""

    way: str
    """What becomes of a piece that has no embedding of its own: ``spelled`` or ``shared``."""
    encoder: TextEncoder
    """The tokenizer that goes with it."""
    embeddings: int
    """Rows of the table that are left."""
    find_rows: Callable[[], Tensor]
    """Returns ``rows``; not asked before somebody needs them."""

    def __str__(self) -> str:
        return f"{self.embeddings:,} embeddings, other pieces {self.way}"

    @cached_property
    def rows(self) -> Tensor:
        """The row of the whole table that each of its ids has, of shape ``(pieces,)``."""
        return self.find_rows()

    @property
    def is_shared(self) -> bool:
        """Whether pieces have the same embeddings."""
        return self.way == "shared"

    def put_into(self, model: PreTrainedModel) -> None:
        """Changes a model's embeddings."""
        if self.is_shared:
            use_rows(model, self.rows)
        else:
            trim_embeddings(model, self.rows.tolist())

    def bytes(self, *, width: int) -> int:
        """Of the tokenizer and the embeddings, about, with one byte for each value."""
        which = 4 * self.encoder.tokenizer.get_vocab_size() if self.is_shared else 0
        return _bytes(self.encoder, rows=self.embeddings, width=width) + which


class TrimVocabulary:
    """The step.

    Of a given number of embeddings the more accurate way is taken; else the smallest vocabulary
    that is accurate enough.

    Args:
        most: Number of embeddings; as few as accuracy allows where none is given.
        counts: How often each word piece occurs in training text.
        texts: The reference's.
    """

    name = "vocabulary"
    candidates = "vocabularies"
    remedy = "keep more embeddings with --trim-vocab"

    def __init__(
        self, most: int | None, *, counts: Mapping[str, int], texts: Sequence[Text]
    ) -> None:
        self.most, self.counts, self.texts = most, counts, texts

    def rounds(self, model: TextModel) -> Iterator[Sequence[Proposal]]:
        """Yields one vocabulary after the other, the smallest first, or those of a given number.

        Raises:
            UsageError: The number is too small, or there is nothing to leave out.
        """
        before = model.encoder.tokenizer.get_vocab_size()
        sizes = [size for size in SIZES if size < before] if self.most is None else [self.most]
        if not sizes:
            raise UsageError(
                f"--trim-vocab auto: {before:,} word pieces are too few to leave any out.",
                hint="Leave --trim-vocab out, or say how many to keep.",
            )
        table = model.merged.model.get_input_embeddings().weight
        found = list(vocabularies(model.encoder, table, self.counts, sizes))
        sized = {id(each): each.bytes(width=table.shape[1]) for each in found}
        found.sort(key=lambda each: sized[id(each)])
        alike = (lambda each: sized[id(each)]) if self.most is None else (lambda each: 0)
        for _, group in groupby(found, key=alike):
            yield [self._proposal(each, model, sized[id(each)]) for each in group]

    def fallbacks(self, model: TextModel) -> Sequence[Sequence[Proposal]]:
        """Returns nothing."""
        return ()

    def ordered(self, model: TextModel, allowed: Sequence[Trial]) -> Sequence[Trial]:
        """Returns the most accurate first."""
        return closest(allowed)

    def baseline(self, model: TextModel) -> Baseline:
        """Returns the size of the whole vocabulary."""
        table = model.merged.model.get_input_embeddings().weight
        return Baseline(_bytes(model.encoder, rows=len(table), width=table.shape[1]))

    def _proposal(self, vocabulary: Vocabulary, model: TextModel, size: int) -> Proposal:
        def judge() -> Answers:
            return Answers(self._logits(vocabulary, model), size)

        def make(folder: Path) -> TextModel:
            merged = deepcopy(model.merged)  # another vocabulary may have to take its place
            for each in {id(m): m for m in (merged.model, merged.stock)}.values():
                vocabulary.put_into(each)
            return TextModel(merged, vocabulary.encoder, vocabulary.is_shared)

        settings = self._settings(vocabulary, model)
        title = (
            f"{settings['embeddings']:,} embeddings of {settings['pieces_before']:,}, other pieces "
            f"{vocabulary.way}"
        )
        return Proposal(str(vocabulary), make, judge, settings=settings, title=title)

    def _logits(self, vocabulary: Vocabulary, model: TextModel) -> Logits:
        """Answers as the model would that does not know of it yet: its ids stand for rows of it."""
        rows = vocabulary.rows
        table = model.merged.model.get_input_embeddings()
        handle = table.register_forward_pre_hook(lambda _, ids: (rows[ids[0]],))
        try:
            return replace(model, encoder=vocabulary.encoder).logits(self.texts)
        finally:
            handle.remove()

    def _settings(self, vocabulary: Vocabulary, model: TextModel) -> dict[str, Setting]:
        before, after = model.encoder, vocabulary.encoder
        tokens = [sum(map(len, each.encode(self.texts))) for each in (before, after)]
        return {
            "pieces_before": before.tokenizer.get_vocab_size(),
            "pieces": after.tokenizer.get_vocab_size(),
            "embeddings": vocabulary.embeddings,
            "others": vocabulary.way,
            "tokens_before": tokens[0] / len(self.texts),  # mean of a validation text
            "tokens": tokens[1] / len(self.texts),
        }


def vocabularies(
    encoder: TextEncoder, table: Tensor, counts: Mapping[str, int], sizes: Sequence[int]
) -> Iterator[Vocabulary]:
    """Yields the vocabularies of the given sizes, each in every way that it can be made.

    Args:
        encoder: The whole tokenizer.
        table: Its embeddings, of shape ``(pieces, width)``.
        counts: How often each piece occurs in training text.
        sizes: Numbers of embeddings.

    Raises:
        UsageError: A size leaves no room for the special tokens.
    """
    tokenizer, rows = encoder.tokenizer, len(table)
    ids = tokenizer.get_vocab(with_added_tokens=True)
    weights = 1 / (10 + torch.arange(rows) / 1_000)  # common pieces come early
    for piece, count in counts.items():
        weights[ids[piece]] += count
    special = {token["id"] for token in json.loads(tokenizer.to_str())["added_tokens"]}
    special = {number for number in special if number < rows}

    @cache
    def neighbours() -> Neighbours:
        return Neighbours.of(table, weights, always=special)

    def nearest(size: int) -> Tensor:
        return neighbours().rows(size)

    least = _fewest_to_spell(encoder)
    for size in sizes:
        if size < len(special):
            raise UsageError(
                f"--trim-vocab {size}: expected at least {len(special)}, the special tokens."
            )
        if size >= least:
            smaller = trim(tokenizer, counts, most=size)
            spelled = encoder.with_tokenizer(smaller.tokenizer)
            find = partial(torch.tensor, smaller.rows)
            yield Vocabulary("spelled", spelled, len(smaller.rows), find)
        yield Vocabulary("shared", encoder, min(size, rows), partial(nearest, size))


def _bytes(encoder: TextEncoder, *, rows: int, width: int) -> int:
    """Of a tokenizer and its embeddings, about, with one byte for each value."""
    return len(encoder.tokenizer.to_str().encode()) + width * rows


def _fewest_to_spell(encoder: TextEncoder) -> float:
    """Pieces that a smaller tokenizer has at least; infinite where there can be none."""
    try:
        return len(trim(encoder.tokenizer, {}, most=None).rows)
    except ExportError:
        return math.inf
