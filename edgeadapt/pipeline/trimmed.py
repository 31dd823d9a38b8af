"""A bundle's smaller vocabulary: chosen by the training text, judged by the validation text."""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, partial
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from edgeadapt.config import Task
from edgeadapt.errors import ExportError, GateError, UsageError
from edgeadapt.metrics import Drift, Labels, Logits, drift
from edgeadapt.models.inference import torch_logits
from edgeadapt.models.merge import Merged
from edgeadapt.models.shared_rows import Neighbours, use_rows
from edgeadapt.models.trim import trim_embeddings
from edgeadapt.pipeline.restore import kept_examples
from edgeadapt.pipeline.run_files import VOCABULARY_FILE
from edgeadapt.progress import Progress
from edgeadapt.run import Run
from edgeadapt.text import Text, TextEncoder
from edgeadapt.training.objectives import EVALUATION_BATCH
from edgeadapt.vocabulary import trim

__all__ = ["TrimmedVocabulary", "Trimming", "trimmed"]

SIZES = (4_000, 6_000, 8_000, 12_000, 16_000, 24_000)
"""Numbers of embeddings that ``auto`` tries."""


@dataclass(frozen=True)
class Trimming:
    """How small the vocabulary may be asked to be."""

    most: int | None = None
    """Number of embeddings; as few as accuracy allows where none is given."""
    max_drop: float = 0.01
    """Largest accuracy drop on held-out text, 0 to 1."""

    def check(self, run: Run) -> None:
        """Checks that a run holds what trimming needs.

        Raises:
            UsageError: It does not.
        """
        for name, what in ((VOCABULARY_FILE, "count of word pieces"), ("validation.csv", "text")):
            if name not in run.info.files:
                raise UsageError(
                    f"--trim-vocab: {run.path} holds no {what} to decide by ({name}).",
                    hint="It was trained by an earlier version, or imported without data.",
                )


@dataclass(frozen=True)
class _Vocabulary:
    """A smaller vocabulary that may be put into a model."""

    way: str
    """What becomes of a piece that has no embedding of its own: ``spelled`` or ``shared``."""
    encoder: TextEncoder
    """The tokenizer that goes with it."""
    embeddings: int
    """Rows of the table that are left."""
    find_rows: Callable[[], Tensor]
    """Returns ``rows``; not asked before somebody needs them."""

    @cached_property
    def rows(self) -> Tensor:
        """The row of the whole table that each of its ids has, of shape ``(pieces,)``."""
        return self.find_rows()

    def put_into(self, model: PreTrainedModel) -> None:
        """Changes a model's embeddings."""
        if self.way == "shared":
            use_rows(model, self.rows)
        else:
            trim_embeddings(model, self.rows.tolist())

    def bytes(self, *, width: int) -> int:
        """Of the tokenizer and the embeddings, about, with one byte for each value."""
        tokenizer = self.encoder.tokenizer
        which = 4 * tokenizer.get_vocab_size() if self.way == "shared" else 0
        return len(tokenizer.to_str().encode()) + which + width * self.embeddings


@dataclass(frozen=True)
class TrimmedVocabulary:
    """The smaller vocabulary, and what it costs."""

    vocabulary: _Vocabulary
    pieces_before: int
    tokens: tuple[float, float]
    """Mean tokens of a validation text, before and after."""
    max_drop: float
    """Largest accuracy drop allowed, 0 to 1."""
    drift: Drift
    """Of fp32, on validation text."""

    @property
    def encoder(self) -> TextEncoder:
        """The tokenizer that goes with it."""
        return self.vocabulary.encoder

    @property
    def is_shared(self) -> bool:
        """Whether pieces have the same embeddings, of which a graph then holds one."""
        return self.vocabulary.way == "shared"

    def report(self) -> dict[str, Any]:
        """Returns plain values for JSON."""
        return {
            "pieces_before": self.pieces_before,
            "pieces": self.encoder.tokenizer.get_vocab_size(),
            "embeddings": self.vocabulary.embeddings,
            "others": self.vocabulary.way,
            "tokens_before": self.tokens[0],
            "tokens": self.tokens[1],
            "max_drop": self.max_drop,
            **self.drift.to_dict(),
        }


