"""The classifier that applications use: texts in, labels out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np

from edgeadapt.bundle import Bundle
from edgeadapt.config import Task
from edgeadapt.errors import DataError, UsageError
from edgeadapt.metrics import Logits, decide, probabilities
from edgeadapt.runtime import load_engine
from edgeadapt.runtime.base import LoadedModel, text_logits
from edgeadapt.text import Text, TextEncoder, parts_of

__all__ = ["Classifier", "Prediction", "load"]


@dataclass(frozen=True)
class Prediction:
    """The answer to one text."""

    label: str
    """Name of the most probable label."""
    score: float
    """Its probability, 0 to 1."""
    scores: Mapping[str, float]
    """Every label's probability, most probable first."""
    labels: tuple[str, ...]
    """All labels the text is given, most probable first; multi-label, there may be none."""


class Classifier:
    """A loaded variant of a bundle.

    Args:
        engine: Runs the model.
        encoder: The bundle's tokenizer.
        labels: Label names in the order of the logits.
        task: How many labels a text has.
    """

    def __init__(
        self,
        engine: LoadedModel,
        encoder: TextEncoder,
        labels: Sequence[str],
        *,
        task: Task = Task.SINGLE_LABEL,
    ) -> None:
        self.engine = engine
        self.encoder = encoder
        self.labels = tuple(labels)
        self.task = task

    def predict(self, texts: Sequence[Text], *, batch_size: int = 1) -> list[Prediction]:
        """Classifies texts, in their order.

        Args:
            texts: Any number of texts, or of pairs ``(first, second)`` where the model takes
                pairs; longer ones than the model takes are cut.
            batch_size: Texts per run of the model. No answer depends on its neighbours: a variant
                of which that would not be true is run text by text, see ``Variant.is_batchable``.

        Raises:
            DataError: A text is empty; the message gives its number, counted from 1.
            UsageError: ``texts`` is one str, ``batch_size`` is below 1, or a text is a pair where
                single texts are expected, or the other way round.
        """
        if isinstance(texts, str):
            raise UsageError("predict: expected a sequence of texts, found one str.")
        if batch_size < 1:
            raise UsageError(f"batch_size: expected at least 1, found {batch_size}.")
        self.encoder.check(texts)
        for number, text in enumerate(texts, 1):
            for part in parts_of(text):
                _check_readable(part, number)
        if not texts:
            return []
        return self._predictions(
            text_logits(self.engine, self.encoder, texts, batch_size=batch_size)
        )

    def _predictions(self, logits: Logits) -> list[Prediction]:
        order = np.argsort(-logits, axis=1, kind="stable")
        likely = np.take_along_axis(probabilities(logits, self.task), order, axis=1)
        given = np.take_along_axis(decide(logits, self.task), order, axis=1)
        return [
            Prediction(
                label=self.labels[ranked[0]],
                score=float(scores[0]),
                scores={self.labels[n]: float(s) for n, s in zip(ranked, scores, strict=True)},
                labels=tuple(self.labels[n] for n in ranked[is_given]),
            )
            for ranked, scores, is_given in zip(order, likely, given, strict=True)
        ]


def load(
    bundle: str | PathLike[str],
    *,
    variant: str | None = None,
    threads: int | None = None,
    engine: str | None = None,
) -> Classifier:
    """Loads a bundle; every file that is opened is checked against the manifest.

    Args:
        bundle: Folder of the bundle.
        variant: ``int8``, ``fp32`` or another of the manifest; int8 where there is one.
        threads: CPU threads; the engine's default where none is given.
        engine: ``onnxruntime``, ``openvino`` or ``torch``; the variant's own where none is given.

    Raises:
        LayoutError: There is no bundle, or it is unfinished, newer or damaged.
        UsageError: It has no such variant, or ``threads`` is below 1.
    """
    if threads is not None and threads < 1:
        raise UsageError(
            f"--threads: expected at least 1, found {threads}.",
            hint="Leave it out for all cores.",
        )
    opened = Bundle.open(Path(bundle))
    chosen = variant or opened.default_variant()
    return Classifier(
        load_engine(opened, chosen, threads=threads, engine=engine),
        opened.text_encoder(),
        opened.manifest.labels,
        task=opened.manifest.task,
    )


def _check_readable(text: str, number: int) -> None:
    if not text.strip():
        raise DataError(
            f"Text {number} is empty: expected at least one character.",
            hint="Give texts as arguments, with --file, or one a line on standard input.",
        )
    # Bytes of the command line that are not UTF-8 arrive as lone surrogates.
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise DataError(f"Text {number} is not UTF-8: found {text[:40]!r}.")
