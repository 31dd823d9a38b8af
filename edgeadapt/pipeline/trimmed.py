"""A bundle's smaller vocabulary: chosen by the training text, judged by the validation text."""

import json
from dataclasses import dataclass
from typing import Any

import torch

from edgeadapt.config import Task
from edgeadapt.errors import GateError, UsageError
from edgeadapt.metrics import Drift, Labels, Logits, drift
from edgeadapt.models.inference import torch_logits
from edgeadapt.models.merge import Merged
from edgeadapt.models.trim import trim_embeddings
from edgeadapt.pipeline.restore import kept_examples
from edgeadapt.pipeline.run_files import VOCABULARY_FILE
from edgeadapt.progress import Progress
from edgeadapt.run import Run
from edgeadapt.text import Text, TextEncoder
from edgeadapt.training.objectives import EVALUATION_BATCH
from edgeadapt.vocabulary import Trimmed, trim

__all__ = ["TrimmedVocabulary", "Trimming", "trimmed"]

SIZES = (4_000, 6_000, 8_000, 12_000, 16_000, 24_000)
"""Numbers of pieces of which ``auto`` takes the least that is accurate enough."""


@dataclass(frozen=True)
class Trimming:
    """How small the vocabulary may be asked to be."""

    most: int | None = None
    """Number of pieces; as few as accuracy allows where none is given."""
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
class TrimmedVocabulary:
    """The tokenizer that is left, and what it costs."""

    encoder: TextEncoder
    pieces_before: int
    tokens: tuple[float, float]
    """Mean tokens of a validation text, before and after."""
    max_drop: float
    """Largest accuracy drop allowed, 0 to 1."""
    drift: Drift
    """Of fp32, on validation text."""

    def report(self) -> dict[str, Any]:
        """Returns plain values for JSON."""
        return {
            "pieces_before": self.pieces_before,
            "pieces": self.encoder.tokenizer.get_vocab_size(),
            "tokens_before": self.tokens[0],
            "tokens": self.tokens[1],
            "max_drop": self.max_drop,
            **self.drift.to_dict(),
        }


def trimmed(
    run: Run, merged: Merged, encoder: TextEncoder, *, asked: Trimming, progress: Progress
) -> TrimmedVocabulary:
    """Leaves word pieces out of a merged model, in place, and returns the tokenizer for it.

    Raises:
        GateError: It costs more accuracy than allowed.
        UsageError: The number of pieces is too small to spell every text.
        ExportError: The tokenizer or the model cannot be trimmed.
    """
    counts = json.loads((run.path / VOCABULARY_FILE).read_text(encoding="utf-8"))
    judge = _Judge.of(run, merged, encoder, asked.max_drop)
    before = encoder.tokenizer.get_vocab_size()
    if asked.most is None:
        least = len(trim(encoder.tokenizer, {}, most=None).rows)
        sizes = [size for size in SIZES if least <= size < before]
    else:
        sizes = [asked.most]
    if not sizes:
        raise UsageError(
            f"--trim-vocab auto: {before:,} word pieces are too few to leave any out.",
            hint="Leave --trim-vocab out, or say how many to keep.",
        )
    for size in sizes:
        tried = trim(encoder.tokenizer, counts, most=size)
        found = judge.of_trimmed(tried)
        progress.say(
            f"Vocabulary of {len(tried.rows):,} word pieces: accuracy "
            f"{found.drift.accuracy_before:.2%} -> {found.drift.accuracy_after:.2%}."
        )
        if found.drift.accuracy_drop <= asked.max_drop:
            for model in {id(m): m for m in (merged.model, merged.stock)}.values():
                trim_embeddings(model, tried.rows)
            return found
    raise GateError(
        f"--trim-vocab: no vocabulary of {', '.join(f'{size:,}' for size in sizes)} word pieces is "
        f"as accurate as asked: {found.drift.accuracy_before:.2%} became "
        f"{found.drift.accuracy_after:.2%} on {found.drift.texts:,} held-out texts, at most "
        f"{100 * asked.max_drop:.2f} points less are allowed.",
        hint="No bundle was written. Keep more pieces, allow more with --max-drop, or leave "
        "--trim-vocab out.",
    )


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

    def of_trimmed(self, tried: Trimmed) -> TrimmedVocabulary:
        """Judges a vocabulary before the model is trimmed: its ids stand for rows of the whole."""
        encoder = self.encoder.with_tokenizer(tried.tokenizer)
        rows = torch.tensor(tried.rows)
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
            encoder,
            self.encoder.tokenizer.get_vocab_size(),
            (lengths[0], lengths[1]),
            self.max_drop,
            drift(self.before, after, self.labels, task=self.task),
        )