def trimmed(
    run: Run, merged: Merged, encoder: TextEncoder, *, asked: Trimming, progress: Progress
) -> TrimmedVocabulary:
    """Leaves embeddings out of a merged model, in place, and returns the tokenizer for it.

    Of a given number, the more accurate way is taken; else the smallest that is accurate enough.

    Raises:
        GateError: It costs more accuracy than allowed.
        UsageError: The number is too small.
        ExportError: The model cannot be trimmed.
    """
    counts = json.loads((run.path / VOCABULARY_FILE).read_text(encoding="utf-8"))
    judge = _Judge.of(run, merged, encoder, asked.max_drop)
    before = encoder.tokenizer.get_vocab_size()
    sizes = [size for size in SIZES if size < before] if asked.most is None else [asked.most]
    if not sizes:
        raise UsageError(
            f"--trim-vocab auto: {before:,} word pieces are too few to leave any out.",
            hint="Leave --trim-vocab out, or say how many to keep.",
        )
    table = merged.model.get_input_embeddings().weight
    tried = list(_vocabularies(encoder, table, counts, sizes))
    found: list[TrimmedVocabulary] = []
    for vocabulary in sorted(tried, key=lambda each: each.bytes(width=table.shape[1])):
        found.append(judge.judged(vocabulary))
        cost = found[-1].drift
        progress.say(
            f"{vocabulary.embeddings:,} embeddings, other pieces {vocabulary.way}: accuracy "
            f"{cost.accuracy_before:.2%} -> {cost.accuracy_after:.2%}."
        )
        if asked.most is None and cost.accuracy_drop <= asked.max_drop:
            break
    best = min(found, key=lambda each: (each.drift.accuracy_drop, -each.drift.label_agreement))
    if best.drift.accuracy_drop > asked.max_drop:
        raise GateError(
            f"--trim-vocab: no vocabulary of {', '.join(f'{size:,}' for size in sizes)} embeddings "
            f"is as accurate as asked: {best.drift.accuracy_before:.2%} became "
            f"{best.drift.accuracy_after:.2%} on {best.drift.texts:,} held-out texts, at most "
            f"{100 * asked.max_drop:.2f} points less are allowed.",
            hint="No bundle was written. Keep more, allow more with --max-drop, or leave "
            "--trim-vocab out.",
        )
    for model in {id(model): model for model in (merged.model, merged.stock)}.values():
        best.vocabulary.put_into(model)
    return best


def _vocabularies(
    encoder: TextEncoder, table: Tensor, counts: Mapping[str, int], sizes: Sequence[int]
) -> Iterator[_Vocabulary]:
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
            yield _Vocabulary("spelled", spelled, len(smaller.rows), find)
        yield _Vocabulary("shared", encoder, min(size, rows), partial(nearest, size))


def _fewest_to_spell(encoder: TextEncoder) -> float:
    """Pieces that a smaller tokenizer has at least; infinite where there can be none."""
    try:
        return len(trim(encoder.tokenizer, {}, most=None).rows)
    except ExportError:
        return math.inf


@dataclass(frozen=True)
class _Judge:
    merged: Merged
    encoder: TextEncoder
    texts: list[Text]
    labels: Labels
    before: Logits
    task: Task
    max_drop: float

    @classmethod
    def of(cls, run: Run, merged: Merged, encoder: TextEncoder, max_drop: float) -> "_Judge":
        kept = kept_examples(run, "validation.csv")
        before = torch_logits(merged.model, encoder, kept.texts, batch_size=EVALUATION_BATCH)
        return cls(
            merged, encoder, list(kept.texts), kept.known_labels(), before, run.info.task, max_drop
        )

    def judged(self, vocabulary: _Vocabulary) -> TrimmedVocabulary:
        """Judges a vocabulary that the model does not know of: its ids stand for rows of it."""
        encoder, rows = vocabulary.encoder, vocabulary.rows
        table = self.merged.model.get_input_embeddings()
        handle = table.register_forward_pre_hook(lambda _, ids: (rows[ids[0]],))
        try:
            after = torch_logits(
                self.merged.model, encoder, self.texts, batch_size=EVALUATION_BATCH
            )
        finally:
            handle.remove()
        lengths = [
            sum(map(len, each.encode(self.texts))) / len(self.texts)
            for each in (self.encoder, encoder)
        ]
        return TrimmedVocabulary(
            vocabulary,
            self.encoder.tokenizer.get_vocab_size(),
            (lengths[0], lengths[1]),
            self.max_drop,
            drift(self.before, after, self.labels, task=self.task),
        )
