"""Reduce the vocabulary, as a step: made from training text, judged on validation text."""

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
"""Numbers of embeddings that ``--trim-vocab auto`` tries."""
_BATCH = 32


@dataclass(frozen=True)
class Vocabulary:
    """A reduced vocabulary, which can be applied to a model."""

    way: str
    """How a piece without its own embedding is handled: ``spelled`` in smaller pieces, or
    ``shared``, with the embedding of a similar piece."""
    encoder: TextEncoder
    """The tokenizer of the reduced vocabulary."""
    embeddings: int
    """Number of rows of the reduced table."""
    find_rows: Callable[[], Tensor]
    """Computes ``rows``; called at first use, because it can take seconds."""

    def __str__(self) -> str:
        return f"{self.embeddings:,} embeddings, other pieces {self.way}"

    @cached_property
    def rows(self) -> Tensor:
        """The row of the full table that each id has, of shape ``(pieces,)``."""
        return self.find_rows()

    @property
    def is_shared(self) -> bool:
        """Whether several pieces share an embedding."""
        return self.way == "shared"

    def put_into(self, model: PreTrainedModel) -> None:
        """Replaces a model's embeddings, in place."""
        if self.is_shared:
            use_rows(model, self.rows)
        else:
            trim_embeddings(model, self.rows.tolist())

    def bytes(self, *, width: int) -> int:
        """Returns the approximate size of tokenizer and int8 embeddings, in bytes."""
        which = 4 * self.encoder.tokenizer.get_vocab_size() if self.is_shared else 0
        return _bytes(self.encoder, rows=self.embeddings, width=width) + which


class TrimVocabulary:
    """The compression step.

    For a given number of embeddings, it takes the more accurate of the two ways; without one, the
    smallest vocabulary that is accurate enough.

    Args:
        most: Number of embeddings; ``None`` for as few as the accuracy budget allows.
        counts: Count of each word piece in training text.
        texts: The reference's texts.
    """

    name = "vocabulary"
    candidates = "vocabularies"
    remedy = "keep more embeddings with --trim-vocab"

    def __init__(
        self, most: int | None, *, counts: Mapping[str, int], texts: Sequence[Text]
    ) -> None:
        self.most, self.counts, self.texts = most, counts, texts

    def rounds(self, model: TextModel) -> Iterator[Sequence[Proposal]]:
        """Yields vocabularies one by one, smallest first; for a given number, both ways at once.

        Raises:
            UsageError: The number is too small, or the vocabulary is too small to be reduced.
        """
        before = model.encoder.tokenizer.get_vocab_size()
        sizes = [size for size in SIZES if size < before] if self.most is None else [self.most]
        if not sizes:
            raise UsageError(
                f"--trim-vocab auto: {before:,} word pieces are too few to leave any out.",
                hint="Leave --trim-vocab out, or give the number of embeddings to keep.",
            )
        table = model.merged.model.get_input_embeddings().weight
        reduced = list(vocabularies(model.encoder, table, self.counts, sizes))
        sized = {id(smaller): smaller.bytes(width=table.shape[1]) for smaller in reduced}
        reduced.sort(key=lambda smaller: sized[id(smaller)])
        group_key = (lambda smaller: sized[id(smaller)]) if self.most is None else (lambda _: 0)
        for _, group in groupby(reduced, key=group_key):
            yield [self._proposal(smaller, model, sized[id(smaller)]) for smaller in group]

    def fallbacks(self, model: TextModel) -> Sequence[Sequence[Proposal]]:
        """Returns no proposals."""
        return ()

    def ordered(self, model: TextModel, allowed: Sequence[Trial]) -> Sequence[Trial]:
        """Returns the trials, most accurate first."""
        return closest(allowed)

    def baseline(self, model: TextModel) -> Baseline:
        """Returns the size of the full vocabulary."""
        table = model.merged.model.get_input_embeddings().weight
        return Baseline(_bytes(model.encoder, rows=len(table), width=table.shape[1]))

    def _proposal(self, vocabulary: Vocabulary, model: TextModel, size: int) -> Proposal:
        def judge() -> Answers:
            return Answers(self._logits(vocabulary, model), size)

        def make(folder: Path) -> TextModel:
            merged = deepcopy(model.merged)  # other vocabularies may be tried on the original
            for torch_model in {id(m): m for m in (merged.model, merged.stock)}.values():
                vocabulary.put_into(torch_model)
            return TextModel(merged, vocabulary.encoder, vocabulary.is_shared)

        settings = self._settings(vocabulary, model)
        title = (
            f"{settings['embeddings']:,} embeddings of {settings['pieces_before']:,}, other pieces "
            f"{vocabulary.way}"
        )
        return Proposal(str(vocabulary), make, judge, settings=settings, title=title)

    def _logits(self, vocabulary: Vocabulary, model: TextModel) -> Logits:
        """Returns the logits with a vocabulary, without changing the model.

        A hook maps the new ids to rows of the full table.
        """
        rows = vocabulary.rows
        table = model.merged.model.get_input_embeddings()
        handle = table.register_forward_pre_hook(lambda _, ids: (rows[ids[0]],))
        try:
            return replace(model, encoder=vocabulary.encoder).logits(self.texts)
        finally:
            handle.remove()

    def _settings(self, vocabulary: Vocabulary, model: TextModel) -> dict[str, Setting]:
        before, after = model.encoder, vocabulary.encoder
        tokens = [sum(map(len, encoder.encode(self.texts))) for encoder in (before, after)]
        return {
            "pieces_before": before.tokenizer.get_vocab_size(),
            "pieces": after.tokenizer.get_vocab_size(),
            "embeddings": vocabulary.embeddings,
            "others": vocabulary.way,
            "tokens_before": tokens[0] / len(self.texts),  # mean per validation text
            "tokens": tokens[1] / len(self.texts),
        }


def vocabularies(
    encoder: TextEncoder, table: Tensor, counts: Mapping[str, int], sizes: Sequence[int]
) -> Iterator[Vocabulary]:
    """Yields vocabularies of the given sizes: spelled, if the tokenizer allows it, and shared.

    Args:
        encoder: The full tokenizer.
        table: Its embeddings, of shape ``(pieces, width)``.
        counts: Count of each piece in training text.
        sizes: Numbers of embeddings.

    Raises:
        UsageError: A size is smaller than the number of special tokens.
    """
    tokenizer, rows = encoder.tokenizer, len(table)
    ids = tokenizer.get_vocab(with_added_tokens=True)
    # Below 1, so that it only ranks pieces with equal counts: low ids are more common in general.
    weights = 1 / (10 + torch.arange(rows) / 1_000)
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
    """Returns the approximate size of a tokenizer and its int8 embeddings."""
    return len(encoder.tokenizer.to_str().encode()) + width * rows


def _fewest_to_spell(encoder: TextEncoder) -> float:
    """Returns the fewest pieces of a reduced tokenizer; infinite if it cannot be reduced."""
    try:
        return len(trim(encoder.tokenizer, {}, most=None).rows)
    except ExportError:
        return math.inf
