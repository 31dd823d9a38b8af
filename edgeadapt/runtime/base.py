"""The engine contract: all that bench and the classifier know of an engine."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, Self

import numpy as np

from edgeadapt.bundle import Bundle
from edgeadapt.metrics import Logits
from edgeadapt.text import Text, TextEncoder, TokenBatch

__all__ = ["Engine", "text_logits"]


class Engine(Protocol):
    """Runs one model."""

    def __init__(self, model: Path, *, threads: int | None = None) -> None:
        """Loads a model's file, or folder."""

    @classmethod
    def load(cls, bundle: Bundle, variant: str, *, threads: int | None = None) -> Self:
        """Loads a variant of a bundle, verified.

        Args:
            bundle: Where the files are.
            variant: Name of the variant in the manifest.
            threads: CPU threads; the library's own default where none is given.
        """

    def run(self, batch: TokenBatch) -> Logits:
        """Returns float32 logits of shape ``(batch, labels)``."""

    def describe(self) -> str:
        """Returns the library and its version, such as ``onnxruntime 1.32.0``."""


def text_logits(
    engine: Engine, encoder: TextEncoder, texts: Sequence[Text], *, batch_size: int = 1
) -> Logits:
    """Returns logits of shape ``(texts, labels)``, in the order of ``texts``.

    At batch size 1, the default, no text's answer depends on its neighbours: dynamic
    quantization takes one scale per activation tensor, padding and all.

    Raises:
        ValueError: There are no texts.
    """
    if not texts:
        raise ValueError("expected at least one text, found none")
    parts = [(rows, engine.run(batch)) for rows, batch in encoder.batches(texts, batch_size)]
    logits = np.empty((len(texts), parts[0][1].shape[1]), dtype=np.float32)
    for rows, part in parts:
        logits[rows] = part
    return logits
