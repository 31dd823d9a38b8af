"""The engine contract: the only interface to engines that bench and the classifier use."""

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np

from edgeadapt.errors import LayoutError
from edgeadapt.metrics import Logits
from edgeadapt.store.bundle import Bundle
from edgeadapt.text import Text, TextEncoder, TokenBatch

__all__ = [
    "OTHER_MODEL",
    "Engine",
    "LoadedModel",
    "TextByText",
    "check_inputs",
    "checked_logits",
    "text_logits",
]

OTHER_MODEL = "It is not the classifier of this bundle. Export it again."
"""Hint for a model that does not take tokens or does not give logits."""


class LoadedModel(Protocol):
    """A model that is ready to run."""

    def run(self, batch: TokenBatch) -> Logits:
        """Returns float32 logits of shape ``(batch, labels)``."""

    def describe(self) -> str:
        """Returns the library and its version, such as ``onnxruntime 1.32.0``."""


class Engine(LoadedModel, Protocol):
    """Loads and runs one model."""

    def __init__(self, model: Path, *, threads: int | None = None) -> None:
        """Loads the file or folder of a model."""

    @classmethod
    def load(cls, bundle: Bundle, variant: str, *, threads: int | None = None) -> Self:
        """Loads a variant of a bundle after verifying its files.

        Args:
            bundle: The bundle with the files.
            variant: Name of the variant in the manifest.
            threads: CPU threads; by default the library decides.
        """


class TextByText:
    """Runs the rows of a batch one by one, without padding.

    For models whose logits for a text depend on the rest of the batch, see
    ``Variant.is_batchable``. On a CPU this costs little, because batching hardly speeds them up.

    Args:
        model: Runs one text at a time.
    """

    def __init__(self, model: LoadedModel) -> None:
        self._model = model

    def run(self, batch: TokenBatch) -> Logits:
        """Returns float32 logits of shape ``(batch, labels)``."""
        if len(batch) == 1 and batch.attention_mask.all():
            return self._model.run(batch)
        return np.concatenate([self._model.run(row) for row in batch.rows()])

    def describe(self) -> str:
        """Returns the library and its version."""
        return self._model.describe()


def text_logits(
    engine: LoadedModel, encoder: TextEncoder, texts: Sequence[Text], *, batch_size: int = 1
) -> Logits:
    """Returns logits of shape ``(texts, labels)``, in the order of ``texts``.

    Args:
        engine: From ``load_engine``, so that the logits of a text do not depend on the batch.
        encoder: The tokenizer.
        texts: At least one.
        batch_size: Texts per batch; ignored by a model that is run text by text.

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


def check_inputs(names: Sequence[str], *, model: Path) -> None:
    """Checks that a model takes nothing but tokens.

    Args:
        names: What its inputs are called.
        model: Its file, for the message.

    Raises:
        LayoutError: An input is no field of ``TokenBatch``.
    """
    known = [each.name for each in fields(TokenBatch)]
    for name in names:
        if name not in known:
            raise LayoutError(
                f"{model} has an input {name!r}: expected only {', '.join(known)}.",
                hint=OTHER_MODEL,
            )


def checked_logits(found: Any, *, texts: int, labels: int | None, model: Path) -> Logits:
    """Returns the output of a model after checking that it is logits, for every engine.

    Args:
        found: The first output.
        texts: Rows of the batch.
        labels: How many logits a text has to be given; any number where none is given.
        model: Its file or folder, for the message.

    Raises:
        LayoutError: It has another shape or type.
    """
    of, shape = getattr(found, "dtype", type(found).__name__), getattr(found, "shape", ())
    expected = labels or (shape[-1] if shape else None)
    if of != np.float32 or shape != (texts, expected):
        raise LayoutError(
            f"{model} does not give logits: expected float32 of shape ({texts}, "
            f"{labels or 'labels'}), one row a text, found {of} of shape {shape}.",
            hint=OTHER_MODEL,
        )
    logits: Logits = found
    return logits
