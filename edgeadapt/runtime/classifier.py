"""The classifier that applications use: texts in, labels out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from edgeadapt.bundle import Bundle
from edgeadapt.errors import DataError, UsageError
from edgeadapt.metrics import probabilities
from edgeadapt.runtime import load_engine
from edgeadapt.runtime.base import Engine, text_logits
from edgeadapt.text import TextEncoder

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


class Classifier:
    """A loaded variant of a bundle.

    Args:
        engine: Runs the model.
        encoder: The bundle's tokenizer.
        labels: Label names in the order of the logits.
    """

    def __init__(self, engine: Engine, encoder: TextEncoder, labels: Sequence[str]) -> None:
        self.engine = engine
        self.encoder = encoder
        self.labels = tuple(labels)

    def predict(self, texts: Sequence[str], *, batch_size: int = 1) -> list[Prediction]:
        """Classifies texts, in their order.

        Args:
            texts: Any number of texts; longer ones than the model takes are cut.
            batch_size: Texts per run of the model. At 1 no answer depends on its neighbours.

        Raises:
            DataError: A text is empty; the message gives its number, counted from 1.
            UsageError: ``texts`` is one str, or ``batch_size`` is below 1.
        """
        if isinstance(texts, str):
            raise UsageError("predict: expected a sequence of texts, found one str.")
        if batch_size < 1:
            raise UsageError(f"batch_size: expected at least 1, found {batch_size}.")
        for number, text in enumerate(texts, 1):
            if not text.strip():
                raise DataError(
                    f"Text {number} is empty: expected at least one character.",
                    hint="Give texts as arguments, with --file, or one a line on standard input.",
                )
            # Bytes of the command line that are not UTF-8 arrive as lone surrogates.
            if any("\ud800" <= character <= "\udfff" for character in text):
                raise DataError(f"Text {number} is not UTF-8: found {text[:40]!r}.")
        if not texts:
            return []
        logits = text_logits(self.engine, self.encoder, texts, batch_size=batch_size)
        return [self._prediction(row) for row in probabilities(logits).tolist()]

    def _prediction(self, row: list[float]) -> Prediction:
        pairs = sorted(zip(self.labels, row, strict=True), key=lambda pair: -pair[1])
        return Prediction(label=pairs[0][0], score=pairs[0][1], scores=dict(pairs))


def load(
    bundle: str | PathLike[str], *, variant: str | None = None, threads: int | None = None
) -> Classifier:
    """Loads a bundle; every file that is opened is checked against the manifest.

    Args:
        bundle: Folder of the bundle.
        variant: ``int8``, ``fp32`` or another of the manifest; int8 where there is one.
        threads: CPU threads; the engine's default where none is given.

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
    engine = load_engine(opened, variant or opened.default_variant(), threads=threads)
    return Classifier(engine, opened.text_encoder(), opened.manifest.labels)
