"""Parity gates: compare the logits of two forms of a model on the same real texts."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from transformers import PreTrainedModel

from edgeadapt.metrics import Logits, Parity
from edgeadapt.models.inference import torch_logits
from edgeadapt.models.opened import OpenedRun
from edgeadapt.recipe import Task
from edgeadapt.runtime.base import LoadedModel, text_logits
from edgeadapt.text import Text, TextEncoder, parts_of, text_of

__all__ = ["MERGE_LIMIT", "ONNX_LIMIT", "ParityGate", "parity_gate", "parity_texts"]

MERGE_LIMIT = 1e-5
"""Largest logit difference allowed between a model before and after merging (fp32 rounding)."""
ONNX_LIMIT = 1e-4
"""Largest logit difference allowed between torch and ONNX Runtime in fp32."""
PARITY_TEXTS = 64
"""Number of real texts, of different lengths, that each parity gate compares."""
PARITY_BATCHES = (1, 8)
"""Batch sizes at which each parity gate compares."""


def parity_texts(texts: Sequence[Text], encoder: TextEncoder) -> list[Text]:
    """Chooses 64 texts for the parity gates, spread evenly over the lengths.

    If there are fewer, prefixes of the texts and concatenations of two are added; for pairs, both
    texts are cut or joined.
    """
    chosen = dict.fromkeys(texts)
    for piece in _pieces(list(chosen)):
        if len(chosen) >= PARITY_TEXTS:
            break
        chosen.setdefault(piece)
    pool = sorted(chosen, key=lambda text: len(encoder.encode([text])[0]))
    if len(pool) <= PARITY_TEXTS:
        return pool
    step = (len(pool) - 1) / (PARITY_TEXTS - 1)
    return [pool[round(number * step)] for number in range(PARITY_TEXTS)]


def _pieces(texts: Sequence[Text]) -> Iterator[Text]:
    """Yields the prefixes of the texts, then each text joined with each prefix."""
    beginnings = [beginning for text in texts for beginning in _beginnings(text)]
    yield from beginnings
    yield from (_joined(text, beginning) for text in texts for beginning in beginnings)


def _beginnings(text: Text) -> Iterator[Text]:
    words = [part.split() for part in parts_of(text)]
    for count in range(1, max(map(len, words)) + 1):
        yield text_of([" ".join(part[:count]) for part in words])


def _joined(first: Text, second: Text) -> Text:
    pairs = zip(parts_of(first), parts_of(second), strict=True)
    return text_of([f"{left} {right}" for left, right in pairs])


@dataclass(frozen=True)
class ParityGate:
    """The texts on which each form of the model computes logits, at every batch size."""

    encoder: TextEncoder
    texts: list[Text]
    task: Task

    def of_model(self, model: PreTrainedModel) -> dict[int, Logits]:
        """Returns batch size -> logits of shape ``(texts, labels)``, computed in torch."""
        return {
            size: torch_logits(model, self.encoder, self.texts, batch_size=size)
            for size in PARITY_BATCHES
        }

    def of_engine(self, engine: LoadedModel) -> dict[int, Logits]:
        """Returns batch size -> logits of shape ``(texts, labels)``, computed by an engine."""
        return {
            size: text_logits(engine, self.encoder, self.texts, batch_size=size)
            for size in PARITY_BATCHES
        }

    def compare(
        self,
        gate: str,
        reference: dict[int, Logits],
        candidate: dict[int, Logits],
        *,
        limit: float,
    ) -> Parity:
        """Returns the comparison at the batch size with the largest difference.

        Args:
            gate: Name of the gate, for messages.
            reference: Logits per batch size of the original form.
            candidate: Logits per batch size of the converted form.
            limit: Largest logit difference allowed.
        """
        parities = [
            Parity.of(
                f"{gate}, batch {size}",
                reference[size],
                candidate[size],
                limit=limit,
                task=self.task,
            )
            for size in PARITY_BATCHES
        ]
        # Every comparison with NaN is false, so "not <=" ranks NaN above all numbers.
        return max(parities, key=lambda p: (not p.max_difference <= limit, p.max_difference))


def parity_gate(opened: OpenedRun) -> ParityGate:
    """Returns the parity gate on a run's held-out text."""
    texts = parity_texts(opened.real_texts(), opened.encoder)
    return ParityGate(opened.encoder, texts, opened.info.task)
